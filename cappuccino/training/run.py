"""A run's folder: its configuration, checkpoints, logs and reports, and how to find one again.

runs/<name>/config.yaml       the whole configuration
            checkpoints/      Orbax
            metrics.jsonl     one line per update
            tensorboard/      the same numbers
            report.html, summary.json, artifact/
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import jax
import numpy as np
from flax import nnx

from cappuccino.agents.networks import NetworkShape, Policy, make_policy
from cappuccino.config.composition import load_train_config, save_config
from cappuccino.config.roots import LearningConfig, TrainConfig
from cappuccino.config.training import PPOConfig
from cappuccino.errors import InputError
from cappuccino.features.normaliser import Normaliser
from cappuccino.market import MarketSpec
from cappuccino.training.checkpoints import Checkpoints, Restored, unflatten

_WHERE = ("name", "runs_dir", "resume", "device", "best")
"""What of a configuration says where a run lies and runs, not what it is."""


def config_hash(config: LearningConfig) -> str:
    """SHA-256, in hexadecimal, of everything in a configuration that decides a training's result."""
    return hashlib.sha256(json.dumps(configuration_of(config), sort_keys=True).encode()).hexdigest()


def identity_of(config: TrainConfig, spec: MarketSpec) -> dict[str, Any]:
    """What a checkpoint says that it was trained with, and must find again to be resumed."""
    return {
        "market fingerprint": spec.fingerprint,
        "configuration hash": config_hash(config),
        "assets": list(spec.assets),
    }


def configuration_of(config: LearningConfig) -> dict[str, Any]:
    """Everything in a configuration that decides a training's result, as plain values."""
    return {name: value for name, value in dataclasses.asdict(config).items() if name not in _WHERE}


@dataclasses.dataclass(frozen=True)
class Run:
    """One run's folder and configuration."""

    folder: pathlib.Path
    config: TrainConfig

    @classmethod
    def create(cls, config: TrainConfig) -> Run:
        """The folder of a new run, or of the one to be resumed, which may have no checkpoint yet.

        Raises InputError if it exists and is not to be resumed, if there is nothing to resume, or if the configuration of the
        run to be resumed is another.
        """
        folder = pathlib.Path(config.runs_dir) / config.name
        saved = folder / "config.yaml"
        if config.resume:
            if not saved.exists():
                raise InputError(f"there is no run {folder} to resume; leave resume=true out to begin it")
            before = load_train_config(saved)
            if config_hash(before) != config_hash(config):
                raise InputError(f"run {folder} was begun with another configuration: {_difference(before, config)}")
            return cls(folder, config)
        if saved.exists():
            raise InputError(f"run {folder} exists; choose another name=, or continue it with resume=true")
        folder.mkdir(parents=True, exist_ok=True)
        whole = saved.with_suffix(".yaml.tmp")
        save_config(config, whole)
        whole.replace(saved)
        return cls(folder, config)

    @classmethod
    def find(cls, run: str, runs_dir: str) -> Run:
        """A run by its folder, by its name below `runs_dir`, or `latest`. Raises InputError where there is none."""
        base = pathlib.Path(runs_dir)
        if run == "latest":
            found = sorted(base.rglob("config.yaml"), key=lambda path: path.stat().st_mtime)
            if not found:
                raise InputError(f"there is no run below {base}; train one with: cappuccino train")
            return cls(found[-1].parent, load_train_config(found[-1]))
        for folder in (pathlib.Path(run), base / run):
            if (folder / "config.yaml").is_file():
                return cls(folder, load_train_config(folder / "config.yaml"))
        raise InputError(f"run is {run!r}; neither it nor {base / run} is a run's folder (there is no config.yaml)")

    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder / "checkpoints")

    def best(self) -> Restored:
        """The checkpoint that was best on the validation span. Raises InputError if there is none yet."""
        with self.checkpoints() as checkpoints:
            best = checkpoints.best()
            if best is None:
                raise InputError(f"run {self.folder} has no checkpoint yet; let it train, or resume it")
            return checkpoints.restore(best)

    def policy(self, restored: Restored, shape: NetworkShape) -> Policy:
        """The policy of a checkpoint. Raises InputError if the checkpoint is of another network."""
        blank = Normaliser(np.zeros(shape.features), np.ones(shape.features), 1.0)
        graph, weights, frozen = nnx.split(fresh_policy(self.config, shape, blank), nnx.Param, ...)
        policy = unflatten({"policy": {"weights": weights, "frozen": frozen}}, restored.arrays)["policy"]
        return nnx.merge(graph, policy["weights"], policy["frozen"])

    def untrained(self, shape: NetworkShape, trained: Policy) -> Policy:
        """The policy that the training began with, behind the same normaliser."""
        normaliser = Normaliser(np.asarray(trained.mean[...]), np.asarray(trained.std[...]), float(trained.clip[...]))
        return fresh_policy(self.config, shape, normaliser)


def fresh_policy(config: LearningConfig, shape: NetworkShape, normaliser: Normaliser) -> Policy:
    """The untrained policy that a run's training begins with: a function of the seed."""
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    agent = config.agent
    noise = {"log_std": agent.log_std} if isinstance(agent, PPOConfig) else {}
    return make_policy(shape, normaliser, band=agent.band, **noise, key=key)


def _difference(before: TrainConfig, after: TrainConfig) -> str:
    """The first few keys in which two configurations differ, with both values."""
    old, new = _flat(dataclasses.asdict(before)), _flat(dataclasses.asdict(after))
    keys = [key for key in sorted(old | new) if key not in _WHERE and old.get(key) != new.get(key)]
    return ", ".join(f"{key} was {old.get(key)} and is {new.get(key)}" for key in keys[:4])


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat

"""A small market, learner and configuration for the training's tests, and the training that they run in a folder."""

from __future__ import annotations

import functools
import io
import pathlib
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from rich.console import Console

from cappuccino.assemble import Data, load_market, train_params, training_of
from cappuccino.config import compose
from cappuccino.config.roots import TrainConfig
from cappuccino.env import Starts
from cappuccino.training.checkpoints import Checkpoints, flatten
from cappuccino.training.learner import Learner, TrainParams, TrainState
from cappuccino.training.loop import Outcome, Schedule, Validate, resume, train
from cappuccino.training.metrics_log import MetricsLog

SMALL = (
    "name=small",
    "experiment=planted",
    "data.bars=600",
    "data.train_end=null",
    "data.valid_end=null",
    "network=mlp",
    "network.lookback=2",
    "network.hidden=[8]",
    "network.head=[8]",
    "env.clocks=4",
    "env.accounts=3",
    "env.episode_bars=16",
    "training.rollout_steps=8",
    "training.updates_per_chunk=1",
)
SMALL_PPO = ("agent.epochs=2", "agent.minibatches=4")
UPDATES = 6


class Case(NamedTuple):
    """Everything that a training is made of."""

    config: TrainConfig
    data: Data
    starts: Starts
    learner: Learner
    weights: nnx.State
    frozen: nnx.State
    params: TrainParams

    def state(self, seed: int = 1) -> TrainState:
        """The state before the first update, in buffers of its own."""
        return self.learner.init(self.weights, self.data.market, self.starts, self.params, key=jax.random.key(seed))


def configured(*overrides: str) -> TrainConfig:
    agent = () if "agent=apg" in overrides else SMALL_PPO
    return compose("train", [*SMALL, *agent, *overrides])


@functools.cache
def case(*overrides: str) -> Case:
    """The small training, with Hydra's overrides."""
    config = configured(*overrides)
    data = load_market(config.data, tuple(config.features.names), config.network.lookback)
    training = training_of(config, data)
    params = train_params(config, data.spec.assets, UPDATES)
    return Case(config, data, training.starts, training.learner, training.weights, training.frozen, params)


def arrays_of(tree: Any) -> dict[str, np.ndarray]:
    """A pytree's leaves by path on the host, copied: the chunk donates its state."""
    return {name: leaf.copy() for name, leaf in flatten(tree).items()}


def assert_same(one: Any, other: Any) -> None:
    """Two pytrees agree bit for bit."""
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        assert leaf.tobytes() == other[name].tobytes(), name


def flat_score(weights: nnx.State) -> dict[str, float]:
    """A validation that costs nothing and differs from update to update."""
    return {"score": float(np.sum([np.sum(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(weights)]))}


def train_in(
    folder: pathlib.Path,
    case: Case,
    *,
    updates: int = UPDATES,
    chunk: int = 1,
    patience: int | None = None,
    validate: Validate = flat_score,
    params: TrainParams | None = None,
    going_on: bool = False,
    identity: dict[str, Any] | None = None,
) -> Outcome:
    """Train in a run's folder, from the beginning or going on from its latest checkpoint."""
    identity = {"market fingerprint": case.data.spec.fingerprint} if identity is None else identity
    folder.mkdir(exist_ok=True)
    state = case.state()
    with Checkpoints(folder / "checkpoints") as checkpoints:
        if going_on:
            state = resume(state, case.frozen, checkpoints, identity)
        with MetricsLog(folder, int(state.update)) as log:
            return train(
                case.learner,
                state,
                case.frozen,
                case.data.market,
                case.starts,
                case.params if params is None else params,
                schedule=Schedule(updates=updates, chunk=chunk, patience=patience),
                validate=validate,
                checkpoints=checkpoints,
                log=log,
                meta=identity,
                console=Console(file=io.StringIO()),
            )

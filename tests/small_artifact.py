"""A small market, and an artifact of a policy with random opinions that nobody trained."""

from __future__ import annotations

import pathlib

from flax import nnx

from cappuccino.assemble import load_market, training_of
from cappuccino.cli import main
from cappuccino.config import compose
from cappuccino.sweep.parts import Part
from cappuccino.sweep.trial_folder import keep_training

SMALL = (
    "experiment=planted",
    "data.train_end=null",
    "data.valid_end=null",
    "data.bars=1500",
    "features.names=[relative_volume_168,volatility_24_168]",
    "network=mlp",
    "network.lookback=3",
    "network.hidden=[8]",
    "network.head=[8]",
    "costs=alpaca",
)


def make_artifact(runs: pathlib.Path, name: str = "small", seed: int = 0) -> pathlib.Path:
    """Export it below a folder of runs. Another seed has other opinions."""
    config = compose("train", [*SMALL, f"name={name}", f"seed={seed}", f"runs_dir={runs}"])
    training = training_of(config, load_market(config.data, tuple(config.features.names), config.network.lookback))
    policy = training.policy(training.weights)
    policy.actor.output.kernel[...] = 100 * policy.actor.output.kernel[...]
    weights = nnx.split(policy, nnx.Param, ...)[1]
    keep_training(Part(training, best={"score": 1e-4, "sharpe": 1.25}, kept=(weights, 1), config=config))
    assert main(["export", f"run={name}", f"runs_dir={runs}"]) == 0
    return runs / name / "artifact"

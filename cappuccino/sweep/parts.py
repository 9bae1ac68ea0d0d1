"""What a trial is made of: a training for each seed on the hold-out, or for each fold and seed where `validation` says how to fold."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from cappuccino.assemble import Data, Training, training_of
from cappuccino.config.roots import TrainConfig
from cappuccino.env import Starts
from cappuccino.evaluation.backtest import Path, policy_strategy
from cappuccino.evaluation.folds import Folds, folds_of
from cappuccino.lanes.engine import Markets
from cappuccino.lanes.progress import TrainingProgress
from cappuccino.training.lanes import validation_of
from cappuccino.validation.crossed import Tested, training_rows_of


class FoldSeed(NamedTuple):
    """Which part of a trial. fold: 0 where there are none."""

    fold: int
    seed: int


@dataclasses.dataclass
class Part(TrainingProgress):
    """A training of a trial. config: its own, seed and folder included."""

    config: TrainConfig = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Crossing:
    """The folds of a trial, over all bars before the test span, and what they test."""

    data: Data
    folds: Folds
    tested: Tested

    @classmethod
    def of(cls, config: TrainConfig, data: Data) -> Crossing | None:
        """Raises InputError where the bars do not suffice for the folds. None where there are none."""
        if config.validation is None:
            return None
        lookback = config.network.lookback
        folds = folds_of(config.validation, data.spec, lookback, config.env.episode_bars, data.spans.test.start)
        return cls(data, folds, Tested.of(data.spec, folds, lookback))

    def test(self, fold: int, training: Training, weights: nnx.State) -> tuple[Path, dict[str, float]]:
        """What a training's policy does with these parameters on the blocks that its fold tests, and of it the figures that a lane has
        of its validation rows."""
        policy, params = training.policy(weights), training.judged
        record = self.tested.record(policy_strategy(policy, policy.shape.lookback), fold, self.data, params)
        rows = Starts(jnp.asarray(self.tested.rows[fold]), jnp.int32(self.tested.number[fold]))
        figures = jax.jit(validation_of)(record, self.data.market, rows, params.capital)
        path = self.tested.path(record, fold, self.data, params)
        return path, {name: float(value) for name, value in figures._asdict().items()}


def parts_of(config: TrainConfig, seeds: int, markets: Markets) -> tuple[dict[FoldSeed, Part], Crossing | None]:
    """The parts of a trial, fold by fold and for each the seeds from the configuration's on, which is the order to train them in.

    Raises InputError for what cannot be trained.
    """
    data = markets.data(config)
    crossing = Crossing.of(config, data)
    several = seeds > 1
    configs = [
        dataclasses.replace(
            config, seed=config.seed + k, name=f"{config.name}/seed-{config.seed + k}" if several else config.name
        )
        for k in range(seeds)
    ]
    rows = [None] if crossing is None else training_rows_of(config, data, crossing.folds.folds)
    return {
        FoldSeed(fold, one.seed): Part(training_of(one, data, own), config=one)
        for fold, own in enumerate(rows)
        for one in configs
    }, crossing

"""A validation small enough for a test: real folds, backtests and statistics of policies that nobody trained."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np

from cappuccino.agents.networks import make_policy
from cappuccino.assemble import Data, market_of, network_shape
from cappuccino.bars import BarTable
from cappuccino.config import compose
from cappuccino.config.roots import ValidateConfig
from cappuccino.evaluation.folds import Folds, folds_of
from cappuccino.evaluation.metrics import bars_a_year
from cappuccino.features.normaliser import Normaliser
from cappuccino.sources import load_bars
from cappuccino.validation.champion import champion_fold
from cappuccino.validation.crossed import Crossed, run_folds
from cappuccino.validation.findings import Findings, find
from cappuccino.validation.trained import Trained
from cappuccino.validation.verdict import judge, sentence

SMALL = (
    "name=small",
    "experiment=planted",
    "data.bars=900",
    "data.bar=4h",
    "data.start=2020-10-01",
    "data.train_end=null",
    "data.valid_end=null",
    "costs.half_spread_bps=2",
    "costs.slippage_bps=1",
    "network=mlp",
    "network.lookback=2",
    "network.hidden=[8]",
    "network.head=[8]",
    "env.clocks=4",
    "env.accounts=2",
    "env.episode_bars=16",
    "training.rollout_steps=16",
    "agent.minibatches=2",
    "seed=5",
)
"""Four-hour bars, of which three weeks are few; they begin in one year and end in the next."""
CPCV = (
    "validation.groups=4",
    "validation.test_groups=2",
    "seeds=2",
    "stress.taker_fees_bps=[0,10,40]",
    "stress.half_spreads_bps=[0,2]",
    "stress.slippages_bps=[1]",
    "stress.draws=3",
    "stress.crash_bars=4",
    "stress.starts=8",
    "stress.horizon_bars=20",
)
HOLDOUT = ("validation=holdout", "seeds=1", "stress=none")
"""Its one group is shorter than a warm-up."""
LOUDNESS = 300.0
"""Times what an untrained network says, so that it trades."""


class Case(NamedTuple):
    config: ValidateConfig
    bars: BarTable
    data: Data
    folds: Folds
    trained: dict[tuple[int, int], Trained]
    crossed: Crossed

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.config.seeds)


@functools.cache
def case(words: tuple[str, ...] = CPCV) -> Case:
    """One more fold than the folds' own is trained, as a validation does for its champion."""
    config = dataclasses.replace(compose("validate", [*SMALL, *words]), name="a <b>small</b> $one$")
    bars = load_bars(config.data)
    data = market_of(bars, config.data, tuple(config.features.names), config.network.lookback)
    stop = data.spans.test.start
    folds = folds_of(config.validation, data.spec, config.network.lookback, config.env.episode_bars, stop)
    seeds = range(config.seed, config.seed + config.seeds)
    features = len(data.spec.feature_names)
    trained = {}
    for fold, _ in enumerate([*folds.folds, champion_fold(stop, config.validation.selection)]):
        for seed in seeds:
            normaliser = Normaliser(np.zeros(features), np.ones(features), 5.0)
            policy, untrained = (
                make_policy(network_shape(config.network, data.spec), normaliser, key=jax.random.key(number))
                for number in (10 * fold + seed, seed)
            )
            policy.actor.output.kernel[...] = LOUDNESS * policy.actor.output.kernel[...]
            trained[fold, seed] = Trained(policy, untrained, fold + 1, 1_000 * seed, 1e-4 * np.sin(3.0 * fold + seed))
    return Case(config, bars, data, folds, trained, run_folds(config, data, folds, trained, seeds))


@functools.cache
def findings(words: tuple[str, ...] = CPCV) -> Findings:
    """What is found of the case, of a configuration that was not chosen from others."""
    made = case(words)
    verdict = judge(made.crossed, made.config.verdict, np.zeros(0))
    said = sentence(verdict, made.crossed, made.config.verdict, bars_a_year(made.data.spec.bar_seconds))
    return find(made.config, made.bars, made.data, made.folds, made.trained, made.crossed, verdict, said, None)

"""A small configuration to validate, and made-up results of validations."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from cappuccino.assemble import Data, load_market
from cappuccino.config import compose
from cappuccino.config.roots import ValidateConfig
from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.baselines import CASH, EQUAL_REBALANCED
from cappuccino.evaluation.folds import Folds, folds_of
from cappuccino.validation.crossed import Crossed

SMALL = (
    "name=small",
    "experiment=planted",
    "data.bars=2400",
    "data.train_end=null",
    "data.valid_end=null",
    "network=mlp",
    "network.hidden=[8]",
    "network.head=[8]",
    "env.clocks=4",
    "env.accounts=2",
    "env.episode_bars=16",
    "training.rollout_steps=16",
    "training.updates_per_chunk=1",
    "training.env_steps=256",
    "agent.minibatches=2",
    "agent.stretch=4",
    "validation.groups=4",
    "seeds=2",
    "verdict.draws=200",
)


@functools.cache
def small(*words: str) -> ValidateConfig:
    return compose("validate", [*SMALL, *words])


@functools.cache
def data_of(*words: str) -> Data:
    config = small(*words)
    return load_market(config.data, tuple(config.features.names), config.network.lookback)


def folds_for(config: ValidateConfig, data: Data) -> Folds:
    return folds_of(config.validation, data.spec, config.network.lookback, config.env.episode_bars, data.spans.test.start)


def path_of(returns: Float[np.ndarray, "N"]) -> Path:
    """A path of one asset with these returns; nothing else about it is true."""
    steps = len(returns)
    zeros, one = np.zeros(steps), np.zeros((steps, 1))
    return Path(
        assets=("BTC",),
        bar_seconds=3600,
        timestamps=3600 * np.arange(steps + 1),
        rows=np.arange(steps),
        begins=np.arange(steps) == 0,
        equity=1e5 * np.concatenate([[1.0], np.cumprod(1 + returns)]),
        weights=np.zeros((steps + 1, 1)),
        targets=one,
        sold=one,
        bought=one,
        notional=zeros,
        fees=zeros,
        slippage=zeros,
        refused=zeros,
    )


def crossed_of(agent: Float[np.ndarray, "S P N"], equal: Float[np.ndarray, "N"]) -> Crossed:
    """What agents with these returns, by seed and path, did beside equal weight and cash."""
    paths = agent.shape[1]
    return Crossed(
        agent=tuple(tuple(path_of(one) for one in by_path) for by_path in agent),
        baselines={
            CASH: tuple(path_of(np.zeros_like(equal)) for _ in range(paths)),
            EQUAL_REBALANCED: tuple(path_of(equal) for _ in range(paths)),
            "BTC held": tuple(path_of(equal) for _ in range(paths)),
        },
    )

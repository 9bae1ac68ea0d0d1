"""Trainings on the planted market, update by update, for the benchmarks of learning.

Three assets, a fee of 0.1 % and no other cost, 64 steps a rollout, episodes of 64 bars, 8 minibatches, two tanh layers of 64,
Adam at 1e-3, discount and lambda 0.9, reward times 100, initial log standard deviation -0.5. What is compared is how many
accounts share a clock, and which agent learns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from cappuccino.assemble import Data, load_market, training_of
from cappuccino.config.composition import compose
from cappuccino.config.roots import TrainConfig
from cappuccino.evaluation.backtest import backtest_span, policy_strategy
from cappuccino.evaluation.splits import Span
from cappuccino.training.learner import compile_chunk

SETTING = (
    "network=mlp",
    "network.lookback=1",
    "network.hidden=[64]",
    "network.head=[64]",
    "agent.learning_rate=1e-3",
    "agent.anneal=false",
    "env.episode_bars=64",
    "training.rollout_steps=64",
)
PPO = ("agent=ppo", "agent.gamma=0.9", "agent.gae_lambda=0.9", "agent.log_std=-0.5", "agent.minibatches=8", "agent.entropy=0")


class Point(NamedTuple):
    """After so many updates: seconds since the program was handed to the compiler, mean log growth per bar of the deterministic
    policy over the training span and over the held-out span, in percent. Seconds leave the measuring out."""

    update: int
    seconds: float
    training: float
    held_out: float


def training(
    overrides: tuple[str, ...], *, seed: int, every: int = 1, experiment: str = "planted", spans: bool = True
) -> Iterator[Point]:
    """Points of a training that goes on until nobody asks for more."""
    config: TrainConfig = compose(
        "train", [f"experiment={experiment}", *SETTING, *overrides, f"seed={seed}", f"data.seed={seed}"]
    )
    lookback = config.network.lookback
    data = load_market(config.data, tuple(config.features.names), lookback)
    training = training_of(config, data)
    learner, frozen, starts, params = training.learner, training.frozen, training.starts, training.params
    state = training.begin()

    begun = time.perf_counter()
    seconds, update = 0.0, 0
    given = (frozen, data.market, starts, params)
    chunk = compile_chunk(learner, every, state, *given)
    while True:
        state, _ = chunk(state, *given)
        jax.block_until_ready(state)
        seconds += time.perf_counter() - begun
        update += every
        strategy = policy_strategy(training.policy(state.weights), lookback)
        growth = [
            _growth(strategy, data, span, lookback, params) if spans or span.name != "train" else np.nan for span in data.spans
        ]
        yield Point(update, seconds, growth[0], growth[2])
        begun = time.perf_counter()


def _growth(strategy, data: Data, span: Span, lookback: int, params) -> float:
    path = backtest_span(strategy, data.market, data.spec, span, lookback, params.env)
    return 100 * float(np.mean(np.log1p(path.returns)))

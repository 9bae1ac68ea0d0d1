"""Nothing that is seen, done or valued up to the close of a bar depends on bars behind it; the normaliser is frozen."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents.networks import NetworkShape, make_policy
from cappuccino.agents.ppo import PPO
from cappuccino.agents.rollout import roll_out
from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.bars.table import FIELDS, BarTable
from cappuccino.env import Costs, Environment, EnvParams, RewardWeights, starts_at
from cappuccino.features.normaliser import fit_normaliser
from cappuccino.features.registry import FeatureSet
from cappuccino.market import build_market
from cappuccino.plan import OrderRules
from cappuccino.training.learner import Learner

NAMES = ("return_1", "return_24", "cci_20")
BARS, STEPS, LOOKBACK = 220, 12, 3


def params() -> EnvParams:
    value = functools.partial(jnp.asarray, dtype=jnp.float32)
    costs = Costs(value(1e-3), value(1e-4), value(1e-4), OrderRules(value(1), jnp.zeros((2, 1, 1), jnp.float32), value(0.04)))
    return EnvParams(costs, RewardWeights(*map(value, (100, 0, 0, 0, 0.01))), value(1e4), value(0.9))


def continued_otherwise(bars: BarTable, last: int) -> BarTable:
    """The same bars up to row `last`, and quite other ones behind it."""
    other = synthetic_bars("realistic", assets=bars.assets, bars=BARS, seed=99)
    level = bars.close[last] / other.close[last]
    columns = {
        name: np.where(
            np.arange(BARS)[:, None] <= last,
            getattr(bars, name),
            1.7 * (1 if name == "volume" else level) * getattr(other, name),
        )
        for name in FIELDS
    }
    return dataclasses.replace(bars, **columns)


@functools.cache
def bars() -> BarTable:
    return synthetic_bars("realistic", assets=("ONE", "TWO"), bars=BARS, seed=1)


@functools.partial(jax.jit, static_argnames="learner")
def rollout(learner, arrays, state, market, env_params, key):
    policy = nnx.merge(learner.graph, *arrays)
    return roll_out(policy, learner.env, state, learner.rollout_steps, market, env_params, key=key)[1]


@functools.cache
def learner_of(kind: str):
    features = FeatureSet(NAMES, 3600)
    market, spec = build_market(bars(), features)
    normaliser = fit_normaliser(np.asarray(market.features), spec.valid, 5.0)
    policy = make_policy(NetworkShape(kind, LOOKBACK, 2, len(NAMES), (8,), (8,)), normaliser, key=jax.random.key(0))
    graph, *arrays = nnx.split(policy, nnx.Param, ...)
    return Learner(graph, Environment(2, 3, STEPS), PPO(1, 1), STEPS), arrays


@pytest.mark.parametrize("kind", ["mlp", "per_asset", "conv", "transformer"])
@settings(max_examples=8)
@given(st.integers(0, STEPS - 1))
def test_bars_behind_a_tick_change_nothing_up_to_it(kind, seen):
    """The rollout begins `seen` steps before the bars differ: bar `last` is the last one that both markets share."""
    learner, arrays = learner_of(kind)
    last = 190
    records = []
    for table in (bars(), continued_otherwise(bars(), last)):
        market, _ = build_market(table, FeatureSet(NAMES, 3600))
        start = starts_at(np.array([last - seen]))
        state = learner.env.begin(market, start, params(), key=jax.random.key(1))
        records.append(jax.tree.map(np.asarray, rollout(learner, arrays, state, market, params(), jax.random.key(2))))
    one, other = records
    assert (one.tick[seen] == last).all()
    for name in ("tick", "weights", "action", "log_prob", "value"):
        np.testing.assert_array_equal(getattr(one, name)[: seen + 1], getattr(other, name)[: seen + 1], err_msg=name)
    for name in ("reward", "terminated"):
        np.testing.assert_array_equal(getattr(one, name)[:seen], getattr(other, name)[:seen], err_msg=name)
    assert (one.reward[seen] != other.reward[seen]).any()
    assert (one.value[seen + 1 :] != other.value[seen + 1 :]).any() or seen == STEPS - 1

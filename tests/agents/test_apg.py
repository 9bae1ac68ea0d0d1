"""The analytic gradient: the derivative of the simulation, hard rules passed straight through."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent_cases import ASSETS, FEATURES, LOOKBACK, policy_of
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents import optimisation
from cappuccino.agents.agent import Progress, World
from cappuccino.agents.apg import APG, APGParams
from cappuccino.agents.optimisation import OptimiserParams
from cappuccino.env import Account, Bar, Costs, Environment, EnvParams, RewardWeights, starts_at, trade
from cappuccino.env.account import straight_through
from cappuccino.market import Market
from cappuccino.plan import OrderRules

ROWS, STEPS = 40, 6


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def market_of(seed: int) -> Market:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, (ROWS, ASSETS)), axis=0))
    return Market(
        open=jnp.asarray(close * np.exp(rng.normal(0, 0.002, close.shape))),
        close=jnp.asarray(close),
        features=jnp.asarray(rng.standard_normal((ROWS, ASSETS, FEATURES))),
        tradable=jnp.ones(close.shape, bool),
    )


def env_params(*, increment: float = 0.0, min_notional: float = 0.0, limit: float = 1.0) -> EnvParams:
    rules = OrderRules(jnp.float64(min_notional), jnp.full((ASSETS, 1, 1), increment), jnp.float64(0.04))
    costs = Costs(jnp.float64(1e-3), jnp.float64(2e-4), jnp.float64(1e-4), rules)
    reward = RewardWeights(*map(jnp.float64, (100, 0, 0, 0, 0.01)))
    return EnvParams(costs, reward, jnp.float64(1e4), jnp.float64(limit))


def test_what_is_passed_straight_through_has_the_value_of_the_one_and_the_derivative_of_the_other():
    def rounded(x):
        return straight_through(3 * x, jnp.floor(x))

    assert float(rounded(jnp.float64(2.7))) == 2.0
    assert float(jax.grad(rounded)(jnp.float64(2.7))) == 3.0


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_derivative_of_a_step_is_that_of_finite_differences_where_no_hard_rule_binds(seed):
    rng = np.random.default_rng(seed)
    price = jnp.asarray(rng.uniform(1, 50, (ASSETS, 1)))
    there = jnp.ones((ASSETS, 1), bool)
    bar = Bar(price, there, price * rng.uniform(0.99, 1.01, (ASSETS, 1)), price * rng.uniform(0.95, 1.05, (ASSETS, 1)), there)
    held = rng.dirichlet(np.ones(ASSETS + 1))
    account = Account(
        jnp.asarray([1e4 * held[-1]]), jnp.asarray(1e4 * held[:-1, None]) / price, jnp.asarray([1e4]), jnp.asarray([1e4])
    )
    costs = env_params().costs
    costs = costs._replace(rules=costs.rules._replace(increment=jnp.zeros((ASSETS, 1))))
    target = rng.dirichlet(np.ones(ASSETS + 1))[:-1, None] * 0.9

    def growth(weights):
        return jnp.log(trade(account, weights, bar, costs)[0].equity[0] / 1e4)

    analytic = np.asarray(jax.grad(growth)(jnp.asarray(target)))
    for asset in range(ASSETS):
        nudge = np.zeros((ASSETS, 1))
        nudge[asset] = 1e-6
        numeric = (growth(jnp.asarray(target + nudge)) - growth(jnp.asarray(target - nudge))) / 2e-6
        if abs(target[asset, 0] - held[asset]) > 1e-5:
            assert analytic[asset, 0] == pytest.approx(float(numeric), rel=1e-4, abs=1e-8)


@functools.partial(jax.jit, static_argnames=("graph", "env"))
def learned(graph, env, weights, frozen, market, params, agent_params, key):
    state = env.begin(market, starts_at(np.arange(LOOKBACK, ROWS - STEPS - 1)), params, key=key)
    opt_state = optimisation.begin(weights, agent_params.optimiser)
    world, progress = World(graph, frozen, env, STEPS, market, params), Progress(weights, opt_state, state)
    return APG().update(world, progress, agent_params, jnp.int32(0), key=key)


def update(seed: int, *, rate: float = 1e-3, **rules: float):
    graph, weights, frozen = nnx.split(policy_of("mlp", dtype=np.float64, seed=seed), nnx.Param, ...)
    optimiser = OptimiserParams(*map(jnp.float64, (rate, 1, 10, 1e9)))
    env = Environment(4, 3, STEPS)
    arguments = (market_of(seed), env_params(**rules), APGParams(optimiser), jax.random.key(seed))
    return weights, learned(graph, env, weights, frozen, *arguments)


def test_increments_and_minimum_notional_do_not_stop_the_gradient():
    _, free = update(0)
    _, bound = update(0, increment=0.5, min_notional=200.0)
    assert float(bound.steps.turnover) < float(free.steps.turnover)
    assert float(bound.loss.gradient_norm) > 0.1 * float(free.loss.gradient_norm)
    _, nothing = update(0, min_notional=1e9)
    assert float(nothing.steps.turnover) == 0
    assert float(nothing.loss.gradient_norm) > 0


def test_following_the_gradient_raises_what_is_earned():
    for seed in range(3):
        before, after = update(seed, rate=0.0), update(seed, rate=1e-3)
        graph, _, frozen = nnx.split(policy_of("mlp", dtype=np.float64, seed=seed), nnx.Param, ...)
        optimiser = OptimiserParams(*map(jnp.float64, (0, 1, 10, 1e9)))
        again = learned(
            graph,
            Environment(4, 3, STEPS),
            after[1].progress.weights,
            frozen,
            market_of(seed),
            env_params(),
            APGParams(optimiser),
            jax.random.key(seed),
        )
        assert float(again.steps.reward) > float(before[1].steps.reward)


def test_critic_and_noise_are_left_as_they_are():
    weights, after = update(1)
    moved = dict(jax.tree_util.tree_leaves_with_path(after.progress.weights))
    for path, leaf in jax.tree_util.tree_leaves_with_path(weights):
        name = jax.tree_util.keystr(path)
        same = np.array_equal(leaf, moved[path])
        assert same == ("critic" in name or "log_std" in name), name

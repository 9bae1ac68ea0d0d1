"""Episodes: where they begin, how they end, what restarts, and that accounts do not touch one another."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_scenarios import ACCOUNTS, ASSETS, CLOCKS, STEPS, draw_scenario, on_device, run, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.env import REWARDS, Environment, RewardWeights, starts_at
from cappuccino.env.rewards import Outcome, SharpeMoments
from cappuccino.errors import InputError

PROPERTY = settings(max_examples=25, deadline=None)


@given(scene=scenarios(gap=0.2, limit=0.05, increments=False))
@PROPERTY
def test_a_terminated_account_restarts_in_place_with_fresh_capital_and_weights(scene):
    out = run(scene)
    ended = out.terminated
    for name in ("equity", "peak"):
        assert (getattr(out, name)[ended] == scene.capital).all()
    clock_tick = np.broadcast_to(out.tick[..., None], ended.shape)[ended]
    clock = np.broadcast_to(np.arange(ended.shape[1])[None, :, None], ended.shape)[ended]
    steps = np.nonzero(ended)[0]
    np.testing.assert_array_equal(clock_tick, scene.ticks[clock] + steps + 1)
    held = np.moveaxis(out.holdings, 1, -1)[ended] * scene.close[clock_tick] / scene.capital
    fresh = np.moveaxis(np.broadcast_to(scene.fresh, out.holdings.shape), 1, -1)[ended]
    np.testing.assert_allclose(held, fresh, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(out.cash[ended], (1 - fresh.sum(axis=-1)) * scene.capital, atol=1e-10 * scene.capital)
    # the weights observed before the next step are the fresh ones, the reward is still that of the account that ended
    again = np.moveaxis(out.observed[1:], 1, -1)[ended[:-1]]
    np.testing.assert_allclose(
        again, np.moveaxis(np.broadcast_to(scene.fresh, out.holdings.shape), 1, -1)[:-1][ended[:-1]], rtol=1e-12, atol=1e-14
    )
    np.testing.assert_array_equal(out.reward, out.log_growth)


@pytest.mark.parametrize("reward", ["log_growth", "differential_sharpe"])
@given(scene=scenarios(gap=0.2, limit=0.05))
@PROPERTY
def test_a_restart_leaves_its_neighbours_untouched(reward, scene):
    """Up to its own first restart an account lives as it would where nobody restarts."""
    ending, endless = run(scene, reward=reward), run(scene.but(limit=1.0), reward=reward)
    before = np.cumsum(ending.terminated, axis=0) == 0
    for name in ("cash", "equity", "peak", "reward", "log_growth", "refused"):
        np.testing.assert_array_equal(ending.record[name][before], endless.record[name][before], err_msg=name)
    lived = np.cumsum(ending.terminated, axis=0) <= 1
    np.testing.assert_array_equal(ending.reward[lived & ending.terminated], endless.reward[lived & ending.terminated])


@given(scene=scenarios(limit=0.1))
@PROPERTY
def test_an_account_terminates_exactly_where_its_drawdown_reaches_the_limit(scene):
    out = run(scene)
    equity = np.concatenate([np.full_like(out.equity[:1], scene.capital), out.equity[:-1]]) * np.exp(out.log_growth)
    peak = np.concatenate([np.full_like(out.peak[:1], scene.capital), out.peak[:-1]])
    drawdown = 1 - equity / np.maximum(peak, equity)
    sure = np.abs(drawdown - scene.limit) > 1e-9
    np.testing.assert_array_equal(out.terminated[sure], (drawdown >= scene.limit)[sure])


@given(scene=scenarios(limit=1.0))
@PROPERTY
def test_the_end_of_an_episode_is_no_termination(scene):
    """The last step of an episode looks like any other: nothing ends or restarts, and the account stands at its equity."""
    out = run(scene)
    np.testing.assert_array_equal(out.age, np.arange(1, STEPS + 1))
    assert not out.terminated.any()
    before = np.concatenate([np.full_like(out.equity[:1], scene.capital), out.equity[:-1]])
    np.testing.assert_allclose(out.equity, before * np.exp(out.log_growth), rtol=1e-12)


def test_random_weights_are_even_over_the_simplex():
    """Non-negative, sum at most one, and of each of the A + 1 shares the moments of the flat Dirichlet: mean 1 / (A + 1)."""
    env = Environment(100, 200, 1)
    draw = jax.jit(lambda key: env.random_weights(ASSETS, jnp.float32, key=key))
    weights = np.asarray(draw(jax.random.key(4)), np.float64)
    assert weights.shape == (ASSETS, 100, 200)
    assert (weights >= 0).all()
    assert (weights.sum(axis=0) <= 1 + 1e-6).all()
    shares = np.concatenate([weights, 1 - weights.sum(axis=0, keepdims=True)]).reshape(ASSETS + 1, -1)
    n = ASSETS + 1
    variance = (n - 1) / (n**2 * (n + 1))
    np.testing.assert_allclose(shares.mean(axis=1), 1 / n, atol=5 * np.sqrt(variance / shares.shape[1]))
    np.testing.assert_allclose(shares.var(axis=1), variance, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(shares)[~np.eye(n, dtype=bool)], -1 / (n - 1), atol=0.05)


begin = jax.jit(Environment.begin, static_argnums=0)
ENV = Environment(CLOCKS, ACCOUNTS, STEPS)


def test_episodes_begin_on_the_given_rows_and_on_all_of_them():
    scene = draw_scenario(0)
    market, params = on_device(scene, jnp.float32)
    seen = set()
    for seed in range(20):
        state = begin(ENV, market, starts_at(np.array([2, 3, 11, 15])), params, key=jax.random.key(seed))
        seen |= set(np.asarray(state.tick).tolist())
        assert int(state.age) == 0
        account = jax.tree.map(np.asarray, state.account)
        assert (account.equity == scene.capital).all()
        assert (account.peak == scene.capital).all()
        assert (account.cash >= 0).all()
        assert (account.holdings >= 0).all()
        price = scene.close[np.asarray(state.tick)].T[..., None]
        np.testing.assert_allclose(account.cash + (account.holdings * price).sum(axis=0), scene.capital, rtol=1e-6)
    assert seen == {2, 3, 11, 15}


@given(seeds=st.lists(st.integers(0, 2**31 - 1), min_size=2, max_size=2, unique=True), scene=scenarios())
@PROPERTY
def test_the_same_key_gives_the_same_trajectory_and_another_key_another(seeds, scene):
    market, params = on_device(scene, jnp.float32)

    def episode(seed):
        state = jax.tree.map(np.asarray, begin(ENV, market, starts_at(np.arange(4)), params, key=jax.random.key(seed)))
        weights = state.account.holdings * scene.close[state.tick].T[..., None] / scene.capital
        return state, run(scene.but(ticks=state.tick, initial=weights), double=False).record

    first, again, other = (episode(seed) for seed in (*seeds[:1], *seeds))
    chex.assert_trees_all_equal(first, again)
    assert not np.array_equal(first[0].account.cash, other[0].account.cash)


def test_a_batch_of_accounts_equals_its_accounts_one_by_one():
    """With the reward that has a state of its own for every account."""
    reward = "differential_sharpe"
    scene = draw_scenario(8, gap=0.1, masked=0.2, increments=True, min_notional=10.0, limit=0.1)
    batch = run(scene, reward=reward)
    for g in range(3):
        for r in range(4):
            one = {name: getattr(scene, name)[..., g : g + 1, r : r + 1] for name in ("initial", "targets", "fresh")}
            alone = run(scene.but(**one, ticks=scene.ticks[g : g + 1]), reward=reward)
            for name, value in alone.record.items():
                expected = batch.record[name][..., g : g + 1, r : r + 1]
                np.testing.assert_allclose(value, expected, rtol=1e-10, atol=1e-10, err_msg=name)


def test_changing_a_traced_parameter_does_not_retrace():
    """Costs, rules, reward weights, capital, limit and market are arguments: a search over them compiles once."""
    scene = draw_scenario(2)
    market, params = on_device(scene, jnp.float32)
    starts, target = starts_at(np.arange(4)), jnp.asarray(scene.targets[0], jnp.float32)

    def first_step(env, market, params):
        state = env.begin(market, starts, params, key=jax.random.key(0))
        return env.step(state, target, target, market, params)

    traced = jax.jit(chex.assert_max_traces(first_step, n=1), static_argnums=0)
    traced.trace(ENV, market, params)
    leaves, tree = jax.tree.flatten(params)
    for i, leaf in enumerate(leaves):
        traced.trace(ENV, market, jax.tree.unflatten(tree, [*leaves[:i], leaf + 0.01, *leaves[i + 1 :]]))
    traced.trace(ENV, on_device(draw_scenario(3), jnp.float32)[0], params)
    with pytest.raises(AssertionError, match="traced"):
        traced.trace(Environment(CLOCKS, ACCOUNTS, STEPS, "excess"), market, params)


@given(growth=st.lists(st.floats(0.9, 1.1), min_size=2, max_size=30), rate=st.sampled_from([0.001, 0.01, 0.1]))
@PROPERTY
def test_differential_sharpe_is_the_slope_of_the_moving_sharpe_ratio(growth, rate):
    """A central difference of A / sqrt(B - A^2) in the forgetting rate, times the rate, above the floor of the variance."""
    rule, mean, square, h = REWARDS["differential_sharpe"], 0.001, 0.0004, 1e-6
    with jax.enable_x64(True):
        state = SharpeMoments(jnp.full(1, mean), jnp.full(1, square))
        weights = RewardWeights(*(jnp.asarray(x) for x in (1.0, 0.0, 0.0, 0.0, rate)))
        for ratio in growth:
            one = jnp.full(1, ratio)
            value, state = rule.step(state, Outcome(one, one, one, one, one[None]), weights)
            x = np.log(ratio)

            def sharpe(eta, a=mean, b=square, x=x):
                a, b = a + eta * (x - a), b + eta * (x * x - b)
                return a / np.sqrt(b - a * a)

            slope = (sharpe(h) - sharpe(-h)) / (2 * h)
            np.testing.assert_allclose(value, rate * slope, rtol=1e-5, atol=1e-9)
            mean, square = mean + rate * (x - mean), square + rate * (x * x - square)
            if square - mean**2 < 1e-7:
                return


def test_excess_of_equal_weights_held_without_costs_is_zero():
    scene = draw_scenario(6, half_spread=0.0, slippage=0.0, taker_fee=0.0)
    equal = np.full_like(scene.initial, 1 / ASSETS)
    out = run(scene.but(initial=equal, targets=np.broadcast_to(equal, scene.targets.shape)), reward="excess")
    np.testing.assert_allclose(out.reward[0], 0, atol=1e-12)


@pytest.mark.parametrize("change", [{"clocks": 0}, {"accounts": -1}, {"episode_bars": 0}, {"reward": "profit"}])
def test_an_impossible_environment_is_refused_with_its_value(change):
    shape = {"clocks": 1, "accounts": 1, "episode_bars": 1}
    with pytest.raises(InputError, match=str(next(iter(change.values())))):
        Environment(**(shape | change))

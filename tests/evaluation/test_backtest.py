"""The backtest: equal to a slow loop, blind to the future, the same in chunks as one window at a time."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, WARMUP, made_market, made_params, made_policy, slow_backtest

from cappuccino.agents.networks import decide
from cappuccino.errors import InputError
from cappuccino.evaluation import backtest as module
from cappuccino.evaluation.backtest import (
    PolicyRule,
    backtest,
    backtest_span,
    episode_begins,
    policy_strategy,
    replay_one,
    span_rows,
    table_strategy,
)
from cappuccino.evaluation.splits import Span
from cappuccino.market import windows

ROWS = np.concatenate([np.arange(5, 25), np.arange(35, 54)])


def random_targets(rows: int, assets: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(assets + 1, 0.7), rows)[:, :-1]


@given(
    seed=st.integers(0, 2**32 - 1),
    holes=st.sampled_from([0.0, 0.2]),
    fee=st.sampled_from([0.0, 0.0025, 0.05]),
    min_notional=st.sampled_from([0.01, 10.0, 900.0]),
    increment=st.sampled_from([0.0, 1e-9, 1e-2]),
    margin=st.sampled_from([0.0, 0.04]),
)
@settings(max_examples=15)
def test_float64_backtest_equals_slow_loop(seed, holes, fee, min_notional, increment, margin):
    with jax.enable_x64(True):
        market, _ = made_market((30, 30), holes=holes, dtype=np.float64, seed=seed)
        params = made_params(
            fee=fee, min_notional=min_notional, increment=np.array([increment, 0, increment]), margin=margin, dtype=np.float64
        )
        targets = random_targets(len(ROWS), 3, seed)
        initial = np.array([0.2, 0.0, 0.3])
        record = backtest(table_strategy(targets), market, ROWS, params, initial)
        assert record.equity.dtype == np.float64
        for name, expected in slow_backtest(targets, market, ROWS, params, initial).items():
            scale = 1e4 if name in ("equity", "notional", "fees", "slippage") else 1.0
            np.testing.assert_allclose(getattr(record, name), expected, rtol=1e-10, atol=1e-10 * scale, err_msg=name)
        np.testing.assert_array_equal(record.targets, targets)


def test_float32_backtest_stays_near_float64():
    """Over 400 bars, to 1e-4 of the equity."""
    targets, rows = random_targets(390, 3, 0), np.arange(5, 395)
    market, _ = made_market((400,), seed=1)
    fast = backtest(table_strategy(targets.astype(np.float32)), market, rows, made_params(), np.zeros(3, np.float32))
    assert fast.equity.dtype == np.float32
    slow = slow_backtest(targets.astype(np.float32), market, rows, made_params(), np.zeros(3))
    np.testing.assert_allclose(fast.equity, slow["equity"], rtol=1e-4)


@pytest.mark.parametrize("kind", ["mlp", "per_asset", "conv", "transformer"])
def test_encoding_in_chunks_equals_one_window_at_a_time(kind, monkeypatch):
    """Chunks of 7 rows, the last one not full; the reference decides with the graph that is exported."""
    monkeypatch.setattr(module, "ENCODE_ROWS", 7)
    market, _ = made_market((60,), seed=3)
    policy, rows = made_policy(kind=kind), np.setdiff1d(np.arange(10, 52), [30, 31])  # a hole: one chunk is no stretch
    strategy = policy_strategy(policy, LOOKBACK)
    run = jax.jit(replay_one, static_argnames="rule")
    record = run(strategy.rule, strategy.arrays, market, jnp.asarray(rows), made_params(), jnp.zeros(3))
    observed = np.concatenate([np.zeros((1, 3), np.float32), record.weights[:-1]])
    observed[rows == 32] = 0  # behind the hole an episode begins, from cash
    one_by_one = nnx.jit(lambda one, row, weights: decide(one, windows(market.features, row, LOOKBACK), weights))
    for k, row in enumerate(rows):
        np.testing.assert_allclose(record.targets[k], one_by_one(policy, row, observed[k]), atol=2e-6)
    assert np.ptp(np.asarray(record.targets), axis=0).min() > 0.1


@given(changed=st.integers(12, 48), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_bars_after_t_change_no_target_up_to_t(changed, seed):
    market, spec = made_market((50,), seed=5)
    rng = np.random.default_rng(seed)
    later = np.arange(50)[:, None] >= changed
    factor = jnp.asarray(np.where(later, rng.uniform(0.5, 2, (50, 3)), 1), jnp.float32)
    noise = jnp.asarray(np.where(later[..., None], rng.normal(0, 1, market.features.shape), 0), jnp.float32)
    other = market._replace(open=market.open * factor, close=market.close * factor, features=market.features + noise)
    span, strategy = Span("all", 0, 50), policy_strategy(made_policy(), LOOKBACK)
    before, after = (backtest_span(strategy, one, spec, span, LOOKBACK, made_params()) for one in (market, other))
    known = before.rows < changed
    np.testing.assert_array_equal(before.targets[known], after.targets[known])
    np.testing.assert_array_equal(before.equity[:-1][known], after.equity[:-1][known])
    assert not np.array_equal(before.targets, after.targets)


def test_policies_of_one_shape_and_other_costs_share_one_program():
    market, spec = made_market((61,), seed=7)
    span = Span("all", 0, 61)
    backtest_span(policy_strategy(made_policy(seed=0), LOOKBACK), market, spec, span, LOOKBACK, made_params())
    compiled = module._compiled._cache_size()
    other, _ = made_market((61,), seed=8)
    backtest_span(policy_strategy(made_policy(seed=1), LOOKBACK), other, spec, span, LOOKBACK, made_params(fee=0.01))
    assert module._compiled._cache_size() == compiled


def test_segments_are_episodes_from_cash_and_growth_is_chained():
    market, spec = made_market((30, 25, 30), seed=11)
    params, span = made_params(min_notional=0.01), Span("all", 0, 85)
    rows = span_rows(spec, span, LOOKBACK)
    first = WARMUP + LOOKBACK - 1
    expected = np.concatenate([np.arange(first, 29), np.arange(30 + first, 54), np.arange(55 + first, 84)])
    np.testing.assert_array_equal(rows, expected)
    targets = random_targets(len(rows), 3, 12).astype(np.float32)
    path = backtest_span(table_strategy(targets), market, spec, span, LOOKBACK, params)
    starts = np.flatnonzero(path.begins)
    assert path.rows[starts].tolist() == [first, 30 + first, 55 + first]
    growth = 1.0
    for a, b in zip(starts, [*starts[1:], len(rows)], strict=True):
        alone = slow_backtest(targets[a:b], market, rows[a:b], params, np.zeros(3))
        np.testing.assert_allclose(path.equity[a + 1 : b + 1], growth * alone["equity"], rtol=1e-5)
        np.testing.assert_allclose(path.fees[a:b], growth * alone["fees"], rtol=1e-3, atol=1e-3)
        growth *= alone["equity"][-1] / 10_000
    np.testing.assert_array_equal(path.timestamps[1:], spec.timestamps[rows + 1])
    np.testing.assert_array_equal(np.asarray(episode_begins(jnp.asarray(rows))), path.begins)


def test_last_step_is_marked_inside_the_span_and_the_first_may_look_back_before_it():
    _, spec = made_market((60,))
    rows = span_rows(spec, Span("test", 20, 40), LOOKBACK)
    assert (rows[0], rows[-1]) == (20, 38)


def test_policy_decides_in_its_own_dtype_in_a_float64_market():
    (single, spec), strategy = made_market((40,), seed=2), policy_strategy(made_policy(), LOOKBACK)
    with jax.enable_x64(True):
        double, _ = made_market((40,), seed=2, dtype=np.float64)
        paths = [
            backtest_span(strategy, market, spec, Span("all", 0, 40), LOOKBACK, params)
            for market, params in ((single, made_params()), (double, made_params(dtype=np.float64)))
        ]
    np.testing.assert_allclose(paths[0].targets, paths[1].targets, atol=1e-5)


def test_span_without_a_decision_is_refused():
    _, spec = made_market((60,))
    with pytest.raises(InputError, match="valid span, rows 0 to 7, holds no bar to decide at"):
        span_rows(spec, Span("valid", 0, WARMUP + LOOKBACK), LOOKBACK)
    assert len(span_rows(spec, Span("valid", 0, WARMUP + LOOKBACK + 1), LOOKBACK)) == 1


@pytest.mark.parametrize("row", [[0.6, 0.5], [-0.1, 0.5], [np.nan, 0.5]])
def test_impossible_target_weights_are_refused(row):
    with pytest.raises(InputError, match="target weights of step 1"):
        table_strategy(np.array([[0.5, 0.5], row]))


def test_equal_policies_have_equal_rules():
    one, other = (policy_strategy(made_policy(seed=seed), LOOKBACK).rule for seed in (0, 1))
    assert isinstance(one, PolicyRule)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.slow
def test_year_of_hours_needs_little_memory():
    """Temporary memory of a year of hourly bars with a look-back of 48 stays below 64 MB: no window outlives its chunk."""
    market, _ = made_market((8_860,), assets=tuple("ABCDEFG"), seed=4)
    strategy = policy_strategy(made_policy(7), LOOKBACK)
    rows = jnp.arange(50, 8_810, dtype=jnp.int32)
    compiled = module._compiled.lower(strategy.rule, strategy.arrays, market, rows, made_params(), jnp.zeros(7)).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 64e6

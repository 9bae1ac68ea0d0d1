"""Baselines: what they hold, when they trade, and what they cost."""

from __future__ import annotations

import statistics

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, START, made_market, made_params, made_policy

from cappuccino.evaluation import backtest as module
from cappuccino.evaluation.backtest import Path, backtest_span, policy_strategy, span_rows, table_strategy
from cappuccino.evaluation.baselines import (
    CASH,
    EQUAL_HELD,
    EQUAL_REBALANCED,
    INVERSE_VOLATILITY,
    MOMENTUM,
    baselines,
    inverse_volatility_shares,
    look_back,
    momentum_shares,
    random_strategy,
)
from cappuccino.evaluation.splits import Span
from cappuccino.trading import held, review

SPAN = Span("all", 0, 80)


def run(name, lengths=(80,), *, params=None, **fields):
    market, spec = made_market(lengths, **fields)
    strategy = baselines(market, spec)[name]
    return backtest_span(strategy, market, spec, SPAN, LOOKBACK, params or made_params()), market


@pytest.mark.parametrize("name", [CASH, "BTC held", EQUAL_HELD])
def test_holding_beside_a_trader_earns_what_the_baseline_of_that_name_earns(name):
    path, market = run(name, holes=0.2, seed=3)
    open_, close = np.asarray(market.open, np.float64), np.asarray(market.close, np.float64)
    mask = np.asarray(market.tradable)
    prices = [review.BarPrices(close[t], mask[t], open_[t + 1], close[t + 1], mask[t + 1]) for t in path.rows]
    session = review.Session(
        openings=[*path.rows.tolist(), int(path.rows[-1]) + 1],
        bar_seconds=1,
        prices=prices,
        decisions={},
        marks={int(path.rows[0]): review.Holdings(10_000.0, np.zeros(3))},
        replayed=lambda *_: None,
        orders=(),
        costs=review.Costs(fee=0.0025, friction=0.0003, min_notional=10.0, margin=0.04),
        venue_fee=0.0,
    )
    np.testing.assert_allclose(held.baselines(session, path.assets)[name], path.equity, rtol=1e-5)


@given(seed=st.integers(0, 2**32 - 1), holes=st.sampled_from([0.0, 0.3]))
@settings(max_examples=10)
def test_cash_earns_exactly_zero(seed, holes):
    path, _ = run(CASH, (40, 40), seed=seed, holes=holes)
    assert (path.equity == 10_000).all()
    assert not path.notional.any()
    assert not path.refused.any()


def test_equal_weight_held_trades_once_where_the_first_order_spends_the_cash():
    """Opens equal the closes before, and the margin leaves less than an order; each episode buys anew."""
    market, spec = made_market((40, 40))
    market = market._replace(open=market.close[np.r_[0, :79]])
    params = made_params(fee=0, half_spread=0, slippage=0, margin=1e-4)
    path = backtest_span(baselines(market, spec)[EQUAL_HELD], market, spec, SPAN, LOOKBACK, params)
    assert np.flatnonzero(path.notional).tolist() == np.flatnonzero(path.begins).tolist()
    np.testing.assert_allclose(path.targets[0], 1 / 3)


def test_equal_weight_held_buys_in_the_first_two_bars_only():
    """The venue's margin of 4 % leaves 4 % of cash after the first order, and 4 % of that after the second."""
    path, _ = run(EQUAL_HELD)
    assert np.flatnonzero(path.notional).tolist() == [0, 1]
    assert path.weights[1].sum() == pytest.approx(1 / 1.04, abs=2e-3)
    assert path.weights[2].sum() > 0.995
    assert not path.sold.any()


def test_held_coin_is_btc_and_follows_its_price():
    path, market = run("BTC held")
    close = np.asarray(market.close[:, 1], float)[path.rows + 1]
    growth = path.equity[1:] / path.equity[-1]
    np.testing.assert_allclose(growth[2:], (close / close[-1])[2:], rtol=2e-3)
    assert not path.weights[:, [0, 2]].any()


def test_without_btc_the_first_asset_is_held_and_named():
    path, _ = run("SOL held", assets=("SOL", "ETH"))
    assert path.weights[5, 0] > 0.99


@pytest.mark.parametrize(("bar_seconds", "every"), [(3600, 24), (14_400, 6), (86_400, 1), (604_800, 1)])
def test_rebalancing_is_at_the_end_of_the_day_or_every_bar_if_bars_are_longer(bar_seconds, every):
    path, _ = run(EQUAL_REBALANCED, bar_seconds=bar_seconds, params=made_params(min_notional=0.1))
    traded = np.flatnonzero(path.notional)
    closes = (path.timestamps[:-1] - START) // bar_seconds + 1
    assert traded[traded > 1].tolist() == [step for step in range(2, len(path)) if closes[step] % every == 0]
    np.testing.assert_allclose(path.targets[traded[2:]], 1 / 3)


def daily_market(lengths=(60, 50), **fields):
    """Daily bars of four assets, of which the second stands still from row 20 to 45."""
    market, spec = made_market(lengths, assets=("ETH", "BTC", "LTC", "SOL"), bar_seconds=86_400, **fields)
    close = np.asarray(market.close, np.float64).copy()
    close[20:46, 1] = close[20, 1]
    return close, market, spec


@given(seed=st.integers(0, 2**32 - 1), lengths=st.sampled_from([(110,), (60, 50), (15, 23, 72)]))
@settings(max_examples=15)
def test_shares_equal_plain_loops(seed, lengths):
    close, _, spec = daily_market(lengths, seed=seed)
    momentum, inverse = momentum_shares(close, spec), inverse_volatility_shares(close, spec)
    assert look_back(spec) == 21
    for row in range(len(close)):
        if row < 21 or spec.segment[row - 21] != spec.segment[row]:
            np.testing.assert_array_equal(momentum[row], 0.25)
            np.testing.assert_array_equal(inverse[row], 0.25)
            continue
        gains = [close[row, a] / close[row - 21, a] for a in range(4)]
        best = sorted(range(4), key=lambda a: -gains[a])[:2]
        np.testing.assert_array_equal(momentum[row], [0.5 if a in best else 0.0 for a in range(4)])
        logs = [[float(np.log(close[t, a] / close[t - 1, a])) for t in range(row - 20, row + 1)] for a in range(4)]
        inverses = [0.0 if not any(one) else 1 / statistics.stdev(one) for one in logs]
        np.testing.assert_allclose(inverse[row], np.array(inverses) / sum(inverses), rtol=1e-6)


def test_an_odd_number_of_assets_leaves_the_larger_half_and_ties_go_in_order():
    _, spec = made_market((30,), bar_seconds=86_400)
    close = np.ones((30, 3))
    np.testing.assert_array_equal(momentum_shares(close, spec)[25], [0.5, 0.5, 0])
    np.testing.assert_allclose(inverse_volatility_shares(close, spec)[25], 1 / 3)
    close[25] = [1, 0.9, 1.1]
    np.testing.assert_array_equal(momentum_shares(close, spec)[25], [0.5, 0, 0.5])


@pytest.mark.parametrize("name", [CASH, "BTC held", EQUAL_HELD, EQUAL_REBALANCED, MOMENTUM, INVERSE_VOLATILITY])
def test_the_future_does_not_matter(name):
    """Every price from a bar on is another one: nothing decided before it changes."""
    market, spec = made_market((90,), bar_seconds=86_400, seed=4)
    noise = np.exp(np.random.default_rng(5).normal(0, 0.2, market.close.shape)).astype(np.float32)
    noise[:60] = 1
    other = market._replace(open=market.open * noise, close=market.close * noise)
    span, params = Span("all", 0, 90), made_params(min_notional=0.01)
    paths = [backtest_span(baselines(one, spec)[name], one, spec, span, LOOKBACK, params) for one in (market, other)]
    known = paths[0].rows < 60
    np.testing.assert_array_equal(paths[0].targets[known], paths[1].targets[known])
    np.testing.assert_array_equal(paths[0].equity[:-1][known], paths[1].equity[:-1][known])
    if name in (MOMENTUM, INVERSE_VOLATILITY):
        assert np.ptp(paths[0].targets[known][30:], axis=0).max() > 0.01
        assert not np.array_equal(paths[0].targets[~known], paths[1].targets[~known])


def traded(path: Path) -> float:
    return float((path.notional / path.equity[:-1]).sum())


def random_path(agent, market, spec, span, seed=0) -> Path:
    strategy = random_strategy(agent, spec, market.close.dtype, rng=np.random.default_rng(seed))
    return backtest_span(strategy, market, spec, span, LOOKBACK, made_params(min_notional=1.0))


@pytest.mark.parametrize("loudness", [3.0, 30.0])
def test_random_trades_turn_over_what_the_agent_does(loudness):
    market, spec = made_market((1500, 900), move=0.005, seed=2)
    span = Span("all", 0, 2400)
    policy = policy_strategy(made_policy(loudness=loudness), LOOKBACK)
    agent = backtest_span(policy, market, spec, span, LOOKBACK, made_params(min_notional=1.0))
    paths = [random_path(agent, market, spec, span, seed) for seed in range(4)]
    for path in paths:
        assert traded(path) == pytest.approx(traded(agent), rel=0.1)
    assert not np.array_equal(paths[0].targets, paths[1].targets)
    np.testing.assert_array_equal(paths[0].targets, random_path(agent, market, spec, span).targets)


def test_random_trades_of_an_agent_that_hardly_trades():
    """Out of the market it stays out; with one small purchase it makes one, as small."""
    market, spec = made_market((300,), seed=2)
    span = Span("all", 0, 300)
    rows = span_rows(spec, span, LOOKBACK)
    for share in (0.0, 0.05):
        targets = np.zeros((len(rows), 3), np.float32)
        targets[:, 0] = share * np.asarray(market.close)[rows, 0] / np.asarray(market.close)[rows[0], 0]
        agent = backtest_span(table_strategy(targets), market, spec, span, LOOKBACK, made_params(min_notional=100.0))
        path = random_path(agent, market, spec, span)
        assert traded(path) == pytest.approx(traded(agent), rel=0.1)
        assert np.count_nonzero(path.notional) <= 2


def test_random_trades_do_not_look_at_the_market():
    """Where the agent's path is the same, so is what is asked for at the moments of trading."""
    market, spec = made_market((300,), seed=2)
    other, _ = made_market((300,), seed=3)
    span = Span("all", 0, 300)
    agent = backtest_span(policy_strategy(made_policy(), LOOKBACK), market, spec, span, LOOKBACK, made_params())
    one, two = (random_path(agent, prices, spec, span) for prices in (market, other))
    moments = np.flatnonzero((one.targets == two.targets).all(axis=1))
    assert len(moments) > 5
    strategy = random_strategy(agent, spec, np.float32, rng=np.random.default_rng(0))
    assert set(np.flatnonzero(np.asarray(strategy.arrays.rebalances)[one.rows])) <= set(moments)


def test_all_baselines_are_one_program():
    market, spec = made_market((82,))
    jax.clear_caches()
    paths = [backtest_span(one, market, spec, SPAN, LOOKBACK, made_params()) for one in baselines(market, spec).values()]
    random_path(paths[-1], market, spec, SPAN)
    assert module._compiled._cache_size() == 1

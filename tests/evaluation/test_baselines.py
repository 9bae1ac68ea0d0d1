"""Baselines: what they hold, when they trade, and what they cost."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, made_market, made_params

from cappuccino.evaluation import backtest as module
from cappuccino.evaluation.backtest import backtest_span
from cappuccino.evaluation.baselines import CASH, EQUAL_HELD, EQUAL_REBALANCED, baselines
from cappuccino.evaluation.splits import Span

SPAN = Span("all", 0, 80)


def run(name, lengths=(80,), *, params=None, **fields):
    market, spec = made_market(lengths, **fields)
    strategy = baselines(spec, market.close.dtype)[name]
    return backtest_span(strategy, market, spec, SPAN, LOOKBACK, params or made_params()), market


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
    path = backtest_span(baselines(spec, np.float32)[EQUAL_HELD], market, spec, SPAN, LOOKBACK, params)
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
def test_rebalancing_is_daily_or_every_bar_if_bars_are_longer(bar_seconds, every):
    path, _ = run(EQUAL_REBALANCED, bar_seconds=bar_seconds, params=made_params(min_notional=0.1))
    traded = np.flatnonzero(path.notional)
    assert traded[traded > 1].tolist() == list(range(max(every, 2), len(path), every))
    np.testing.assert_allclose(path.targets[every], 1 / 3)


def test_all_baselines_are_one_program():
    market, spec = made_market((82,))
    jax.clear_caches()
    for strategy in baselines(spec, np.float32).values():
        backtest_span(strategy, market, spec, SPAN, LOOKBACK, made_params())
    assert module._compiled._cache_size() == 1

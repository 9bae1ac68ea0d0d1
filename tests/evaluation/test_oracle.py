"""The oracle of the planted market: strong, aware of costs, and fitted on the span that it is given."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_markets import LOOKBACK, made_market, made_params

from cappuccino.bars.synthetic import BAR_VOLATILITY, planted_drift, synthetic_bars
from cappuccino.evaluation.backtest import backtest_span, table_strategy
from cappuccino.evaluation.baselines import baselines
from cappuccino.evaluation.oracle import HORIZONS, fit_oracle, oracle_strategy
from cappuccino.evaluation.splits import Span

ASSETS = ("BTC", "ETH", "LTC")
BARS = 3000
TRAIN, TEST = Span("train", 0, 2000), Span("test", 2000, BARS)


@pytest.fixture(scope="module")
def planted():
    bars = synthetic_bars("planted", assets=ASSETS, bars=BARS, seed=1)
    drift = planted_drift(assets=ASSETS, bars=BARS, seed=1)
    market, spec = made_market((BARS,), assets=ASSETS)
    market = market._replace(open=jnp.asarray(bars.open, jnp.float32), close=jnp.asarray(bars.close, jnp.float32))
    params = made_params(fee=0.001)
    return drift, market, dataclasses.replace(spec, origin=bars.origin), params


def growth(path):
    return np.log(path.equity[-1] / path.equity[0]) / len(path)


def test_fitted_oracle_beats_the_baselines_and_a_player_blind_to_costs(planted):
    drift, market, spec, params = planted
    fit = fit_oracle(drift, BAR_VOLATILITY, market, spec, TRAIN, LOOKBACK, params)
    oracle = backtest_span(fit.strategy, market, spec, TEST, LOOKBACK, params)
    best = np.argmax(drift, axis=1)
    chaser = np.eye(3, dtype=np.float32)[best][oracle.rows]
    others = [*baselines(market, spec).values(), table_strategy(chaser)]
    assert growth(oracle) > 5e-4
    for other in others:
        assert growth(oracle) > growth(backtest_span(other, market, spec, TEST, LOOKBACK, params)) + 1e-4


def test_fit_reports_what_a_backtest_of_each_horizon_earns(planted):
    drift, market, spec, params = planted
    span = Span("train", 0, 300)
    fit = fit_oracle(drift, BAR_VOLATILITY, market, spec, span, LOOKBACK, params)
    assert set(fit.mean_log_growth) == set(HORIZONS)
    assert fit.mean_log_growth[fit.horizon] == max(fit.mean_log_growth.values())
    for horizon in (HORIZONS[0], HORIZONS[-1]):
        strategy = oracle_strategy(drift, BAR_VOLATILITY, params, horizon, dtype=jnp.float32)
        path = backtest_span(strategy, market, spec, span, LOOKBACK, params)
        assert fit.mean_log_growth[horizon] == pytest.approx(growth(path), abs=2e-6)


def decided(drift, weights, *, fee=0.001, horizon=8.0):
    params = made_params(fee=fee, half_spread=0, slippage=0)
    strategy = oracle_strategy(np.zeros((1, 3)), BAR_VOLATILITY, params, horizon, dtype=jnp.float32)
    decide = jax.jit(strategy.rule.decide)
    held = jnp.asarray(weights, jnp.float32)[:, None]
    return np.asarray(decide(strategy.arrays, jnp.asarray(drift, jnp.float32), held))[:, 0]


def test_drift_within_the_band_moves_nothing():
    """8 bars of a lead of 0.0002 do not pay two fees of 0.001; of 0.001 they do."""
    held = [0.5, 0.2, 0.1]
    np.testing.assert_array_equal(decided([1e-5, 1e-5, 1e-5], held), np.asarray(held, np.float32))
    assert decided([0.001, 0.0, 0.0], held)[0] > 0.9


@pytest.mark.parametrize("drift", [[-0.01, -0.02, -0.01], [0.01, -0.01, 0.002], [0.002, 0.002, 0.002]])
def test_targets_are_portfolios(drift):
    target = decided(drift, [0.4, 0.3, 0.3])
    assert (target >= 0).all()
    assert target.sum() <= 1 + 1e-6
    assert target.sum() == pytest.approx(0.0 if max(drift) < 0 else 1.0, abs=1e-6)


def test_without_costs_equal_drifts_are_held_in_equal_parts():
    """The growth-optimal portfolio of equal assets spreads the risk, to a move of 1/16."""
    np.testing.assert_allclose(decided([0.001, 0.001, 0.001], [0.0, 0.0, 0.0], fee=0.0), 1 / 3, atol=1 / 16)

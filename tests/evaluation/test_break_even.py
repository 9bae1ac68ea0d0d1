"""The break-even cost is where a strategy's growth is zero, and nothing where there is none."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from made_markets import made_market, made_params, slow_backtest

from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import table_strategy
from cappuccino.evaluation.break_even import break_even_cost
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
from cappuccino.mesh import mesh_of

ROWS = np.arange(10, 50)


def rising() -> tuple:
    """A market with a trend of 0.5 % a bar, and a table that turns over a part of the account every bar."""
    market, _ = made_market((60,), seed=4, move=0.005)
    trend = jnp.exp(0.005 * jnp.arange(60, dtype=jnp.float32))[:, None]
    market = market._replace(open=market.open * trend, close=market.close * trend)
    return market, np.where(np.arange(40)[:, None] % 2, [0.9, 0.0, 0.0], [0.0, 0.9, 0.0]).astype(np.float32)


def break_even(table, market, params, highest: float) -> float | None:
    def growth_under(settings: CostSettings):
        equity = equity_by_costs(table_strategy(table), market, ROWS, params, settings, mesh_of())
        return mean_log_growth(equity, ROWS, float(params.capital))

    return break_even_cost(growth_under, params.costs, highest=highest)


def test_at_the_break_even_cost_the_slow_backtest_earns_nothing():
    market, table = rising()
    params = made_params(fee=0.002, half_spread=0.0005, slippage=0.0005)
    cost = break_even(table, market, params, 0.05)
    assert cost is not None
    at = made_params(fee=cost * 2 / 3, half_spread=cost / 6, slippage=cost / 6)
    last = slow_backtest(table, market, ROWS, at, np.zeros(3))["equity"][-1]
    assert abs(np.log(last / 10_000) / 40) < 1e-6
    assert 0.001 < cost < 0.01


def test_without_costs_to_scale_it_is_the_fee_alone():
    market, table = rising()
    params = made_params(fee=0, half_spread=0, slippage=0)
    cost = break_even(table, market, params, 0.05)
    assert cost is not None
    last = slow_backtest(table, market, ROWS, made_params(fee=cost, half_spread=0, slippage=0), np.zeros(3))["equity"][-1]
    assert abs(np.log(last / 10_000) / 40) < 1e-6


def test_there_is_none_for_cash_and_none_beyond_the_highest():
    market, table = rising()
    assert break_even(0 * table, market, made_params(), 0.05) is None
    assert break_even(table, market, made_params(), 0.001) is None


@pytest.mark.parametrize("highest", [0, 1, -0.1, float("nan")])
def test_a_range_without_meaning_is_refused(highest):
    market, table = rising()
    with pytest.raises(InputError, match="highest cost"):
        break_even(table, market, made_params(), highest)

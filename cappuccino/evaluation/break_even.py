"""The cost at which a strategy earns nothing."""

from __future__ import annotations

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from cappuccino.env import EnvParams
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import Strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
from cappuccino.market import Market

POINTS, ROUNDS = 32, 3
"""Costs tried at once, and how often the stretch between two neighbours is tried anew: to a 30,000th of the range."""


def break_even_cost(
    strategy: Strategy, market: Market, rows: Int[np.ndarray, "N"], params: EnvParams, mesh: Mesh, *, highest: float
) -> float | None:
    """The lowest cost per notional traded at which the growth over the rows, from cash, falls to zero; a fraction.

    The cost is taker fee + half-spread + slippage, scaled together from those of `params`; where these are all zero it is the
    fee alone. Tried are evenly spaced costs from 0 to `highest`, then those between the last that earns and the first that does
    not, in between the line. None where the strategy earns nothing even at no cost, or still earns at `highest`. Raises
    InputError for a `highest` outside (0, 1).
    """
    if not 0 < highest < 1:
        raise InputError(f"the highest cost to try is {highest}; it must be a fraction of the notional in (0, 1)")
    parts = np.array([float(params.costs.taker_fee), float(params.costs.half_spread), float(params.costs.slippage)])
    shares = parts / parts.sum() if parts.sum() > 0 else np.array([1.0, 0.0, 0.0])
    low, high, earned, lost = 0.0, highest, 0.0, 0.0
    for _ in range(ROUNDS):
        cost = np.linspace(low, high, POINTS)
        equity = equity_by_costs(strategy, market, rows, params, CostSettings(*np.outer(shares, cost)), mesh)
        growth = mean_log_growth(equity, rows, float(params.capital))
        loses = growth <= 0
        if loses[0] or not loses.any():
            return None
        first = int(np.argmax(loses))
        low, high = cost[first - 1], cost[first]
        earned, lost = growth[first - 1], growth[first]
    return float(low + (high - low) * earned / (earned - lost))

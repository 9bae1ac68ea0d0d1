"""The cost at which a strategy earns nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from cappuccino.env import Costs
from cappuccino.errors import InputError
from cappuccino.evaluation.cost_grid import CostSettings

POINTS, ROUNDS = 32, 3
"""Costs tried at once, and how often the stretch between two neighbours is tried anew: to a 30,000th of the range."""


def break_even_cost(
    growth_under: Callable[[CostSettings], Float[np.ndarray, "S"]], costs: Costs, *, highest: float
) -> float | None:
    """The lowest cost per notional traded at which growth falls to zero; a fraction.

    growth_under: growth from cash under each of S settings. The cost is taker fee + half-spread + slippage, scaled together from
    `costs`; where these are all zero it is the fee alone. Tried are evenly spaced costs from 0 to `highest`, then those between the
    last that earns and the first that does not, in between the line. None where nothing is earned even at no cost, or still is at
    `highest`. Raises InputError for a `highest` outside (0, 1).
    """
    if not 0 < highest < 1:
        raise InputError(f"the highest cost to try is {highest}; it must be a fraction of the notional in (0, 1)")
    parts = np.array([float(costs.taker_fee), float(costs.half_spread), float(costs.slippage)])
    shares = parts / parts.sum() if parts.sum() > 0 else np.array([1.0, 0.0, 0.0])
    low, high, earned, lost = 0.0, highest, 0.0, 0.0
    for _ in range(ROUNDS):
        cost = np.linspace(low, high, POINTS)
        growth = growth_under(CostSettings(*np.outer(shares, cost)))
        loses = growth <= 0
        if loses[0] or not loses.any():
            return None
        first = int(np.argmax(loses))
        low, high = cost[first - 1], cost[first]
        earned, lost = growth[first - 1], growth[first]
    return float(low + (high - low) * earned / (earned - lost))

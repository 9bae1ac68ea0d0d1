"""What holding would have earned over a session's bars, by the model that the session's backtest trades by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cappuccino.holding import BUYING_BARS, CASH, EQUAL_HELD, held_asset, held_name
from cappuccino.plan import OrderRules
from cappuccino.trading.review import Holdings, Session, after, model_trades


def held(session: Session, shares: Float[np.ndarray, "A"]) -> list[float]:
    """Equity at the close of every bar, quote currency: that of the first mark in cash, spent on these shares of it and kept.

    As the backtest's baselines: bought in BUYING_BARS bars at the model's prices and costs, quantities in any step.
    """
    costs, first = session.costs, session.openings[0]
    rules = OrderRules(costs.min_notional, np.zeros(len(shares)), costs.margin)
    start = session.marks[first]
    holdings = Holdings(start.equity(session.prices[0].close), np.zeros(len(shares)))
    equity, total = [holdings.cash], float(shares.sum())
    for step, prices in enumerate(session.prices):
        if step < BUYING_BARS and total > 0:
            weights = holdings.quantities * prices.close / holdings.equity(prices.close)
            targets = weights + max(total - float(weights.sum()), 0.0) * shares / total
            holdings = after(holdings, model_trades(holdings, targets, prices, rules, costs), prices, costs)
        equity.append(holdings.equity(prices.next_close))
    return equity


def baselines(session: Session, assets: Sequence[str]) -> dict[str, list[float]]:
    """By name: equal weight held, one asset held (BTC where there is one), and cash."""
    number, names = len(assets), tuple(assets)
    single = np.array([float(asset == held_asset(names)) for asset in names])
    return {
        EQUAL_HELD: held(session, np.full(number, 1 / number)),
        held_name(names): held(session, single),
        CASH: held(session, np.zeros(number)),
    }

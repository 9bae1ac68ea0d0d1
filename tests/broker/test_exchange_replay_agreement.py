"""A replay through the exchange ends where the step's definition says, to the last digits of a float."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pytest
from loopback import FIRST, HOUR, walk

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.orders import Ticket
from cappuccino.broker.exchange.venue import Venue
from cappuccino.plan import OrderRules, fit_buys, plan_orders

FEE, MOVE = 25e-4, 3e-4


def market_ticket(asset: str, side: str, quantity: Decimal, name: str) -> Ticket:
    return Ticket(
        asset=asset,
        side=side,
        quantity=quantity,
        notional=None,
        type="market",
        time_in_force="gtc",
        limit_price=None,
        order_class="",
        client_order_id=name,
    )


def test_two_hundred_rebalancings_agree_with_plain_floats() -> None:
    table = walk(260, assets=("BTC", "ETH", "SOL"), seed=4)
    config = ExchangeConfig(increments=dict.fromkeys(table.assets, "0"), min_notional=1.0)
    venue, rng, names = Venue(table, 20, config), np.random.default_rng(1), map(str, itertools.count())
    rules = OrderRules(1.0, np.zeros(3), 0.04)
    cash, holdings, everywhere = 100_000.0, np.zeros(3), np.ones(3, dtype=bool)
    for t in range(20, 220):
        venue.clock.advance(FIRST + (t + 1) * HOUR)
        weights = rng.dirichlet(np.full(4, 0.5))[:3]
        close, opened = table.close[t], table.open[t + 1]
        plan = plan_orders(weights, holdings, cash, close, everywhere, rules, xp=np)
        # The definition, in floats: sells first, fee out of proceeds; then the buys, fee out of what is received.
        cash += float(np.sum(plan.sells * opened * (1 - MOVE)) * (1 - FEE))
        buys = fit_buys(plan.buys, cash, close, everywhere, rules, xp=np)
        cash -= float(np.sum(buys * opened * (1 + MOVE)))
        holdings = holdings - plan.sells + buys * (1 - FEE)
        for side, quantities in (("sell", plan.sells), ("buy", buys)):
            for asset, quantity in zip(table.assets, quantities.tolist(), strict=True):
                if quantity > 0:
                    exact = Decimal(repr(quantity))
                    exact = min(exact, venue.ledger.available(asset)) if side == "sell" else exact
                    venue.submit(market_ticket(asset, side, exact, next(names)))
        equity = cash + float(holdings @ table.close[t + 1])
        held = [float(venue.ledger.holdings[asset].quantity) for asset in table.assets]
        assert float(venue.ledger.cash) == pytest.approx(cash, rel=0, abs=1e-12 * equity)
        np.testing.assert_allclose(np.array(held) * opened, holdings * opened, rtol=0, atol=1e-12 * equity)
        marked = venue.ledger.equity(venue.market.marks(venue.clock.now() + HOUR))
        assert float(marked) == pytest.approx(equity, rel=1e-12)
    assert len(venue.ledger.fills) > 400

"""Where the acceptance table runs: the local exchange, or with ACCEPTANCE=paper the paper account that the keys open.

ACCEPTANCE=NAME is a broker of one's own, added by a module that CAPPUCCINO_EXTENSIONS names, at ACCEPTANCE_URL; without an address it
meets the local exchange.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Iterator
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from loopback import serving, walk

from cappuccino import extensions
from cappuccino.broker.alpaca import AlpacaBroker, keys_from_environment
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import Asset, Broker, OrderRequest
from cappuccino.errors import Refusal
from cappuccino.trading import hosts
from cappuccino.trading.clock import Clock, ExchangeClock, RealClock
from cappuccino.trading.venue import BROKERS

ASSET = "BTC"
KEYS = ("acceptance", "acceptance")
"""Of the local exchange."""

SMALLEST = Decimal("12")
"""Dollars of an order: what is left after its fee can be sold again, above Alpaca's minimum of ten."""

FEE = Decimal("0.0026")
"""Alpaca's taker fee of 25 basis points, and what rounding adds."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A broker, its time, and what one of its assets is like."""

    broker: Broker
    clock: Clock
    asset: Asset
    is_paper: bool

    def smallest(self, dollars: Decimal = SMALLEST) -> Decimal:
        """A quantity worth these dollars at the ask, cut up to the increment."""
        quote = self.broker.quotes([ASSET])[ASSET]
        step = self.asset.increment
        return (dollars / quote.ask / step).to_integral_value(ROUND_UP) * step

    def held(self) -> Decimal:
        """What is held of the asset."""
        position = self.broker.positions().get(ASSET)
        return Decimal(0) if position is None else position.quantity

    def whole(self, quantity: Decimal) -> Decimal:
        """Cut down to the increment: a fee leaves finer quantities than can be ordered."""
        return (quantity / self.asset.increment).to_integral_value(ROUND_DOWN) * self.asset.increment

    def sell_out(self) -> None:
        """Sell what is held, if the venue takes so little, and wait until it is gone."""
        position = self.broker.positions().get(ASSET)
        if position is None:
            return
        quote = self.broker.quotes([ASSET])[ASSET]
        if position.quantity * quote.bid < 10:
            return
        name = f"acceptance-{time.time_ns()}"
        self.broker.submit(OrderRequest(ASSET, "sell", self.whole(position.available), name))
        for _ in range(30):
            order = self.broker.order(name)
            if order is not None and order.is_terminal:
                return
            self.clock.wait_until(self.clock.now() + 1)
        raise AssertionError(f"the order {name}, which sells what a scenario left, did not end: end it by hand")


@contextlib.contextmanager
def place() -> Iterator[Place]:
    """The place that the environment names. Raises Refusal for a paper account that holds anything or has open orders."""
    if os.environ.get("ACCEPTANCE") == "paper":
        hosts.install(hosts.allowed_hosts(live=False))
        yield checked(Place(broker := AlpacaBroker(*keys_from_environment()), RealClock(), _asset(broker), is_paper=True))
        return
    if name := os.environ.get("ACCEPTANCE"):
        extensions.load()
        with contextlib.ExitStack() as stack:
            url = os.environ.get("ACCEPTANCE_URL") or stack.enter_context(serving(Venue(walk(300), 200, ExchangeConfig())))
            opened = BROKERS[name].open(url, 10.0)
            yield checked(Place(opened.broker, opened.clock, _asset(opened.broker), is_paper=False))
        return
    venue = Venue(walk(300), 200, ExchangeConfig(key=KEYS[0], secret=KEYS[1]))
    with serving(venue) as url:
        broker = AlpacaBroker(*KEYS, trading_url=url)
        yield checked(Place(broker, ExchangeClock(url, "stepped", keys=KEYS), _asset(broker), is_paper=False))


def _asset(broker: Broker) -> Asset:
    return broker.assets([ASSET])[ASSET]


def checked(place: Place) -> Place:
    """The place, if its account is empty. Raises Refusal."""
    positions, orders = place.broker.positions(), place.broker.open_orders()
    if positions or orders:
        raise Refusal(
            f"the account holds {', '.join(positions) or 'nothing'} and has {len(orders)} open orders; the acceptance table trades "
            "on an empty one only: sell and cancel everything first, or make another paper account"
        )
    return place

"""The exchange itself: market, clock and ledger as one, without the network.

Every call first brings resting orders up to now. Calls do not wait for anything, so a server that makes them on one thread
serves each request as a whole.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal

from cappuccino.bars.table import BarTable
from cappuccino.broker.alpaca_wire import timeframe
from cappuccino.broker.exchange.arithmetic import exactly, plain
from cappuccino.broker.exchange.clock import ExchangeClock, RunningClock, SteppedClock
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.fates import FILLS, Fate
from cappuccino.broker.exchange.faults import Asked, FaultPlan
from cappuccino.broker.exchange.ledger import Ledger
from cappuccino.broker.exchange.market import BookTop, Replay
from cappuccino.broker.exchange.orders import LedgerOrder, Ticket
from cappuccino.broker.exchange.reading import number
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.errors import InputError

BTC_USD_ID = "276e2673-764b-4ab6-a611-caf665ca6340"


def _new_id() -> str:
    return str(uuid.uuid4())


def asset_id(asset: str) -> str:
    """Alpaca's id for BTC/USD, and one made from the symbol for the others."""
    return BTC_USD_ID if asset == "BTC" else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{asset}/USD"))


class Venue:
    """An exchange that replays `table`; its time starts at the close of row `start`.

    clock_factor: times real time; None for a clock that moves only when it is advanced.
    Raises InputError as Replay, Ledger and the clocks do.
    """

    def __init__(
        self,
        table: BarTable,
        start: int,
        config: ExchangeConfig,
        *,
        clock_factor: float | int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            timeframe(table.bar_seconds)
        except ValueError as error:
            raise InputError(f"the exchange serves bars as Alpaca does: {error}") from None
        self.config = config
        self.faults = FaultPlan(config.faults)
        self.market = Replay(table, start, config.half_spread)
        self.clock: ExchangeClock = (
            SteppedClock(self.market.first)
            if clock_factor is None
            else RunningClock(self.market.first, clock_factor, monotonic=monotonic)
        )
        self.ledger = Ledger(config, table.assets, _new_id)
        marks = self.market.marks(self.market.first)
        for asset, holding in self.ledger.holdings.items():
            holding.cost = holding.quantity * marks[asset]
        self.account_id = config.account or _new_id()
        self.started = self.stamp_at(self.market.first)
        self._settled = self.market.first
        self.hidden_until: dict[str, float] = {}
        self._last_stamp = 0

    @staticmethod
    def stamp_at(at: float | int) -> int:
        """Nanoseconds of `at`, whole microseconds."""
        return round(at * 1e6) * 1000

    def stamp(self) -> int:
        """Nanoseconds now, and a microsecond later than the last stamp at least: no two orders share one."""
        self._last_stamp = max(self.stamp_at(self.clock.now()), self._last_stamp + 1000)
        return self._last_stamp

    def settle(self) -> float:
        """Match resting orders at every bar that opened since the last call; the time now."""
        now = self.clock.now()
        openings = {self.stamp_at(opening) for opening in self.market.openings(self._settled, now)}
        events = set(self.ledger.events(self.stamp_at(self._settled), self.stamp_at(now)))
        for stamp in sorted(openings | events):
            self.ledger.match(self._books(stamp / 1e9), stamp)
        self._settled = now
        return now

    def _books(self, at: float) -> dict[str, BookTop]:
        books = {asset: self.market.quote(asset, at) for asset in self.market.assets}
        return {asset: book for asset, book in books.items() if book is not None}

    def submit(self, ticket: Ticket, *, is_closing: bool = False) -> LedgerOrder:
        """Place an order now. Raises Refused."""
        now = self.settle()
        known = ticket.asset in self.market.assets
        if known and self.faults.is_halted(ticket.asset, now):
            self.faults.count("halted_asset")
            raise Refused(422, 42210000, f"asset {ticket.asset}/USD is not tradable")
        book = self.market.quote(ticket.asset, now) if known else None
        asked = Asked("submit", ticket.client_order_id, ticket.side, ticket.asset)
        fault = self.faults.of_order(asked) if known and ticket.type == "market" else None
        faults = self.faults.config
        fate = Fate(fault, faults.rest_s, faults.stick_s) if fault is not None else FILLS
        step = self.increment(ticket.asset) if known else None
        order = self.ledger.submit(ticket, book, self.stamp(), is_closing=is_closing, fate=fate, increment=step)
        if fault is not None:
            self.faults.accepted(asked)
        if fault == "stale":
            self.hidden_until[order.id] = now + faults.stale_s
        return order

    def increment(self, asset: str) -> Decimal:
        """Step of a quantity now."""
        return self.faults.increment(asset, self.clock.now(), self.config.increment(asset))

    def cancel(self, order_id: str) -> LedgerOrder:
        """Cancel an order now. Raises Refused."""
        order = self.ledger.orders.get(order_id)
        book = None if order is None else self.market.quote(order.ticket.asset, self.clock.now())
        return self.ledger.cancel(order_id, self.stamp(), book)

    @exactly
    def adjust(self, changes: Mapping[str, Decimal]) -> None:
        """Add to cash (`cash`) and holdings, by asset, outside of any order.

        Raises InputError, and changes nothing, for what is not there and for more than no open order holds.
        """
        self.settle()
        ledger = self.ledger
        for name, change in changes.items():
            if name not in ("cash", *self.market.assets):
                raise InputError(f"there is no {name}; cash, {', '.join(self.market.assets)} are right")
            free = ledger.buying_power() if name == "cash" else ledger.available(name)
            if free + change < 0:
                raise InputError(f"{name} cannot change by {change}: {plain(free)} is free")
        for name, change in changes.items():
            if name == "cash":
                ledger.cash += change
            else:
                ledger.holdings[name].quantity += change

    def is_hidden(self, order: LedgerOrder) -> bool:
        """Whether reads do not show the order yet."""
        return self.clock.now() < self.hidden_until.get(order.id, 0.0)

    def close_position(self, asset: str, quantity: str | None, percentage: str | None) -> LedgerOrder:
        """Sell a holding, all of it or a part. Raises Refused."""
        holding = self.ledger.holdings[asset].quantity
        if holding == 0:
            raise Refused(404, 40410000, "position does not exist")
        size = holding
        if quantity is not None:
            size = number(quantity, "qty")
        elif percentage is not None:
            step = self.increment(asset)
            part = holding * number(percentage, "percentage") / 100
            size = part // step * step if step > 0 and part != holding else part
        ticket = Ticket(
            asset=asset,
            side="sell",
            quantity=size,
            notional=None,
            type="market",
            time_in_force="gtc",
            limit_price=None,
            order_class="",
            client_order_id=_new_id(),
        )
        return self.submit(ticket, is_closing=size == holding)

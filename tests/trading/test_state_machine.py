"""Whatever the venue, the wire and the process do, in any order: an intent has one order, and the books agree.

A trader's bars are handled one after another while calls fail, orders fill in part, rest, stick, race and turn up late, reads lag,
the kill switch is thrown and the process dies in the middle of any call and starts again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import tempfile
import zlib
from decimal import Decimal

import hypothesis.strategies as st
import structlog
from direct_broker import DirectBroker, DirectClock
from faulty_broker import Crash, FaultyBroker
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from loopback import HOUR, walk
from trading_scenarios import manifest_of, restless

from cappuccino.broker.exchange.config import FEES_TAKEN, ExchangeConfig
from cappuccino.broker.exchange.faults import ORDER, Asked, FaultsConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import Order, OrderRequest, UnknownOutcome
from cappuccino.errors import Refusal
from cappuccino.trading.bar_store import BarStore
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.records import CASH, FINAL
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.step import BarStep
from cappuccino.trading.timing import Timing
from cappuccino.trading.watch import Unwatched

TABLE = walk(420)
MANIFEST = manifest_of(TABLE)
START = 200
EXAMPLES = int(os.environ.get("STATE_MACHINE_EXAMPLES", "10"))
STEPS = 8

DELAYS = (700, 5_000, 20_000)
"""Seconds by which an order arrives late: before its deadline, and hours after it was given up."""

FATES = ("fine", "lost", "unanswered", "crash_before", "crash_after", "busy", "stale", "late")
fates = st.lists(st.sampled_from([*["fine"] * 6, *FATES]), max_size=25)
orders = st.lists(st.sampled_from([None, None, None, *ORDER]), max_size=8)


class Wire(FaultyBroker):
    """A wire whose next calls have the fates that are laid down, and which then works."""

    def __init__(self, broker: DirectBroker) -> None:
        super().__init__(broker, self._next)  # type: ignore[arg-type]
        self.direct, self.fates = broker, []

    def _next(self, name: str) -> str:
        fate = self.fates.pop(0) if self.fates else "fine"
        if fate == "late":
            return fate if name == "submit" else "lost"
        return "fine" if fate == "stale" and name != "order" else fate

    def submit(self, order: OrderRequest) -> Order:
        fate = self._next("submit")
        if order.client_order_id in {late.client_order_id for _, late in self.direct.late}:
            raise UnknownOutcome("lost again, the first is still on its way")
        if fate == "late":
            delay = DELAYS[zlib.crc32(order.client_order_id.encode()) % len(DELAYS)]
            self.direct.send_late(order, self.direct.venue.clock.now() + delay)
        return self._do("lost" if fate == "stale" else fate, "submit", order)


class Trading(RuleBasedStateMachine):
    """One trader on one venue."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = Venue(TABLE, START, ExchangeConfig(account="one", faults=FaultsConfig(stale_s=4, rest_s=30, stick_s=90)))
        self.venue.faults.of_order = self._fate_of_order  # type: ignore[method-assign]
        self.venue.faults.accepted = lambda _: None  # type: ignore[method-assign]
        self.fates_of_orders: list[str | None] = []
        self.wire, self.clock = Wire(DirectBroker(self.venue)), DirectClock(self.venue)
        self.folder = contextlib.ExitStack()
        where = pathlib.Path(self.folder.enter_context(tempfile.TemporaryDirectory()))
        self.journal, self.store = Journal(pathlib.Path(":memory:")), BarStore(pathlib.Path(":memory:"))
        self.switch = KillSwitch(self.journal, where, self.clock)
        self.step: BarStep | None = None
        self.placed_at_halt: int | None = None

    def _fate_of_order(self, asked: Asked) -> str | None:
        del asked
        return self.fates_of_orders.pop(0) if self.fates_of_orders else None

    def teardown(self) -> None:
        self.wire.fates, self.fates_of_orders = [], []
        self.switch.release("the end", "test")
        self.clock.wait_until(self.clock.now() + HOUR)
        self._begin()
        for _ in range(2):
            self._bar()
        assert self.step is not None
        for (state,) in self.journal._db.execute("SELECT state FROM orders"):  # pyright: ignore[reportPrivateUsage]
            assert state in FINAL
        self._books_agree()
        self.journal.close()
        self.store.close()
        self.folder.close()

    def _begin(self) -> None:
        """Start the trader; a start that finds no venue, or dies, leaves none."""
        try:
            self.step = BarStep(
                MANIFEST,
                "artifact",
                restless,
                self.wire,
                self.clock,
                TraderSettings(folder=pathlib.Path(), capital=Decimal(100_000), max_hole_bars=6),
                Timing.for_bars(HOUR),
                self.journal,
                structlog.wrap_logger(structlog.ReturnLogger(), processors=[lambda *_: ""]),
                self.switch,
                self.store,
                Unwatched(),
                lambda: False,
                lambda account: account,
            )
        except Crash:
            self.step = None
        except Refusal as refusal:
            if "could not be reached" not in str(refusal):
                raise
            self.step = None

    def _bar(self) -> None:
        closed = int(self.clock.now() // HOUR) * HOUR
        self.clock.wait_until(closed + HOUR + 3)
        if self.step is None:
            self._begin()
        if self.step is None or self.clock.is_finished():
            return
        bar = int(self.clock.now() // HOUR) * HOUR - HOUR
        if self.journal.decision(bar) is not None:
            return
        try:
            self.step.handle(bar, is_last=False)
        except Crash:
            self.step = None

    @initialize(fees=st.sampled_from(FEES_TAKEN))
    def the_venue_takes_its_fees(self, fees: str) -> None:
        self.venue.ledger.config = dataclasses.replace(self.venue.ledger.config, fees=fees)

    @rule(wire=fates, book=orders)
    def bar(self, wire: list[str], book: list[str | None]) -> None:
        self.wire.fates, self.fates_of_orders = list(wire), list(book)
        self._bar()
        self.wire.fates = []

    @rule(wire=fates)
    def restart(self, wire: list[str]) -> None:
        self.step, self.wire.fates = None, list(wire)
        self._begin()
        self.wire.fates = []

    @rule(seconds=st.sampled_from([1, 30, 400, 1_500, 2 * HOUR]))
    def time_passes_while_it_is_down(self, seconds: int) -> None:
        self.step = None
        self.clock.wait_until(min(self.clock.now() + seconds, self.venue.market.last - 12 * HOUR))

    @precondition(lambda self: self.placed_at_halt is None)
    @rule()
    def halt(self) -> None:
        self.switch.throw("by hand", "test")
        self.placed_at_halt = len(self.venue.ledger.orders) + len(self.wire.direct.late)

    @precondition(lambda self: self.placed_at_halt is not None)
    @rule()
    def release(self) -> None:
        self.switch.release("by hand", "test")
        self.placed_at_halt = None

    @invariant()
    def an_intent_has_one_order_at_most_and_every_order_an_intent(self) -> None:
        placed = [order.ticket for order in self.venue.ledger.orders.values()]
        assert len({ticket.client_order_id for ticket in placed}) == len(placed)
        for ticket in placed:
            intent = self.journal.intent(ticket.client_order_id)
            assert intent is not None
            assert intent.sent_at is not None
            assert (intent.asset, intent.side, intent.quantity) == (ticket.asset, ticket.side, ticket.quantity)
        wanted = [(ticket.asset, ticket.client_order_id.split("-")[1]) for ticket in placed]
        assert len(set(wanted)) == len(wanted)

    @invariant()
    def nothing_is_sent_while_halted(self) -> None:
        if self.placed_at_halt is not None:
            assert len(self.venue.ledger.orders) <= self.placed_at_halt

    @invariant()
    def there_is_no_leverage(self) -> None:
        assert self.venue.ledger.cash >= 0
        assert all(holding.quantity >= 0 for holding in self.venue.ledger.holdings.values())

    @invariant()
    def a_final_intent_is_as_the_venue_has_it(self) -> None:
        for order in self.venue.ledger.orders.values():
            intent = self.journal.intent(order.ticket.client_order_id)
            assert intent is not None
            if intent.state in ("filled", "canceled", "expired") or (intent.state == "rejected" and intent.venue_id):
                assert (intent.state, intent.filled_quantity) == (order.status, order.filled)

    def _books_agree(self) -> None:
        """Every fill is in the journal, and journal and venue agree to a cent and an increment."""
        for order in self.venue.ledger.orders.values():
            intent = self.journal.intent(order.ticket.client_order_id)
            assert intent is not None
            assert intent.filled_quantity == order.filled
        anchor = self.journal.anchor()
        if anchor is None:
            return
        own = anchor.net
        for fill in self.journal.fills_since_anchor():
            sign, fee = (1, Decimal("0.9975")) if fill.side == "buy" else (-1, Decimal(1))
            own[fill.asset] += sign * fill.quantity * fee
            own[CASH] -= sign * fill.value * (Decimal(1) if sign == 1 else Decimal("0.9975"))
        for asset, holding in self.venue.ledger.holdings.items():
            assert abs(own[asset] - (holding.quantity - self.venue.ledger.owed(asset))) < Decimal("1e-6")
        assert abs(own[CASH] - (self.venue.ledger.cash - self.venue.ledger.owed_cash())) < Decimal("0.1")


Trading.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
TestTrading = Trading.TestCase

"""The acceptance table: what a venue must do for the trader, each row a scenario with its orders, its ledger and its journal.

In the suite it runs against the local exchange. `make test-paper` runs the same rows against Alpaca's paper service with the keys in the
environment, with orders of twelve dollars, and refuses an account that holds anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Iterator
from decimal import Decimal

import pytest
from place import ASSET, FEE, Place, place

from cappuccino.broker.protocol import DuplicateOrderId, OrderRejected, OrderRequest
from cappuccino.trading.identity import client_order_id
from cappuccino.trading.journal import Journal
from cappuccino.trading.log import open_log
from cappuccino.trading.orders import OrderDesk
from cappuccino.trading.records import Intent
from cappuccino.trading.timing import Timing
from cappuccino.trading.watch import Unwatched

HOUR = 3600
NUMBERS = itertools.count(1)
RUN = f"acceptance {time.time_ns()}"
"""Part of all ids: a venue remembers those of earlier runs."""


@pytest.fixture(scope="module")
def venue() -> Iterator[Place]:
    with place() as found:
        yield found


@dataclasses.dataclass
class Desk:
    """A trader's order desk with its journal. `allowed` is what the kill switch says."""

    venue: Place
    journal: Journal
    orders: OrderDesk
    allowed: list[bool]

    def intend(self, side: str, quantity: Decimal) -> Intent:
        """An intent, written down."""
        now = self.venue.clock.now()
        bar = int(now // HOUR) * HOUR
        number = next(NUMBERS)
        name = client_order_id("acceptance", RUN, bar, ASSET, side, number)  # type: ignore[arg-type]
        intent = Intent(name, bar, ASSET, side, quantity, now, now, sequence=number)  # type: ignore[arg-type]
        self.journal.add_intents([intent])
        return intent

    def settle(self, intent: Intent, *, seconds: float = 60.0) -> Intent:
        """Send it and follow it to its end; the intent as the journal then has it."""
        now = self.venue.clock.now()
        self.orders.settle([intent], deadline=now + seconds, give_up=now + seconds + 60)
        found = self.journal.intent(intent.client_order_id)
        assert found is not None
        return found


@pytest.fixture
def desk(venue: Place, tmp_path: pathlib.Path) -> Iterator[Desk]:
    """It leaves nothing behind at the venue."""
    allowed = [True]
    with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal, open_log(tmp_path) as log:
        orders = OrderDesk(venue.broker, venue.clock, journal, Timing.for_bars(HOUR), log, Unwatched(), lambda: allowed[0])
        yield Desk(venue, journal, orders, allowed)
    venue.sell_out()


def request_of(intent: Intent) -> OrderRequest:
    return OrderRequest(intent.asset, intent.side, intent.quantity, intent.client_order_id)


def test_01_the_account_can_trade_and_has_cash(venue: Place) -> None:
    account = venue.broker.account()
    assert account.blocked == ()
    assert account.cash > 100
    assert account.buying_power > 100


def test_02_the_asset_is_listed_with_its_increment(venue: Place) -> None:
    assert venue.asset.tradable
    assert 0 < venue.asset.increment < Decimal("0.001")


def test_03_a_quote_has_two_sides(venue: Place) -> None:
    quote = venue.broker.quotes([ASSET])[ASSET]
    assert 0 < quote.bid <= quote.ask < quote.bid * Decimal("1.1")


def test_04_closed_bars_come_in_order_and_without_the_one_that_runs(venue: Place) -> None:
    stop = int(venue.clock.now() // HOUR) * HOUR
    bars = venue.broker.bars([ASSET], stop - 24 * HOUR, stop, bar_seconds=HOUR)[ASSET]
    assert len(bars.timestamps) > 12
    assert bars.timestamps[-1] < stop
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(bars.timestamps.tolist()))


def test_05_the_clocks_agree(venue: Place) -> None:
    assert abs(venue.broker.clock() - venue.clock.now()) < 60


def test_06_an_id_that_nobody_gave_belongs_to_no_order(venue: Place) -> None:
    assert venue.broker.order(f"acceptance-{time.time_ns()}") is None


def test_07_a_buy_fills_and_ledger_and_journal_agree(venue: Place, desk: Desk) -> None:
    cash, held = venue.broker.account().cash, venue.held()
    intent = desk.settle(desk.intend("buy", venue.smallest()))
    assert (intent.state, intent.filled_quantity) == ("filled", intent.quantity)
    paid = cash - venue.broker.account().cash
    assert abs(paid - intent.filled_value) <= Decimal("0.01")
    gained = venue.held() - held
    assert intent.quantity * (1 - FEE) - venue.asset.increment <= gained <= intent.quantity
    order = venue.broker.order(intent.client_order_id)
    assert order is not None
    assert (order.status, order.filled_quantity, order.id) == ("filled", intent.filled_quantity, intent.venue_id)


def test_08_a_sell_of_all_leaves_less_than_an_increment(venue: Place, desk: Desk) -> None:
    desk.settle(desk.intend("buy", venue.smallest()))
    held, cash = venue.whole(venue.held()), venue.broker.account().cash
    intent = desk.settle(desk.intend("sell", held))
    assert (intent.state, intent.filled_quantity) == ("filled", held)
    assert venue.held() < venue.asset.increment
    received = venue.broker.account().cash - cash
    assert intent.filled_value * (1 - FEE) - Decimal("0.01") <= received <= intent.filled_value + Decimal("0.01")


def test_09_an_id_is_taken_once(venue: Place, desk: Desk) -> None:
    intent = desk.settle(desk.intend("buy", venue.smallest()))
    held = venue.held()
    with pytest.raises(DuplicateOrderId):
        venue.broker.submit(request_of(intent))
    assert venue.held() == held
    listed = [order.client_order_id for order in venue.broker.orders_since(venue.clock.now() - HOUR)]
    assert listed.count(intent.client_order_id) == 1


def test_10_who_does_not_know_whether_it_was_sent_finds_it_by_its_id(venue: Place, desk: Desk) -> None:
    """Sent, and then the process was gone: the journal says `sent`, and another process goes on."""
    intent = desk.intend("buy", venue.smallest())
    sent = dataclasses.replace(intent, state="sent", sent_at=venue.clock.now())
    desk.journal.update(sent)
    placed = venue.broker.submit(request_of(intent))
    found = desk.settle(sent)
    assert (found.state, found.venue_id) == ("filled", placed.id)
    assert [order.client_order_id for order in venue.broker.orders_since(venue.clock.now() - HOUR)].count(
        intent.client_order_id
    ) == 1


def test_11_what_never_arrived_is_sent_again_once(venue: Place, desk: Desk) -> None:
    """Journaled as sent, and the process was gone before: the venue knows no such order, and it is sent with the same id."""
    intent = desk.intend("buy", venue.smallest())
    sent = dataclasses.replace(intent, state="sent", sent_at=venue.clock.now())
    desk.journal.update(sent)
    found = desk.settle(sent)
    assert (found.state, found.filled_quantity) == ("filled", intent.quantity)
    order = venue.broker.order(intent.client_order_id)
    assert order is not None
    assert order.filled_quantity == intent.quantity


def test_12_what_was_never_sent_is_not_sent_after_its_deadline(venue: Place, desk: Desk) -> None:
    intent = desk.settle(desk.intend("buy", venue.smallest()), seconds=0)
    assert intent.state == "abandoned"
    assert venue.broker.order(intent.client_order_id) is None


def test_13_nothing_is_sent_once_the_kill_switch_is_thrown(venue: Place, desk: Desk) -> None:
    desk.allowed[0] = False
    intent = desk.settle(desk.intend("buy", venue.smallest()))
    assert intent.state == "abandoned"
    assert venue.broker.order(intent.client_order_id) is None


def test_14_an_order_below_the_minimum_is_rejected_and_known_to_be(venue: Place, desk: Desk) -> None:
    cash = venue.broker.account().cash
    intent = desk.settle(desk.intend("buy", venue.smallest(Decimal(1))))
    assert intent.state == "rejected"
    assert intent.error
    assert venue.broker.account().cash == cash


def test_15_a_sell_of_more_than_is_held_is_rejected(venue: Place, desk: Desk) -> None:
    intent = desk.settle(desk.intend("sell", venue.smallest()))
    assert intent.state == "rejected"
    assert venue.held() < venue.asset.increment


def test_16_a_buy_beyond_the_cash_is_rejected(venue: Place, desk: Desk) -> None:
    """Within the largest order that the venue takes, and above what the account has."""
    cash = venue.broker.account().cash
    if cash >= 190_000:
        pytest.skip(f"the account has {cash}; an order beyond it is larger than the venue takes")
    intent = desk.settle(desk.intend("buy", venue.smallest(cash + 5_000)))
    assert intent.state == "rejected"
    assert venue.broker.account().cash == cash


def test_17_a_filled_order_cannot_be_canceled(venue: Place, desk: Desk) -> None:
    intent = desk.settle(desk.intend("buy", venue.smallest()))
    assert intent.venue_id is not None
    assert venue.broker.cancel(intent.venue_id) is False


def test_18_an_order_that_nobody_placed_cannot_be_canceled(venue: Place) -> None:
    with pytest.raises(OrderRejected):
        venue.broker.cancel("00000000-0000-4000-8000-000000000000")


def test_19_wrong_keys_open_nothing(venue: Place) -> None:
    from cappuccino.broker.alpaca import AlpacaBroker
    from cappuccino.broker.protocol import BrokerUnavailable

    if not isinstance(venue.broker, AlpacaBroker):
        pytest.skip("a broker of one's own reads its keys itself")
    with pytest.raises(BrokerUnavailable) as caught:
        AlpacaBroker("wrong", "wrong", trading_url=venue.broker.trading_url).account()
    assert caught.value.status in (401, 403)


def test_20_nothing_is_left_open(venue: Place) -> None:
    assert venue.broker.open_orders() == []

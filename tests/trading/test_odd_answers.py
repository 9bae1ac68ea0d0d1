"""What a venue may answer, and a clock say, that is odd: nothing is lost, doubled or decided by it, and a person is told."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import halting, manifest_of, restless, trader, venue_of
from watching import watched

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import (
    Asset,
    BrokerUnavailable,
    Order,
    OrderRejected,
    OrderRequest,
    Quote,
    UnknownOutcome,
)
from cappuccino.errors import Halted, Refusal, Unanswered
from cappuccino.risk import Limits
from cappuccino.trading.clock import RealClock
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_decisions, read_orders
from cappuccino.trading.latch import HALT_FILE, KillSwitch

ROWS, START, BARS = 260, 200, 5
TABLE = walk(ROWS)


class Odd(AlpacaBroker):
    """change: what is made of each order that is told."""

    def __init__(self, url: str, change: Callable[[Order], Order] = lambda order: order) -> None:
        super().__init__("key", "secret", trading_url=url)
        self._change = change

    def submit(self, order: OrderRequest) -> Order:
        return self._change(super().submit(order))

    def order(self, client_order_id: str) -> Order | None:
        found = super().order(client_order_id)
        return None if found is None else self._change(found)

    def orders_since(self, at: float) -> list[Order]:
        return [self._change(order) for order in super().orders_since(at)]


def _session(folder: pathlib.Path, broker: type[AlpacaBroker] | Callable[[str], AlpacaBroker]) -> tuple[Venue, list[dict]]:
    venue = venue_of(TABLE, START, account="one")
    with serving(venue) as url:
        trader(url, folder, manifest_of(TABLE), broker=broker(url), bars=BARS).run()
    return venue, read_orders(folder / "journal.sqlite")


def _told(orders: list[dict]) -> list[tuple]:
    return [(one["client_order_id"], one["state"], Decimal(one["filled_quantity"]), one["filled_price"]) for one in orders]


def test_a_fill_of_nothing_may_be_written_in_any_way_and_a_price_come_later(tmp_path: pathlib.Path) -> None:
    seen: Counter[str] = Counter()

    def written(order: Order) -> Order:
        seen[order.client_order_id] += 1
        if order.filled_quantity == 0:
            return dataclasses.replace(order, filled_quantity=Decimal("0.0"))
        return dataclasses.replace(order, filled_average_price=None) if seen[order.client_order_id] < 4 else order

    plain, odd = tmp_path / "plain", tmp_path / "odd"
    (venue, orders), (other, others) = _session(plain, Odd), _session(odd, lambda url: Odd(url, written))
    assert _told(orders) == _told(others)
    assert any(count >= 4 for count in seen.values())
    assert venue.ledger.cash == other.ledger.cash


def test_an_older_answer_takes_no_fill_back(tmp_path: pathlib.Path) -> None:
    newest: dict[str, Order] = {}

    def older(order: Order) -> Order:
        """Every other time as it was before anything was filled."""
        before = newest.get(order.client_order_id)
        newest[order.client_order_id] = order
        if before is not None and before.filled_quantity == 0 and order.filled_quantity > 0:
            return order
        unfilled = dataclasses.replace(order, filled_quantity=Decimal(0), filled_average_price=None, status="accepted")
        return order if before is None or order.is_terminal else unfilled

    plain, odd = tmp_path / "plain", tmp_path / "odd"
    assert _told(_session(plain, Odd)[1]) == _told(_session(odd, lambda url: Odd(url, older))[1])


class Blind(AlpacaBroker):
    """Lists no orders."""

    def __init__(self, url: str) -> None:
        super().__init__("key", "secret", trading_url=url)

    def orders_since(self, at: float) -> list[Order]:
        return super().orders_since(at)[:0]


def test_orders_that_a_list_leaves_out_are_asked_for_by_their_ids(tmp_path: pathlib.Path) -> None:
    plain, blind = tmp_path / "plain", tmp_path / "blind"
    (venue, orders), (other, others) = _session(plain, Odd), _session(blind, Blind)
    assert [state for _, state, *_ in _told(others)] == ["filled"] * len(others)
    assert len(others) == len(orders)
    assert len(other.ledger.orders) == len(venue.ledger.orders)


class Reordering(AlpacaBroker):
    """The first order's answer is lost, and it lands only when it is sent again, which is refused for want of money."""

    def __init__(self, url: str) -> None:
        super().__init__("key", "secret", trading_url=url)
        self.first: OrderRequest | None = None
        self.refusals = 0

    def submit(self, order: OrderRequest) -> Order:
        if self.first is None:
            self.first = order
            raise UnknownOutcome("no answer")
        if order == self.first:
            self.refusals += 1
            super().submit(order)
            raise OrderRejected(40310000, "insufficient balance", 403)
        return super().submit(order)


def test_an_order_that_was_sent_again_and_refused_is_asked_after(tmp_path: pathlib.Path) -> None:
    venue = venue_of(TABLE, START)
    with serving(venue) as url:
        broker = Reordering(url)
        trader(url, tmp_path, manifest_of(TABLE), broker=broker, bars=BARS).run()
    assert broker.refusals == 1
    orders = {one["client_order_id"]: one for one in read_orders(tmp_path / "journal.sqlite")}
    assert orders[broker.first.client_order_id]["state"] == "filled"  # type: ignore[union-attr]
    assert orders.keys() == {order.ticket.client_order_id for order in venue.ledger.orders.values()}
    assert not any("positions" in decision["notes"] for decision in read_decisions(tmp_path / "journal.sqlite"))


class Mistaken(AlpacaBroker):
    """From the time when a second order rests on, it is said to be another one."""

    def __init__(self, url: str) -> None:
        super().__init__("key", "secret", trading_url=url)
        self.placed: list[str] = []

    def submit(self, order: OrderRequest) -> Order:
        self.placed.append(order.client_order_id)
        return super().submit(order)

    def orders_since(self, at: float) -> list[Order]:
        wrong = self.placed[1:2]
        return [
            dataclasses.replace(order, quantity=order.quantity and 2 * order.quantity)
            if order.client_order_id in wrong
            else order
            for order in super().orders_since(at)
        ]


def test_an_order_that_is_another_halts_when_those_beside_it_have_ended(tmp_path: pathlib.Path) -> None:
    venue = venue_of(TABLE, START)
    venue.faults.of_order = lambda _: "resting"  # type: ignore[method-assign]
    with serving(venue) as url:
        broker = Mistaken(url)
        with pytest.raises(Halted, match="was the trader's folder lost"):
            trader(url, tmp_path, manifest_of(TABLE), broker=broker, bars=BARS).run()
        mistaken = broker.placed[1]
        left = [order.ticket.client_order_id for order in venue.ledger.orders.values() if order.is_open]
    assert len(broker.placed) > 2
    assert left in ([], [mistaken])  # one that is not ours is left alone
    states = {one["client_order_id"]: one["state"] for one in read_orders(tmp_path / "journal.sqlite")}
    assert {state for name, state in states.items() if name != mistaken} <= {"canceled", "filled", "abandoned"}


class Forbidding(AlpacaBroker):
    """Every seventh read and every fifth order is answered as a proxy may answer once: with 403 and a page."""

    def __init__(self, url: str) -> None:
        super().__init__("key", "secret", trading_url=url)
        self.reads = self.sent = 0

    def _proxy(self) -> None:
        self.reads += 1
        if self.reads % 7 == 0:
            raise BrokerUnavailable("<html>", 403)

    def submit(self, order: OrderRequest) -> Order:
        self.sent += 1
        if self.sent % 5 == 0:
            raise OrderRejected(0, "<html>", 403)
        return super().submit(order)

    def orders_since(self, at: float) -> list[Order]:
        self._proxy()
        return super().orders_since(at)

    def order(self, client_order_id: str) -> Order | None:
        self._proxy()
        return super().order(client_order_id)

    def assets(self, assets: Sequence[str]) -> dict[str, Asset]:
        self._proxy()
        return super().assets(assets)


def test_one_answer_that_keys_are_not_taken_ends_no_night(tmp_path: pathlib.Path) -> None:
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    (_, orders), (_, others) = _session(plain, Odd), _session(odd, Forbidding)
    assert [state for _, state, *_ in _told(others)] == ["filled"] * len(orders)


class Locked(AlpacaBroker):
    """From the second bar's orders on the keys are not taken any more."""

    def __init__(self, url: str) -> None:
        super().__init__("key", "secret", trading_url=url)
        self.sent = 0

    def submit(self, order: OrderRequest) -> Order:
        self.sent += 1
        if self.sent > 4:
            raise OrderRejected(40110000, "not authorized", 401)
        return super().submit(order)


def test_keys_that_are_not_taken_for_a_while_are_a_refusal(tmp_path: pathlib.Path) -> None:
    venue = venue_of(TABLE, START)
    with serving(venue) as url, pytest.raises(Refusal, match="does not take the keys"):
        trader(url, tmp_path, manifest_of(TABLE), broker=Locked(url), bars=BARS).run()
    assert len(venue.ledger.orders) == 4
    assert all(one["state"] in ("filled", "canceled", "abandoned") for one in read_orders(tmp_path / "journal.sqlite"))


class Slow(AlpacaBroker):
    """By its clock ours is ahead."""

    def __init__(self, url: str, ahead: float) -> None:
        super().__init__("key", "secret", trading_url=url)
        self.ahead = ahead

    def clock(self) -> float:
        return super().clock() - self.ahead


@pytest.mark.parametrize(("ahead", "refused"), [(2.0, False), (4.0, True), (-200.0, False), (-400.0, True)])
def test_a_clock_by_which_a_running_bar_has_closed_is_refused(tmp_path: pathlib.Path, ahead: float, refused: bool) -> None:
    with serving(venue_of(TABLE, START)) as url:
        one = trader(url, tmp_path, manifest_of(TABLE), broker=Slow(url, ahead), bars=1)
        with pytest.raises(Refusal, match=rf"clock is \{ahead:+.0f} s off") if refused else contextlib.nullcontext():
            one.run()


def test_a_clock_that_runs_away_is_refused_within_a_day(tmp_path: pathlib.Path) -> None:
    with serving(venue_of(TABLE, START)) as url:
        broker, calls = Slow(url, 0.0), []

        def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
            calls.append(1)
            broker.ahead = 60.0
            return restless(window, weights)

        with pytest.raises(Refusal, match="clock is"):
            trader(url, tmp_path, manifest_of(TABLE), broker=broker, decide=decide, bars=40).run()
    assert len(calls) in (23, 24)


def test_a_defect_is_told_and_logged(tmp_path: pathlib.Path) -> None:
    def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return weights * (1 // (len(window) - len(window)))

    with serving(venue_of(TABLE, START)) as url:
        one = trader(url, tmp_path, manifest_of(TABLE), decide=decide, bars=1)
        notes = watched(one)
        with pytest.raises(ZeroDivisionError):
            one.run()
    assert notes.events[-1] == ("crashed", "ZeroDivisionError: integer division or modulo by zero")
    assert '"event": "crashed"' in (tmp_path / "trader.log").read_text()


def test_bars_without_a_decision_are_told_though_some_assets_have_theirs(tmp_path: pathlib.Path) -> None:
    """One asset goes away for longer than a hole may be: nothing is decided for any."""
    table = walk(ROWS, missing={row: (1,) for row in range(START + 1, START + 12)})
    with serving(venue_of(table, START)) as url:
        one = trader(url, tmp_path, manifest_of(table), bars=16)
        notes = watched(one)
        one.run()
    (said,) = [message for kind, message in notes.events if kind == "stale"]
    assert "no decision at" in said
    assert "a hole of more than 6 bars lasts" in said


class Bidless(AlpacaBroker):
    """In a crash nobody bids; or no quote can be read."""

    def __init__(self, url: str, quoted: Callable[[dict[str, Quote]], dict[str, Quote]]) -> None:
        super().__init__("key", "secret", trading_url=url)
        self._quoted = quoted

    def quotes(self, assets: Sequence[str]) -> dict[str, Quote]:
        return self._quoted(super().quotes(assets))


def _nobody(quotes: dict[str, Quote]) -> dict[str, Quote]:
    return {asset: dataclasses.replace(quote, bid=Decimal(0), ask=Decimal(0)) for asset, quote in quotes.items()}


def _unreadable(_: dict[str, Quote]) -> dict[str, Quote]:
    raise BrokerUnavailable("unreadable")


@pytest.mark.parametrize("quoted", [_nobody, _unreadable])
def test_a_flattening_does_without_quotes(
    tmp_path: pathlib.Path, quoted: Callable[[dict[str, Quote]], dict[str, Quote]]
) -> None:
    venue, limits = venue_of(TABLE, START, max_notional=6_000.0), Limits(order=5_000.0)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(TABLE), bars=3, limits=limits).run()
        broker = Bidless(url, quoted)
        one = trader(url, tmp_path, manifest_of(TABLE), broker=broker, decide=halting(tmp_path, 3, "flatten"), limits=limits)
        with pytest.raises(Halted, match="everything was sold"):
            one.run()
    assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())
    assert all(one["state"] == "filled" for one in read_orders(tmp_path / "journal.sqlite") if one["sequence"] > 0)


class Unlisting(AlpacaBroker):
    """Once the folder is halted, an asset is not listed, for a while."""

    def __init__(self, url: str, folder: pathlib.Path, asset: str, times: int) -> None:
        super().__init__("key", "secret", trading_url=url)
        self._folder, self._asset, self._left = folder, asset, times

    def assets(self, assets: Sequence[str]) -> dict[str, Asset]:
        found = super().assets(assets)
        if (self._folder / HALT_FILE).exists() and self._left:
            self._left -= 1
            found = {name: one for name, one in found.items() if name != self._asset}
        return found


def test_a_flattening_that_cannot_sell_all_is_still_wanted(tmp_path: pathlib.Path) -> None:
    venue = venue_of(TABLE, START)
    with serving(venue) as url:
        broker = Unlisting(url, tmp_path, "BTC", 1)
        one = trader(url, tmp_path, manifest_of(TABLE), broker=broker, decide=halting(tmp_path, 4, "flatten"))
        with pytest.raises(Unanswered, match=r"not everything could be sold.*does not list BTC"):
            one.run()
        assert venue.ledger.holdings["BTC"].quantity > 0
        with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
            thrown = KillSwitch(journal, tmp_path, RealClock()).thrown()
            assert thrown is not None
            assert thrown.flatten
        with pytest.raises(Halted, match="everything was sold"):
            trader(url, tmp_path, manifest_of(TABLE)).run()
    assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())


def test_a_flattening_is_waited_for_at_a_start_too(tmp_path: pathlib.Path) -> None:
    """Its first process met no answer; the next is halted from the start, and waits for the venue nevertheless."""

    class Silent(AlpacaBroker):
        left = 0

        def account(self):  # type: ignore[no-untyped-def]
            if self.left:
                self.left -= 1
                raise BrokerUnavailable("no answer")
            return super().account()

    venue = venue_of(TABLE, START)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(TABLE), bars=3).run()
        with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
            KillSwitch(journal, tmp_path, RealClock()).throw("by hand", "command", flatten=True)
        broker = Silent("key", "secret", trading_url=url)
        broker.left = 3
        with pytest.raises(Halted, match="everything was sold"):
            trader(url, tmp_path, manifest_of(TABLE), broker=broker).run()
    assert broker.left == 0
    assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())

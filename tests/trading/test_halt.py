"""The kill switch: thrown by command, file or the trader itself, it cancels, sells if asked to, and holds until it is released."""

from __future__ import annotations

import contextlib
import pathlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from hypothesis import given
from loopback import HOUR, serving, walk
from trading_scenarios import halting, manifest_of, trader, venue_of

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.broker.protocol import AccountState, Asset, BrokerUnavailable, Order, OrderRequest, Position
from cappuccino.errors import Halted
from cappuccino.risk import Limits
from cappuccino.trading.clock import RealClock
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_decisions, read_halts, read_orders
from cappuccino.trading.latch import HALT_FILE, KillSwitch
from cappuccino.trading.records import FINAL
from cappuccino.trading.timing import Timing

ROWS, START = 260, 200


def _switch(folder: pathlib.Path, journal: Journal) -> KillSwitch:
    return KillSwitch(journal, folder, RealClock())


@given(st.lists(st.sampled_from(["throw", "flatten", "file", "file flatten", "look", "restart"]), max_size=12))
def test_only_a_release_ends_a_halt_whatever_else_happens(tmp_path_factory: pytest.TempPathFactory, events: list[str]) -> None:
    folder = tmp_path_factory.mktemp("halt")
    journal = Journal(folder / "journal.sqlite")
    is_halted = wants_flat = False
    for event in events:
        switch = _switch(folder, journal)
        if event == "throw":
            switch.throw("by hand", "command")
        elif event == "flatten":
            switch.throw("by hand", "command", flatten=True)
        elif event.startswith("file"):
            (folder / HALT_FILE).write_text(event)
        elif event == "restart":
            journal.close()
            journal = Journal(folder / "journal.sqlite")
        is_halted |= event in ("throw", "flatten") or event.startswith("file")
        wants_flat |= "flatten" in event
        thrown = _switch(folder, journal).thrown()
        assert (thrown is not None) == is_halted
        assert (thrown is not None and thrown.flatten) == wants_flat
    _switch(folder, journal).release("over", "command")
    assert _switch(folder, journal).thrown() is None
    assert not (folder / HALT_FILE).exists()
    journal.close()


def test_a_file_halts_at_once_and_a_restart_stays_halted_until_released(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        with pytest.raises(Halted, match=r"halted by file since .*resume"):
            trader(url, tmp_path, manifest_of(table), decide=halting(tmp_path, 4, "")).run()
        placed = len(venue.ledger.orders)
        assert not any(order.is_open for order in venue.ledger.orders.values())
        decisions = read_decisions(tmp_path / "journal.sqlite")
        assert [decision["phase"] for decision in decisions] == ["done"] * 3 + ["none"]
        assert decisions[-1]["reason"] == "told to stop or halted while it was decided"
        for _ in range(2):
            with pytest.raises(Halted):
                trader(url, tmp_path, manifest_of(table), bars=2).run()
        assert len(venue.ledger.orders) == placed
        with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
            _switch(tmp_path, journal).release("over", "command")
        assert trader(url, tmp_path, manifest_of(table), bars=2).run().decisions == 2
        assert len(venue.ledger.orders) > placed
    assert [bool(row["is_halted"]) for row in read_halts(tmp_path / "journal.sqlite")] == [True, False]


def test_a_flatten_sells_everything_and_is_done_once(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        with pytest.raises(Halted, match=r"everything was sold, left is 0\.00000000\d+ BTC"):
            trader(url, tmp_path, manifest_of(table), decide=halting(tmp_path, 4, "flatten")).run()
        assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())
        placed = len(venue.ledger.orders)
        with pytest.raises(Halted, match="everything was sold") as again:
            trader(url, tmp_path, manifest_of(table)).run()
        assert str(again.value).count("halted by") == 1
        assert len(venue.ledger.orders) == placed
    orders = read_orders(tmp_path / "journal.sqlite")
    flattening = [order for order in orders if order["sequence"] > 0]
    assert flattening
    assert all(order["side"] == "sell" and order["state"] == "filled" for order in flattening)
    assert {order["client_order_id"] for order in orders} == {o.ticket.client_order_id for o in venue.ledger.orders.values()}


class Silent(AlpacaBroker):
    """Once the folder is halted, each of its reads first fails twice."""

    def __init__(self, url: str, folder: pathlib.Path) -> None:
        super().__init__("key", "secret", trading_url=url)
        self._folder, self.failed = folder, Counter[str]()

    def _answer(self, name: str) -> None:
        if (self._folder / HALT_FILE).exists() and self.failed[name] < 2:
            self.failed[name] += 1
            raise BrokerUnavailable("no answer")

    def assets(self, assets: Sequence[str]) -> dict[str, Asset]:
        self._answer("assets")
        return super().assets(assets)

    def account(self) -> AccountState:
        self._answer("account")
        return super().account()

    def positions(self) -> dict[str, Position]:
        self._answer("positions")
        return super().positions()


def test_a_flatten_waits_for_a_venue_that_does_not_answer(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        broker = Silent(url, tmp_path)
        with pytest.raises(Halted, match="everything was sold"):
            trader(url, tmp_path, manifest_of(table), decide=halting(tmp_path, 4, "flatten"), broker=broker).run()
    assert broker.failed == {"assets": 2, "account": 2, "positions": 2}
    assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())


def test_a_flatten_sells_in_orders_that_the_venue_takes(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue, limits = venue_of(table, START, max_notional=6_000.0), Limits(order=5_000.0)
    with serving(venue) as url, pytest.raises(Halted, match="everything was sold"):
        trader(url, tmp_path, manifest_of(table), decide=halting(tmp_path, 12, "flatten"), limits=limits).run()
    assert all(holding.quantity < Decimal("1e-8") for holding in venue.ledger.holdings.values())
    sales = [order for order in read_orders(tmp_path / "journal.sqlite") if order["sequence"] > 0]
    assert max(order["sequence"] for order in sales) >= 3
    assert all(order["state"] == "filled" for order in sales)


def test_what_is_set_aside_is_not_flattened(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START, holdings={"ETH": "3"})
    with serving(venue) as url, pytest.raises(Halted):
        trader(url, tmp_path, manifest_of(table), decide=halting(tmp_path, 4, "flatten"), foreign="ignore").run()
    assert abs(venue.ledger.holdings["ETH"].quantity - 3) < Decimal("1e-8")
    assert venue.ledger.holdings["BTC"].quantity < Decimal("1e-8")


def test_a_command_halts_a_trader_that_waits(tmp_path: pathlib.Path) -> None:
    """In real time: the trader sleeps to the close of an hour, and is halted within a second of the switch."""
    table = walk(ROWS)
    now = time.time()
    late = table.timestamps[START] + HOUR
    table = type(table)(**{**table.__dict__, "timestamps": table.timestamps + int(now // HOUR * HOUR - late)})
    venue = venue_of(table, START)
    with serving(venue) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url)
        venue.clock.advance(time.time())
        one = trader(url, tmp_path, manifest_of(table), broker=broker)
        one._clock = RealClock()  # pyright: ignore[reportPrivateUsage]
        ended: list[BaseException] = []

        def go() -> None:
            try:
                one.run()
            except Halted as halted:
                ended.append(halted)

        thread = threading.Thread(target=go)
        thread.start()
        while not (tmp_path / "journal.sqlite").exists():
            time.sleep(0.01)
        time.sleep(0.5)
        with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
            _switch(tmp_path, journal).throw("drill", "command")
        began = time.monotonic()
        thread.join(20)
        assert not thread.is_alive()
        assert time.monotonic() - began < 5
    (halted,) = ended
    assert "drill" in str(halted)
    assert all(order["state"] in FINAL for order in read_orders(tmp_path / "journal.sqlite"))


def test_a_stop_does_not_wait_for_a_venue_that_cancels_nothing(tmp_path: pathlib.Path) -> None:
    """It ends a minute after it was told to; the next start finds out what became of the orders."""
    table = walk(ROWS)
    manifest = manifest_of(table)
    venue = venue_of(table, START, faults=FaultsConfig(rates={"stick": 1.0}, stick_s=5_000.0))
    with serving(venue) as url:

        class Stopping(AlpacaBroker):
            def submit(self, order: OrderRequest) -> Order:
                placed = super().submit(order)
                running.stop()
                return placed

        broker = Stopping("key", "secret", trading_url=url)
        running = trader(url, tmp_path, manifest, broker=broker, allow_outside=manifest.features)
        running.run()
        (order,) = [order for order in read_orders(tmp_path / "journal.sqlite") if order["state"] not in FINAL]
        assert venue.clock.now() - order["sent_at"] <= Timing.for_bars(HOUR).start + 2
        venue.faults.become(FaultsConfig())
        venue.clock.advance(venue.clock.now() + 6_000)
        trader(url, tmp_path, manifest, bars=2, allow_outside=manifest.features).run()
    assert all(order["state"] in FINAL for order in read_orders(tmp_path / "journal.sqlite"))

"""Whatever fails on the wire and whenever the process dies: an intent has at most one order, and its end becomes known."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from decimal import Decimal

import numpy as np
import pytest
from faulty_broker import Crash, FaultyBroker
from loopback import HOUR, serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import AccountState, Order, OrderRequest, UnknownOutcome
from cappuccino.errors import Halted, Refusal
from cappuccino.trading.identity import client_order_id
from cappuccino.trading.journal_reading import read_adjustments, read_decisions, read_orders
from cappuccino.trading.records import FINAL
from cappuccino.trading.timing import Timing

ROWS, START = 300, 200


def _start(url: str, folder: pathlib.Path, bars: int) -> subprocess.Popen[bytes]:
    here = pathlib.Path(__file__).parent
    command = [sys.executable, str(here / "run_trader.py"), url, str(folder), str(ROWS), str(bars)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(here.parents[1])})


def _check(venue: Venue, journal: pathlib.Path) -> None:
    """The journal and the venue tell of the same orders, and each intent has one at most."""
    intents = read_orders(journal)
    placed = {order.ticket.client_order_id: order for order in venue.ledger.orders.values()}
    assert len(placed) == len(venue.ledger.orders)
    assert placed.keys() <= {intent["client_order_id"] for intent in intents}
    wanted = Counter((intent["bar"], intent["asset"], intent["side"]) for intent in intents)
    assert max(wanted.values()) == 1
    for intent in intents:
        assert intent["state"] in FINAL
        order = placed.get(intent["client_order_id"])
        if order is None:
            assert intent["state"] in ("abandoned", "rejected")
            assert Decimal(intent["filled_quantity"]) == 0
        else:
            assert not order.is_open
            assert (intent["state"], Decimal(intent["filled_quantity"])) == (order.status, order.filled)
            assert Decimal(intent["quantity"]) == order.ticket.quantity
    assert not any("positions" in decision["notes"] for decision in read_decisions(journal))


@pytest.mark.parametrize("seed", range(3))
def test_a_failing_wire(tmp_path: pathlib.Path, seed: int) -> None:
    table, chance = walk(ROWS), random.Random(seed)
    venue = venue_of(table, START)

    def fate(name: str) -> str:
        if name == "submit":
            return chance.choices(["fine", "lost", "unanswered", "busy"], [5, 2, 2, 1])[0]
        if name == "order":
            return chance.choices(["fine", "lost", "stale"], [6, 1, 1])[0]
        return chance.choices(["fine", "lost"], [9, 1])[0]

    with serving(venue) as url:
        wire = FaultyBroker(AlpacaBroker("key", "secret", trading_url=url), fate)
        trader(url, tmp_path, manifest_of(table), broker=wire, bars=5).run()
        trader(url, tmp_path, manifest_of(table), bars=1).run()
    _check(venue, tmp_path / "journal.sqlite")
    assert len(venue.ledger.orders) > 10


@pytest.mark.parametrize("seed", range(2))
def test_a_process_that_dies_at_any_call(tmp_path: pathlib.Path, seed: int) -> None:
    table, chance = walk(ROWS), random.Random(seed)
    venue = venue_of(table, START)
    deaths = 0
    with serving(venue) as url:
        while deaths < 10:
            countdown = chance.randint(4, 25)

            def fate(name: str) -> str:
                nonlocal countdown
                countdown -= name != "order" or 0.5
                if countdown > 0:
                    return "fine"
                return chance.choice(["crash_before", "crash_after"])

            wire = FaultyBroker(AlpacaBroker("key", "secret", trading_url=url), fate)
            with pytest.raises(Crash):
                trader(url, tmp_path, manifest_of(table), broker=wire).run()
            deaths += 1
            venue.clock.advance(venue.clock.now() + chance.choice([0, 0, 1, 400, 1_000, 2 * HOUR]))
        trader(url, tmp_path, manifest_of(table), bars=2).run()
    _check(venue, tmp_path / "journal.sqlite")
    assert len(venue.ledger.orders) > 5


def test_an_order_that_turns_up_late_is_adopted_and_its_fill_counted(tmp_path: pathlib.Path) -> None:
    """The venue denies an order for a whole hour that it took: the intent is given up, and recognised at the next bar."""
    table = walk(ROWS)
    venue = venue_of(table, START)
    until = venue.market.first + 400
    timing = Timing(settle=3, patience=20, late=300, deadline=60, give_up=90, order=20, grace=10, poll=2, start=90)
    denied: set[str] = set()

    def fate(name: str) -> str:
        if venue.clock.now() >= until:
            return "fine"
        return {"submit": "lost" if denied else "unanswered", "order": "stale"}.get(name, "fine")

    class Denying(FaultyBroker):
        def submit(self, order):  # type: ignore[no-untyped-def]
            try:
                return super().submit(order)
            finally:
                denied.add(order.client_order_id)

    with serving(venue) as url:
        wire = Denying(AlpacaBroker("key", "secret", trading_url=url), fate)
        trader(url, tmp_path, manifest_of(table), broker=wire, bars=2, timing=timing).run()
        trader(url, tmp_path, manifest_of(table), bars=1).run()
    first = [order for order in read_orders(tmp_path / "journal.sqlite") if order["bar"] == table.timestamps[START]]
    assert [order["state"] for order in first] == ["filled", "abandoned", "abandoned"]
    _check(venue, tmp_path / "journal.sqlite")


@pytest.mark.parametrize("foreign", ["refuse", "adopt"])
def test_an_order_that_turns_up_while_figures_are_compared_is_the_traders_own(tmp_path: pathlib.Path, foreign: str) -> None:
    """It was asked for in vain, and given up; it arrives before the account is read, an hour later."""
    table = walk(ROWS)
    venue = venue_of(table, START)
    lost: list[OrderRequest] = []

    class Late(FaultyBroker):
        def submit(self, order: OrderRequest) -> Order:
            if venue.clock.now() < venue.market.first + HOUR - 1:
                lost[:] = lost or [order]
                raise UnknownOutcome("no answer")
            return super().submit(order)

        def account(self) -> AccountState:
            if lost and venue.clock.now() >= venue.market.first + HOUR:
                super().submit(lost.pop())
            return super().account()

    with serving(venue) as url:
        wire = Late(AlpacaBroker("key", "secret", trading_url=url), lambda _: "fine")
        trader(url, tmp_path, manifest_of(table), broker=wire, bars=2, foreign=foreign).run()
    assert not lost
    first = [order for order in read_orders(tmp_path / "journal.sqlite") if order["bar"] == table.timestamps[START]]
    assert sorted(order["state"] for order in first) == ["abandoned", "abandoned", "filled"]
    assert not read_adjustments(tmp_path / "journal.sqlite")
    _check(venue, tmp_path / "journal.sqlite")


def test_an_order_of_the_same_id_but_another_size_is_refused(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    name = client_order_id(venue.account_id, "artifact", int(table.timestamps[START]), "ETH", "buy")
    with serving(venue) as url:

        def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
            if not venue.ledger.orders:
                AlpacaBroker("key", "secret", trading_url=url).submit(OrderRequest("ETH", "buy", Decimal("0.05"), name))
            return restless(window, weights)

        with pytest.raises(Halted, match=r"the venue's order .* was the trader's folder lost"):
            trader(url, tmp_path, manifest_of(table), decide=decide, bars=1, capital=Decimal(99_000)).run()
        placed = len(venue.ledger.orders)
        with pytest.raises(Halted, match="halted by trader since"):
            trader(url, tmp_path, manifest_of(table), bars=1, capital=Decimal(99_000), foreign="ignore").run()
    assert len(venue.ledger.orders) == placed


def test_a_stranger_among_the_open_orders_is_refused(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS, missing={START + 1: (0,)})
    venue = venue_of(table, START)
    with serving(venue) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url)
        broker._trading.post(  # pyright: ignore[reportPrivateUsage]
            "/orders",
            {"symbol": "ETH/USD", "qty": "20", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"},
        )
        with pytest.raises(Refusal, match="open orders that this trader did not place: buy 20 ETH"):
            trader(url, tmp_path, manifest_of(table), bars=1).run()


@pytest.mark.slow
def test_kill_nine_in_the_middle(tmp_path: pathlib.Path) -> None:
    table, chance = walk(ROWS), random.Random(0)
    venue = venue_of(table, START)
    with serving(venue) as url:
        for _ in range(3):
            process, had = _start(url, tmp_path, 1_000), len(venue.ledger.orders)
            while len(venue.ledger.orders) < had + 5:
                assert process.poll() is None
                time.sleep(0.002)
            time.sleep(chance.uniform(0, 0.05))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert _start(url, tmp_path, 2).wait(60) == 0
    _check(venue, tmp_path / "journal.sqlite")


@pytest.mark.slow
def test_sigterm_ends_the_run_with_nothing_open(tmp_path: pathlib.Path) -> None:
    venue = venue_of(walk(ROWS), START)
    with serving(venue) as url:
        process = _start(url, tmp_path, 1_000)
        while len(venue.ledger.orders) < 5:
            assert process.poll() is None
            time.sleep(0.002)
        process.terminate()
        assert process.wait(30) == 0
    assert '"event": "stop"' in (tmp_path / "trader.log").read_text().splitlines()[-1]
    _check(venue, tmp_path / "journal.sqlite")

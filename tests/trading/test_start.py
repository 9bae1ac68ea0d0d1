"""A venue that does not answer when the trader starts: asked for a while, then to be started again; a stop is heeded at once."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from decimal import Decimal

import pytest
from loopback import serving, walk
from trading_scenarios import manifest_of, restless, venue_of
from trading_scenarios import trader as trader_of
from watching import watched

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.errors import Unanswered
from cappuccino.trading.clock import RealClock
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.timing import Timing
from cappuccino.trading.trader import Summary, Trader


def trader(folder: pathlib.Path, start: float) -> Trader:
    timing = dataclasses.replace(Timing.for_bars(3600), start=start)
    settings = TraderSettings(folder=folder, capital=Decimal(1000), max_hole_bars=24, timing=timing)
    nobody = AlpacaBroker("local", "local", trading_url="http://127.0.0.1:9", deadline_s=0.5)
    return Trader(manifest_of(walk(400)), "artifact", restless, nobody, RealClock(), settings)


def test_a_venue_that_does_not_answer_is_told_once_however_often_the_trader_is_started(tmp_path: pathlib.Path) -> None:
    table, told = walk(400), []
    for _ in range(3):
        one = trader(tmp_path, start=0.1)
        notes = watched(one)
        with pytest.raises(Unanswered, match="could not be reached at the start"):
            one.run()
        told += notes.kinds
    assert told == ["started", "stale", "started", "started"]
    with serving(venue_of(table, 380)) as url:
        for kinds in (["started", "recovered", "stopped"], ["started", "stopped"]):
            one = trader_of(url, tmp_path, manifest_of(table), bars=1)
            notes = watched(one)
            one.run()
            assert notes.kinds == kinds


def test_a_stop_is_heeded_while_the_venue_does_not_answer(tmp_path: pathlib.Path) -> None:
    one = trader(tmp_path, start=600.0)
    threading.Timer(1.0, one.stop).start()
    began = time.monotonic()
    assert one.run() == Summary(0, 0, 0, None)
    assert time.monotonic() - began < 10

"""A venue that does not answer when the trader starts: asked for a while, then a person has to look; a stop is heeded at once."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
import time
from decimal import Decimal

import pytest
from loopback import walk
from trading_scenarios import manifest_of, restless

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.errors import Refusal
from cappuccino.trading.clock import RealClock
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.timing import Timing
from cappuccino.trading.trader import Summary, Trader


def trader(folder: pathlib.Path, start: float) -> Trader:
    timing = dataclasses.replace(Timing.for_bars(3600), start=start)
    settings = TraderSettings(folder=folder, capital=Decimal(1000), max_hole_bars=24, timing=timing)
    nobody = AlpacaBroker("local", "local", trading_url="http://127.0.0.1:9", deadline_s=0.5)
    return Trader(manifest_of(walk(400)), "artifact", restless, nobody, RealClock(), settings)


def test_a_venue_that_does_not_answer_at_the_start_is_a_refusal(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refusal, match="could not be reached at the start"):
        trader(tmp_path, start=0.1).run()


def test_a_stop_is_heeded_while_the_venue_does_not_answer(tmp_path: pathlib.Path) -> None:
    one = trader(tmp_path, start=600.0)
    threading.Timer(1.0, one.stop).start()
    began = time.monotonic()
    assert one.run() == Summary(0, 0, 0, None)
    assert time.monotonic() - began < 10

"""Market and clock of the exchange: nothing is known before it has happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import FIRST, HOUR, walk

from cappuccino.broker.exchange.arithmetic import exact
from cappuccino.broker.exchange.clock import RunningClock, SteppedClock
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.market import Replay
from cappuccino.broker.exchange.venue import Venue
from cappuccino.errors import InputError

TABLE = walk(30, missing={12: (1,)})
REPLAY = Replay(TABLE, 10, exact("0.0002"))


def test_time_starts_at_the_close_of_the_start_row() -> None:
    assert REPLAY.first == FIRST + 11 * HOUR
    assert REPLAY.last == FIRST + 30 * HOUR


@settings(deadline=None)
@given(st.floats(11 * HOUR, 30 * HOUR, exclude_max=True, width=32))
def test_the_book_stands_around_the_open_of_the_running_bar(seconds: float) -> None:
    row = int(seconds // HOUR)
    book = REPLAY.quote("BTC", FIRST + seconds)
    assert book is not None
    assert float(book.bid) == pytest.approx(TABLE.open[row, 0] * 0.9998, rel=1e-15)
    assert float(book.ask) == pytest.approx(TABLE.open[row, 0] * 1.0002, rel=1e-15)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 19 * HOUR))
def test_the_future_changes_nothing_that_is_served(seconds: int) -> None:
    now = FIRST + 11 * HOUR + seconds
    known = (now - FIRST) // HOUR
    other = walk(30, seed=1, missing={12: (1,)})
    changed = {name: np.array(getattr(TABLE, name)) for name in ("open", "high", "low", "close", "volume")}
    for name, values in changed.items():
        first = known + 1 if name == "open" else known
        values[first:] = getattr(other, name)[first:]
    changed["high"] = np.maximum(changed["high"], np.maximum(changed["open"], changed["close"]))
    changed["low"] = np.minimum(changed["low"], np.minimum(changed["open"], changed["close"]))
    mixed = Replay(type(TABLE)(**{**vars(TABLE), **changed}), 10, exact("0.0002"))
    for asset in TABLE.assets:
        assert mixed.bars(asset, 0, now + 100 * HOUR, now) == REPLAY.bars(asset, 0, now + 100 * HOUR, now)
        assert mixed.quote(asset, now) == REPLAY.quote(asset, now)
        assert mixed.latest_bar(asset, now) == REPLAY.latest_bar(asset, now)
    assert mixed.marks(now) == REPLAY.marks(now)


def test_the_running_bar_shows_its_open_only() -> None:
    now = FIRST + 15 * HOUR + 60
    running = REPLAY.bars("BTC", 0, now, now)[-1]
    price = TABLE.open[15, 0]
    assert tuple(running) == (FIRST + 15 * HOUR, price, price, price, price, 0.0)
    assert REPLAY.bars("BTC", 0, now, now)[-2].close == TABLE.close[14, 0]


def test_a_masked_bar_is_neither_served_nor_quoted() -> None:
    now = FIRST + 12 * HOUR
    assert REPLAY.quote("ETH", now) is None
    assert REPLAY.quote("BTC", now) is not None
    assert FIRST + 12 * HOUR not in [bar.at for bar in REPLAY.bars("ETH", 0, now, now + 9 * HOUR)]
    latest = REPLAY.latest_bar("ETH", FIRST + 13 * HOUR)
    assert latest is not None
    assert latest.at == FIRST + 11 * HOUR


def test_between_segments_nothing_trades() -> None:
    stamps, segment = TABLE.timestamps.copy(), TABLE.segment.copy()
    stamps[20:] += 5 * HOUR
    segment[20:] = 1
    replay = Replay(type(TABLE)(**{**vars(TABLE), "timestamps": stamps, "segment": segment}), 19, exact("0"))
    assert replay.first == FIRST + 20 * HOUR
    assert replay.quote("BTC", replay.first) is None
    assert replay.quote("BTC", FIRST + 25 * HOUR) is not None
    assert replay.marks(replay.first)["BTC"] == exact(TABLE.close[19, 0])


def test_a_replay_needs_a_bar_to_trade_in() -> None:
    with pytest.raises(InputError, match="row 29"):
        Replay(TABLE, 29, exact("0"))
    stamps = TABLE.timestamps[0] + 7 * np.arange(30)
    odd = type(TABLE)(**{**vars(TABLE), "bar_seconds": 7, "timestamps": stamps})
    with pytest.raises(InputError, match="bars of 7 s"):
        Venue(odd, 1, ExchangeConfig())


@given(st.lists(st.floats(0, 1e10), max_size=20))
def test_a_stepped_clock_never_goes_back(steps: list[float]) -> None:
    clock = SteppedClock(1000.0)
    for to in steps:
        before = clock.now()
        if to < before:
            with pytest.raises(InputError, match="forward"):
                clock.advance(to)
            assert clock.now() == before
        else:
            assert clock.advance(to) == clock.now() == to


def test_a_running_clock_keeps_its_pace_and_is_not_moved() -> None:
    times = iter([5.0, 7.0])
    clock = RunningClock(1000.0, 60.0, monotonic=times.__next__)
    assert clock.now() == 1120.0
    with pytest.raises(InputError, match="by itself"):
        clock.advance(2000.0)

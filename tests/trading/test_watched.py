"""A trader tells whoever watches it of every bar, and at once of what a person may want to know."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from faulty_broker import FaultyBroker
from loopback import HOUR, serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of
from watching import watched

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.errors import Halted, Refusal
from cappuccino.trading.journal_reading import read_marks
from cappuccino.trading.latch import HALT_FILE

ROWS, START = 260, 200


def test_every_bar_is_reported_as_it_was_marked(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        one = trader(url, tmp_path, manifest_of(table), bars=6)
        notes = watched(one)
        one.run()
    marks = read_marks(tmp_path / "journal.sqlite")
    assert [report.bar for report in notes.bars] == table.timestamps[START : START + 6].tolist()
    assert [report.equity for report in notes.bars] == [mark["equity"] for mark in marks]
    peaks = np.maximum.accumulate([mark["equity"] for mark in marks])
    np.testing.assert_allclose(
        [report.drawdown or 0 for report in notes.bars], 1 - np.array([m["equity"] for m in marks]) / peaks
    )
    assert all(report.latency_s is not None and 0 < report.latency_s < 1 for report in notes.bars)
    assert all(report.age is not None and 0 <= report.age < 60 for report in notes.bars)
    assert all((report.unknown_orders, report.open_orders, report.differences) == (0, 0, 0) for report in notes.bars)
    assert notes.kinds == ["started", "stopped"]


def test_stale_data_and_its_end_are_told_once(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    gone = range(int(table.timestamps[START + 2]) + HOUR, int(table.timestamps[START + 4]) + HOUR)

    def fate(name: str) -> str:
        return "lost" if name == "bars" and venue.clock.now() in gone else "fine"

    with serving(venue) as url:
        one = trader(
            url, tmp_path, manifest_of(table), broker=FaultyBroker(AlpacaBroker("k", "s", trading_url=url), fate), bars=7
        )
        notes = watched(one)
        one.run()
    assert notes.kinds == ["started", "stale", "recovered", "stopped"]
    assert "did not answer" in notes.events[1][1]
    assert [report.reason is not None for report in notes.bars] == [False, False, True, True, False, False, False]


def test_a_rejection_a_halt_and_a_refusal_are_told(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS, missing={START + 2: (1,)})
    with serving(venue_of(table, START)) as url:
        one = trader(url, tmp_path / "a", manifest_of(table), bars=4)
        notes = watched(one)
        one.run()
        assert "reject" in notes.kinds
        assert any("ETH was rejected: asset ETH/USD is not tradable now" in message for _, message in notes.events)
        (tmp_path / "a" / HALT_FILE).write_text("")
        one = trader(url, tmp_path / "a", manifest_of(table), bars=4)
        notes = watched(one)
        with pytest.raises(Halted):
            one.run()
        assert notes.kinds == ["started", "halt"]
    with serving(venue_of(walk(ROWS), START, key="right", secret="right")) as url:
        one = trader(url, tmp_path / "b", manifest_of(table), decide=restless, bars=1)
        notes = watched(one)
        with pytest.raises(Refusal):
            one.run()
        assert notes.kinds == ["started", "refused"]

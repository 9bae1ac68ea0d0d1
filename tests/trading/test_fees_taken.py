"""Fees at the fill and fees at the day's end: the venue's figures differ for hours, the session does not."""

from __future__ import annotations

import pathlib
from decimal import Decimal

import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of

from cappuccino.errors import Halted
from cappuccino.trading.folder import JOURNAL_NAME
from cappuccino.trading.journal_reading import read_marks, read_orders
from cappuccino.trading.latch import HALT_FILE
from cappuccino.trading.review import review
from cappuccino.trading.session import load_session

ROWS, START, BARS = 300, 200, 60


def test_a_session_is_the_same_whenever_the_venue_takes_its_fees(tmp_path: pathlib.Path) -> None:
    table, sessions, gaps = walk(ROWS), {}, {}
    manifest = manifest_of(table)
    for fees in ("fill", "day"):
        venue, folder = venue_of(table, START, fees=fees), tmp_path / fees
        with serving(venue) as url:
            trader(url, folder, manifest, bars=BARS).run()
        orders = [
            (row["client_order_id"], row["quantity"], row["filled_quantity"]) for row in read_orders(folder / JOURNAL_NAME)
        ]
        marks = read_marks(folder / JOURNAL_NAME)
        sessions[fees] = {row[0]: row[1:] for row in orders}, marks
        gaps[fees] = venue.ledger.owed_cash()
        for row in review(load_session(folder, manifest, restless, max_hole_bars=6, venue_fee=0.0025)):
            assert abs(row.unexplained) < 1e-6
    assert gaps["day"] > 0 == gaps["fill"]
    (orders, marks), (orders_by_day, marks_by_day) = sessions["fill"], sessions["day"]
    assert len(orders) > 2 * BARS
    # The account's id is part of an order's name, and every exchange makes up its own.
    assert list(orders.values()) == list(orders_by_day.values())
    np.testing.assert_allclose([mark["equity"] for mark in marks_by_day], [mark["equity"] for mark in marks], rtol=1e-12)
    for mark, by_day in zip(marks, marks_by_day, strict=True):
        assert float(by_day["cash"]) == pytest.approx(float(mark["cash"]), abs=1e-6)
        assert by_day["positions"].keys() == mark["positions"].keys()
        for asset, quantity in mark["positions"].items():
            assert float(by_day["positions"][asset]) == pytest.approx(float(quantity), rel=1e-9)


def test_a_flattening_leaves_what_the_venue_will_take(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START, fees="day")
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), bars=3).run()
        (tmp_path / HALT_FILE).write_text("flatten")
        with pytest.raises(Halted, match="everything was sold"):
            trader(url, tmp_path, manifest_of(table)).run()
    for asset, holding in venue.ledger.holdings.items():
        assert holding.quantity - venue.ledger.owed(asset) < Decimal("1e-9")
        assert holding.quantity > 0

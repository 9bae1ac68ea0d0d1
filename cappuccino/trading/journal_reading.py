"""A journal read from beside the trader, without disturbing it: rows as plain dictionaries, oldest first."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
from typing import Any, NamedTuple

from cappuccino.errors import InputError
from cappuccino.trading.journal import LISTS
from cappuccino.trading.records import OVER


def _read(path: pathlib.Path | str, table: str, order: str) -> list[dict[str, Any]]:
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} is not a journal: there is no such file")
    db = sqlite3.connect(f"{pathlib.Path(path).resolve().as_uri()}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    with contextlib.closing(db):
        try:
            return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY {order}")]
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is not a journal that can be read: {error}") from None


def read_decisions(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All decisions, with the fields of `Decision`; lists and notes decoded."""
    rows = _read(path, "decisions", "bar")
    return [{**row, **{name: json.loads(row[name]) for name in (*LISTS, "notes")}} for row in rows]


def read_orders(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All order intents in the order in which they were written, with the fields of `Intent`; quantities as text."""
    return _read(path, "orders", "rowid")


def read_marks(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All marks: bar, at, equity, cash (text), positions by asset (text), risk as in `Mark`."""
    rows = _read(path, "marks", "bar")
    return [{**row, **{name: json.loads(row[name]) for name in ("positions", "risk")}} for row in rows]


class Progress(NamedTuple):
    """How far a journal has come. bars: handled; marks: of these, with `last_bar` the last. halted: why, None if it is not."""

    bars: int
    marks: int
    last_bar: int | None
    is_over: bool
    halted: str | None


def read_progress(path: pathlib.Path | str) -> Progress:
    """Of a journal, without reading all of it; of nothing where there is none yet."""
    if not pathlib.Path(path).is_file():
        return Progress(0, 0, None, is_over=False, halted=None)
    try:
        with contextlib.closing(sqlite3.connect(f"{pathlib.Path(path).resolve().as_uri()}?mode=ro", uri=True)) as db:
            if db.execute("PRAGMA user_version").fetchone() == (0,):  # it is being made
                return Progress(0, 0, None, is_over=False, halted=None)
            (bars,) = db.execute("SELECT count(*) FROM decisions").fetchone()
            marks, last = db.execute("SELECT count(*), max(bar) FROM marks").fetchone()
            reason = db.execute("SELECT reason FROM decisions ORDER BY bar DESC LIMIT 1").fetchone()
            halt = db.execute("SELECT is_halted, reason FROM halts ORDER BY rowid DESC LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} is not a journal that can be read: {error}") from None
    is_over = reason is not None and (reason[0] or "").startswith(OVER)
    return Progress(bars, marks, last, is_over=is_over, halted=halt[1] if halt is not None and halt[0] else None)


def read_drift(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All drift checks: at, rows, outside (share by `asset/feature`), refused."""
    return [{**row, "outside": json.loads(row["outside"])} for row in _read(path, "drift", "at")]


def read_adjustments(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All differences that were taken over from the venue, with the fields of `Adjustment`; the change as text."""
    return _read(path, "adjustments", "rowid")


def read_halts(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """Every time that the kill switch was thrown or released, with the fields of `Halt`."""
    return _read(path, "halts", "rowid")

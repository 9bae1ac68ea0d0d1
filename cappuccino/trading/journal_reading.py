"""A journal read from beside the trader, without disturbing it: rows as plain dictionaries, oldest first."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
from typing import Any

from cappuccino.errors import InputError
from cappuccino.trading.journal import LISTS


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


def read_drift(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All drift checks: at, rows, outside (share by `asset/feature`), refused."""
    return [{**row, "outside": json.loads(row["outside"])} for row in _read(path, "drift", "at")]


def read_adjustments(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All differences that were taken over from the venue, with the fields of `Adjustment`; the change as text."""
    return _read(path, "adjustments", "rowid")


def read_halts(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """Every time that the kill switch was thrown or released, with the fields of `Halt`."""
    return _read(path, "halts", "rowid")

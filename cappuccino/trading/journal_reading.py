"""A journal read from beside the trader, without disturbing it: rows as plain dictionaries, oldest first."""

from __future__ import annotations

import contextlib
import json
import pathlib
import sqlite3
from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

from cappuccino.errors import InputError
from cappuccino.trading.journal import LISTS
from cappuccino.trading.records import OVER

_COUNTED_ORDERS = "SELECT state, count(*) AS number FROM orders GROUP BY state"


def _read(path: pathlib.Path | str, query: str, *values: Any) -> list[dict[str, Any]]:
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} is not a journal: there is no such file")
    try:
        db = sqlite3.connect(f"{pathlib.Path(path).resolve().as_uri()}?mode=ro", uri=True)
        db.row_factory = sqlite3.Row
        with contextlib.closing(db):
            return [dict(row) for row in db.execute(query, values)]
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} is not a journal that can be read: {error}") from None


def _last(table: str, order: str, where: str = "true") -> str:
    """The query for so many rows of a table, the last ones in an order; -1 is all."""
    return f"SELECT * FROM (SELECT *, {order} AS place FROM {table} WHERE {where} ORDER BY place DESC LIMIT ?) ORDER BY place"


def _without_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "place"} for row in rows]


def read_decisions(path: pathlib.Path | str, *, last: int = -1, undecided: bool = False) -> list[dict[str, Any]]:
    """The last decisions (-1: all), with the fields of `Decision`; lists and notes decoded. undecided: bars at which the policy
    decided nothing only."""
    where = "reason IS NOT NULL" if undecided else "true"
    rows = _without_place(_read(path, _last("decisions", "bar", where), last))
    return [{**row, **{name: json.loads(row[name]) for name in (*LISTS, "notes")}} for row in rows]


def read_orders(path: pathlib.Path | str, *, last: int = -1, states: Collection[str] | None = None) -> list[dict[str, Any]]:
    """The last order intents (-1: all), those in `states` (None: any), in the order in which they were written, with the fields of
    `Intent`; quantities as text."""
    where = "true" if states is None else f"state IN ({', '.join('?' * len(states))})"
    return _without_place(_read(path, _last("orders", "rowid", where), *(states or ()), last))


def count_orders(path: pathlib.Path | str) -> Counter[str]:
    """How many order intents are in each state."""
    return Counter({row["state"]: row["number"] for row in _read(path, _COUNTED_ORDERS)})


def count_undecided(path: pathlib.Path | str) -> int:
    """Bars at which the policy decided nothing."""
    return _read(path, "SELECT count(*) AS number FROM decisions WHERE reason IS NOT NULL")[0]["number"]


def read_equity(path: pathlib.Path | str) -> list[tuple[int, float]]:
    """Bar and equity of all marks."""
    return [(row["bar"], row["equity"]) for row in _read(path, "SELECT bar, equity FROM marks ORDER BY bar")]


def read_meta(path: pathlib.Path | str) -> dict[str, str]:
    """What was written down at the first start: artifact, account, capital, started."""
    return {row["key"]: row["value"] for row in _read(path, "SELECT key, value FROM meta")}


def read_marks(path: pathlib.Path | str, *, last: int = -1) -> list[dict[str, Any]]:
    """The last marks (-1: all): bar, at, equity, cash (text), positions by asset (text), risk as in `Mark`."""
    rows = _without_place(_read(path, _last("marks", "bar"), last))
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
    return [{**row, "outside": json.loads(row["outside"])} for row in _read(path, "SELECT * FROM drift ORDER BY at")]


def read_adjustments(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All differences that were taken over from the venue, with the fields of `Adjustment`; the change as text."""
    return _read(path, "SELECT * FROM adjustments ORDER BY rowid")


def read_halts(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """Every time that the kill switch was thrown or released, with the fields of `Halt`."""
    return _read(path, "SELECT * FROM halts ORDER BY rowid")

"""The trader's memory in SQLite: decisions, order intents, marks, bars and halts, on disk before anything is sent.

A transaction that has returned survives the loss of the process and of the machine (write-ahead log, synchronous=FULL).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from cappuccino.broker.protocol import Side
from cappuccino.errors import InputError
from cappuccino.trading.bar_store import CACHE_KIB
from cappuccino.trading.records import FINAL, NEXT, Adjustment, Anchor, Decision, FillSince, Halt, Intent, Mark

SCHEMA_VERSION = 3

BUSY_S = 30.0
"""Seconds that a command and the trader wait for each other's transaction."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE decisions (
    bar INTEGER PRIMARY KEY, decided_at REAL NOT NULL, phase TEXT NOT NULL, reason TEXT, equity REAL, cash REAL,
    weights TEXT NOT NULL, targets TEXT NOT NULL, closes TEXT NOT NULL, tradable TEXT NOT NULL, buys TEXT NOT NULL,
    asked TEXT NOT NULL, increments TEXT NOT NULL, notes TEXT NOT NULL
) STRICT;
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY, bar INTEGER NOT NULL, asset TEXT NOT NULL, side TEXT NOT NULL, quantity TEXT NOT NULL,
    sequence INTEGER NOT NULL, state TEXT NOT NULL, venue_id TEXT, filled_quantity TEXT NOT NULL, filled_price TEXT,
    created_at REAL NOT NULL, sent_at REAL, updated_at REAL NOT NULL, error TEXT,
    counted_quantity TEXT NOT NULL DEFAULT '0', counted_value TEXT NOT NULL DEFAULT '0',
    UNIQUE (bar, asset, sequence)
) STRICT;
CREATE INDEX orders_by_state ON orders (state);
CREATE TABLE marks (
    bar INTEGER PRIMARY KEY, at REAL NOT NULL, equity REAL NOT NULL, cash TEXT NOT NULL, positions TEXT NOT NULL,
    risk TEXT NOT NULL
) STRICT;
CREATE TABLE anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL, own TEXT NOT NULL, reserve TEXT NOT NULL, pending TEXT NOT NULL
) STRICT;
CREATE TABLE adjustments (at REAL NOT NULL, asset TEXT NOT NULL, change TEXT NOT NULL, how TEXT NOT NULL) STRICT;
CREATE TABLE halts (
    at REAL NOT NULL, is_halted INTEGER NOT NULL, reason TEXT NOT NULL, source TEXT NOT NULL, flatten INTEGER NOT NULL
) STRICT;
CREATE TABLE drift (at REAL NOT NULL, rows INTEGER NOT NULL, outside TEXT NOT NULL, refused INTEGER NOT NULL) STRICT;
"""

_TABLES = re.findall(r"CREATE TABLE (\w+)", _SCHEMA)


class Journal:
    """One trader's journal in the file `path`, made if it is not there. Raises InputError for another schema's file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            found = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is not a journal that can be opened: {error}") from None
        if version not in (0, SCHEMA_VERSION):
            raise InputError(f"{path} has schema {version}; this version reads {SCHEMA_VERSION}: use another trade.name")
        missing = [name for name in _TABLES if name not in found]
        if missing:
            raise InputError(f"{path} has no table {missing[0]}: it is damaged; restore a copy, or use another trade.name")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def copy_to(self, path: pathlib.Path) -> None:
        """Write all of it to another file."""
        with contextlib.closing(sqlite3.connect(path)) as other:
            self._db.backup(other)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def meta(self) -> dict[str, str]:
        """What was written down at the first start."""
        return dict(self._db.execute("SELECT key, value FROM meta"))

    def set_meta(self, **values: str) -> None:
        """Write values down, all or none."""
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def add_decision(self, decision: Decision, sells: Sequence[Intent], mark: Mark | None) -> None:
        """A decision with its sells and the mark of its bar, at once."""
        with self._transaction():
            self._insert("decisions", {**dataclasses.asdict(decision), **_json_columns(decision)})
            self._insert_intents(sells)
            if mark is not None:
                exact = {"cash": str(mark.cash), "positions": _texts(mark.positions), "risk": json.dumps(mark.risk)}
                self._insert("marks", {**dataclasses.asdict(mark), **exact})

    def forget(self, bar: int) -> None:
        """Take decision and mark of a bar out of a copy, in which they are to be made anew."""
        with self._transaction():
            self._db.execute("DELETE FROM decisions WHERE bar = ?", (bar,))
            self._db.execute("DELETE FROM marks WHERE bar = ?", (bar,))

    def add_buys(self, bar: int, buys: Sequence[Intent]) -> None:
        """The buys fitted to the cash; the decision is then in phase `buys`."""
        with self._transaction():
            self._insert_intents(buys)
            self._db.execute("UPDATE decisions SET phase = 'buys' WHERE bar = ?", (bar,))

    def add_intents(self, intents: Sequence[Intent]) -> None:
        """Orders beyond a decision's: of a flatten."""
        with self._transaction():
            self._insert_intents(intents)

    def finish(self, bar: int, notes: dict[str, Any]) -> None:
        """The decision is done; `notes` are added to its own."""
        decision = self.decision(bar)
        assert decision is not None
        merged = json.dumps({**decision.notes, **notes})
        with self._transaction():
            self._db.execute("UPDATE decisions SET phase = 'done', notes = ? WHERE bar = ?", (merged, bar))

    def update(self, intent: Intent) -> None:
        """What has become of an intent. Raises ValueError for a change of state that `records.NEXT` does not have."""
        columns = _intent_columns(intent)
        names = ", ".join(f"{name} = :{name}" for name in columns)
        with self._transaction():
            (before,) = self._db.execute(
                "SELECT state FROM orders WHERE client_order_id = ?", (intent.client_order_id,)
            ).fetchone()
            if intent.state not in NEXT[before]:
                raise ValueError(f"order {intent.client_order_id} cannot go from {before} to {intent.state}")
            self._db.execute(f"UPDATE orders SET {names} WHERE client_order_id = :client_order_id", columns)

    def decision(self, bar: int) -> Decision | None:
        """The decision of a bar."""
        rows = self._decisions("WHERE bar = ?", (bar,))
        return rows[0] if rows else None

    def unfinished(self) -> list[Decision]:
        """Decisions that are still to be carried out, oldest first."""
        return self._decisions("WHERE phase IN ('sells', 'buys') ORDER BY bar", ())

    def intents(self, bar: int, side: Side) -> list[Intent]:
        """The intents of a bar's decision in the order in which they were written."""
        return self._intents("WHERE bar = ? AND side = ? AND sequence = 0 ORDER BY rowid", (bar, side))

    def intent(self, client_order_id: str) -> Intent | None:
        """One intent."""
        rows = self._intents("WHERE client_order_id = ?", (client_order_id,))
        return rows[0] if rows else None

    def next_sequence(self, bar: int, asset: str) -> int:
        """The sequence number of the next order of an asset beyond a bar's plan: 1 and up."""
        row = self._db.execute("SELECT max(sequence) FROM orders WHERE bar = ? AND asset = ?", (bar, asset)).fetchone()
        return 1 + (row[0] or 0)

    def open_intents(self, sent_since: float) -> list[Intent]:
        """Intents not known to have ended, and those abandoned after they were sent, not before a time: they may turn up yet."""
        marks = ", ".join("?" * len(FINAL))
        where = f"WHERE state NOT IN ({marks}) OR (state = 'abandoned' AND sent_at >= ?) ORDER BY rowid"
        return self._intents(where, (*sorted(FINAL), sent_since))

    def orders_since(self, created_since: float) -> list[Intent]:
        """Intents written down not before a time."""
        return self._intents("WHERE created_at >= ? ORDER BY rowid", (created_since,))

    def last_decided(self) -> int | None:
        """The last bar at which something was decided."""
        return self._db.execute("SELECT max(bar) FROM decisions WHERE phase != 'none'").fetchone()[0]

    def fills_since_anchor(self) -> list[FillSince]:
        """What was filled and is not yet counted in the anchor."""
        rows = self._db.execute(
            "SELECT client_order_id, asset, side, filled_quantity, filled_price, counted_quantity, counted_value FROM orders "
            "WHERE filled_quantity != counted_quantity ORDER BY rowid"
        )
        found = []
        for name, asset, side, filled, price, counted, counted_value in rows:
            quantity = Decimal(filled)
            if quantity == Decimal(counted):  # written otherwise, like 0.0
                continue
            value = quantity * Decimal(price)
            found.append(FillSince(name, asset, side, quantity - Decimal(counted), value - Decimal(counted_value)))
        return found

    def anchor(self) -> Anchor | None:
        """Where journal and venue last agreed; None before the first time."""
        row = self._db.execute("SELECT at, own, reserve, pending FROM anchor").fetchone()
        if row is None:
            return None
        pending = {int(day): _decimals(figures) for day, figures in json.loads(row[3]).items()}
        return Anchor(row[0], _decimals(json.loads(row[1])), _decimals(json.loads(row[2])), pending)

    def set_anchor(self, anchor: Anchor, adjustments: Sequence[Adjustment] = ()) -> None:
        """Journal and venue agree: from here on all fills so far are counted. With what was taken over for that."""
        pending = json.dumps({day: {asset: str(fee) for asset, fee in fees.items()} for day, fees in anchor.pending.items()})
        with self._transaction():
            for fill in self.fills_since_anchor():
                intent = self.intent(fill.client_order_id)
                assert intent is not None
                counted = (f"{intent.filled_quantity:f}", str(intent.filled_value), intent.client_order_id)
                self._db.execute("UPDATE orders SET counted_quantity = ?, counted_value = ? WHERE client_order_id = ?", counted)
            self._db.execute(
                "INSERT OR REPLACE INTO anchor VALUES (1, ?, ?, ?, ?)",
                (anchor.at, _texts(anchor.own), _texts(anchor.reserve), pending),
            )
            for adjustment in adjustments:
                self._insert("adjustments", {**dataclasses.asdict(adjustment), "change": str(adjustment.change)})

    def last_mark(self) -> Mark | None:
        """The latest mark."""
        row = self._db.execute("SELECT bar, at, equity, cash, positions, risk FROM marks ORDER BY bar DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return Mark(row[0], row[1], row[2], Decimal(row[3]), _decimals(json.loads(row[4])), json.loads(row[5]))

    def peak_equity(self) -> float | None:
        """The highest equity of all marks."""
        return self._db.execute("SELECT max(equity) FROM marks").fetchone()[0]

    def halt(self) -> Halt | None:
        """The kill switch as it was last set; None if it never was."""
        row = self._db.execute(
            "SELECT at, is_halted, reason, source, flatten FROM halts ORDER BY rowid DESC LIMIT 1"
        ).fetchone()
        return None if row is None else Halt(row[0], bool(row[1]), row[2], row[3], bool(row[4]))

    def set_halt(self, halt: Halt) -> None:
        """Throw the kill switch, or release it."""
        with self._transaction():
            self._insert("halts", {**dataclasses.asdict(halt), "is_halted": int(halt.is_halted), "flatten": int(halt.flatten)})

    def releases(self) -> int:
        """How often a person has let the trader go on."""
        return self._db.execute("SELECT count(*) FROM halts WHERE NOT is_halted").fetchone()[0]

    def add_drift_check(self, at: float, rows: int, outside: dict[str, float], *, refused: bool) -> None:
        """A comparison of live features with the training span: shares outside by `asset/feature`."""
        with self._transaction():
            self._insert("drift", {"at": at, "rows": rows, "outside": json.dumps(outside), "refused": int(refused)})

    def _insert(self, table: str, columns: dict[str, Any]) -> None:
        names, values = ", ".join(columns), ", ".join(f":{name}" for name in columns)
        self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", columns)

    def _insert_intents(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self._insert("orders", _intent_columns(intent))

    def _decisions(self, where: str, values: tuple[Any, ...]) -> list[Decision]:
        names = [field.name for field in dataclasses.fields(Decision)]
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM decisions {where}", values)
        return [_decision(dict(zip(names, row, strict=True))) for row in rows]

    def _intents(self, where: str, values: tuple[Any, ...]) -> list[Intent]:
        names = [field.name for field in dataclasses.fields(Intent)]
        rows = self._db.execute(f"SELECT {', '.join(names)} FROM orders {where}", values)
        return [_intent(dict(zip(names, row, strict=True))) for row in rows]


LISTS = ("weights", "targets", "closes", "tradable", "buys", "asked", "increments")
"""Columns of a decision that are lists."""


def _texts(figures: Mapping[str, Decimal]) -> str:
    return json.dumps({asset: str(figure) for asset, figure in figures.items()})


def _decimals(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {asset: Decimal(text) for asset, text in texts.items()}


def _json_columns(decision: Decision) -> dict[str, str]:
    return {name: json.dumps(getattr(decision, name)) for name in (*LISTS, "notes")}


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(**{**row, "notes": json.loads(row["notes"]), **{name: tuple(json.loads(row[name])) for name in LISTS}})


def _intent_columns(intent: Intent) -> dict[str, Any]:
    price = None if intent.filled_price is None else str(intent.filled_price)
    exact = {"quantity": f"{intent.quantity:f}", "filled_quantity": f"{intent.filled_quantity:f}", "filled_price": price}
    return {**dataclasses.asdict(intent), **exact}


def _intent(row: dict[str, Any]) -> Intent:
    price = None if row["filled_price"] is None else Decimal(row["filled_price"])
    exact = {"quantity": Decimal(row["quantity"]), "filled_quantity": Decimal(row["filled_quantity"]), "filled_price": price}
    return Intent(**{**row, **exact})

"""The trader's memory: decisions, order intents and marks in SQLite, on disk before anything is sent.

A transaction that has returned survives the loss of the process and of the machine (write-ahead log, synchronous=FULL).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

from cappuccino.broker.protocol import Side
from cappuccino.errors import InputError

SCHEMA_VERSION = 1

State = Literal[
    "planned", "sent", "unknown", "accepted", "partially_filled", "filled", "canceled", "rejected", "expired", "abandoned"
]
FINAL: frozenset[State] = frozenset({"filled", "canceled", "rejected", "expired", "abandoned"})
"""States in which an intent is done. `abandoned`: never sent, or the venue does not know it and it is too late to send."""

Phase = Literal["sells", "buys", "done", "none"]

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE decisions (
    bar INTEGER PRIMARY KEY, decided_at REAL NOT NULL, phase TEXT NOT NULL, reason TEXT, equity REAL, cash REAL,
    weights TEXT NOT NULL, targets TEXT NOT NULL, closes TEXT NOT NULL, tradable TEXT NOT NULL, buys TEXT NOT NULL,
    notes TEXT NOT NULL
) STRICT;
CREATE TABLE orders (
    client_order_id TEXT PRIMARY KEY, bar INTEGER NOT NULL REFERENCES decisions (bar), asset TEXT NOT NULL,
    side TEXT NOT NULL, quantity TEXT NOT NULL, state TEXT NOT NULL, venue_id TEXT, filled_quantity TEXT NOT NULL,
    filled_price TEXT, created_at REAL NOT NULL, sent_at REAL, updated_at REAL NOT NULL, error TEXT
) STRICT;
CREATE TABLE marks (
    bar INTEGER PRIMARY KEY, at REAL NOT NULL, equity REAL NOT NULL, cash TEXT NOT NULL, positions TEXT NOT NULL
) STRICT;
CREATE TABLE drift (at REAL NOT NULL, rows INTEGER NOT NULL, outside TEXT NOT NULL, refused INTEGER NOT NULL) STRICT;
"""


@dataclasses.dataclass(frozen=True)
class Intent:
    """An order that is wanted, and what has become of it. Quantities are gross, in base units."""

    client_order_id: str
    bar: int
    asset: str
    side: Side
    quantity: Decimal
    created_at: float
    updated_at: float
    state: State = "planned"
    venue_id: str | None = None
    filled_quantity: Decimal = Decimal(0)
    filled_price: Decimal | None = None
    sent_at: float | None = None
    error: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it is known how the order ended."""
        return self.state in FINAL


@dataclasses.dataclass(frozen=True)
class Decision:
    """What was decided at the close of `bar` (its opening, Unix seconds), and from what.

    phase: what is to be done next, `sells` or `buys`; `done`; or `none`, with the `reason` why nothing was decided.
    weights, targets, closes, tradable, buys: one per asset in the artifact's order, empty where there was no decision; `buys`
    are those wanted before they are fitted to the cash, in base units. equity, cash: the trader's own, in quote currency.
    notes: what a person should know, by kind.
    """

    bar: int
    decided_at: float
    phase: Phase
    reason: str | None = None
    equity: float | None = None
    cash: float | None = None
    weights: tuple[float, ...] = ()
    targets: tuple[float, ...] = ()
    closes: tuple[float, ...] = ()
    tradable: tuple[bool, ...] = ()
    buys: tuple[float, ...] = ()
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Equity (closes of `bar`), cash and positions of the trader when `bar` had closed."""

    bar: int
    at: float
    equity: float
    cash: Decimal
    positions: dict[str, Decimal]


class Journal:
    """One trader's journal in the file `path`, made if it is not there. Raises InputError for another schema's file."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute("PRAGMA foreign_keys=ON")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is not a journal that can be opened: {error}") from None
        if version == 0:
            self._db.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise InputError(f"{path} has schema {version}; this version reads {SCHEMA_VERSION}: use another trade.name")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

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
                positions = json.dumps({asset: str(quantity) for asset, quantity in mark.positions.items()})
                columns = {
                    "bar": mark.bar,
                    "at": mark.at,
                    "equity": mark.equity,
                    "cash": str(mark.cash),
                    "positions": positions,
                }
                self._insert("marks", columns)

    def add_buys(self, bar: int, buys: Sequence[Intent]) -> None:
        """The buys fitted to the cash; the decision is then in phase `buys`."""
        with self._transaction():
            self._insert_intents(buys)
            self._db.execute("UPDATE decisions SET phase = 'buys' WHERE bar = ?", (bar,))

    def finish(self, bar: int, notes: dict[str, Any]) -> None:
        """The decision is done; `notes` are added to its own."""
        decision = self.decision(bar)
        assert decision is not None
        merged = json.dumps({**decision.notes, **notes})
        with self._transaction():
            self._db.execute("UPDATE decisions SET phase = 'done', notes = ? WHERE bar = ?", (merged, bar))

    def update(self, intent: Intent) -> None:
        """What has become of an intent."""
        columns = _intent_columns(intent)
        names = ", ".join(f"{name} = :{name}" for name in columns)
        with self._transaction():
            done = self._db.execute(f"UPDATE orders SET {names} WHERE client_order_id = :client_order_id", columns)
            assert done.rowcount == 1

    def decision(self, bar: int) -> Decision | None:
        """The decision of a bar."""
        rows = self._decisions("WHERE bar = ?", (bar,))
        return rows[0] if rows else None

    def unfinished(self) -> list[Decision]:
        """Decisions that are still to be carried out, oldest first."""
        return self._decisions("WHERE phase IN ('sells', 'buys') ORDER BY bar", ())

    def intents(self, bar: int, side: Side) -> list[Intent]:
        """A decision's intents in the order in which they were written."""
        return self._intents("WHERE bar = ? AND side = ? ORDER BY rowid", (bar, side))

    def intent(self, client_order_id: str) -> Intent | None:
        """One intent."""
        rows = self._intents("WHERE client_order_id = ?", (client_order_id,))
        return rows[0] if rows else None

    def open_intents(self, since_bar: int) -> list[Intent]:
        """Intents not known to have ended, and those abandoned after they were sent, since a bar: they may turn up yet."""
        marks = ", ".join("?" * len(FINAL))
        where = f"WHERE state NOT IN ({marks}) OR (state = 'abandoned' AND sent_at IS NOT NULL AND bar >= ?) ORDER BY rowid"
        return self._intents(where, (*sorted(FINAL), since_bar))

    def fills_since(self, bar: int) -> list[Intent]:
        """Intents of bars from `bar` on of which something was filled."""
        rows = self._intents("WHERE bar >= ? ORDER BY rowid", (bar,))
        return [intent for intent in rows if intent.filled_quantity > 0]

    def last_mark(self) -> Mark | None:
        """The latest mark."""
        row = self._db.execute("SELECT bar, at, equity, cash, positions FROM marks ORDER BY bar DESC LIMIT 1").fetchone()
        if row is None:
            return None
        positions = {asset: Decimal(text) for asset, text in json.loads(row[4]).items()}
        return Mark(row[0], row[1], row[2], Decimal(row[3]), positions)

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


_LISTS = ("weights", "targets", "closes", "tradable", "buys")


def _json_columns(decision: Decision) -> dict[str, str]:
    return {name: json.dumps(getattr(decision, name)) for name in (*_LISTS, "notes")}


def _decision(row: dict[str, Any]) -> Decision:
    return Decision(**{**row, "notes": json.loads(row["notes"]), **{name: tuple(json.loads(row[name])) for name in _LISTS}})


def _intent_columns(intent: Intent) -> dict[str, Any]:
    price = None if intent.filled_price is None else str(intent.filled_price)
    exact = {"quantity": f"{intent.quantity:f}", "filled_quantity": f"{intent.filled_quantity:f}", "filled_price": price}
    return {**dataclasses.asdict(intent), **exact}


def _intent(row: dict[str, Any]) -> Intent:
    price = None if row["filled_price"] is None else Decimal(row["filled_price"])
    exact = {"quantity": Decimal(row["quantity"]), "filled_quantity": Decimal(row["filled_quantity"]), "filled_price": price}
    return Intent(**{**row, **exact})


def _read(path: pathlib.Path | str, table: str, order: str) -> list[dict[str, Any]]:
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path} is not a journal: there is no such file")
    db = sqlite3.connect(f"{pathlib.Path(path).resolve().as_uri()}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    with contextlib.closing(db):
        return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY {order}")]


def read_decisions(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All decisions, oldest first, as plain dictionaries with the fields of `Decision`; lists and notes decoded."""
    rows = _read(path, "decisions", "bar")
    return [{**row, **{name: json.loads(row[name]) for name in (*_LISTS, "notes")}} for row in rows]


def read_orders(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All order intents in the order in which they were written, with the fields of `Intent`; quantities as text."""
    return _read(path, "orders", "rowid")


def read_marks(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All marks, oldest first: bar, at, equity, cash (text), positions by asset (text)."""
    return [{**row, "positions": json.loads(row["positions"])} for row in _read(path, "marks", "bar")]


def read_drift(path: pathlib.Path | str) -> list[dict[str, Any]]:
    """All drift checks, oldest first: at, rows, outside (share by `asset/feature`), refused."""
    return [{**row, "outside": json.loads(row["outside"])} for row in _read(path, "drift", "at")]

"""The bars that a trader has seen, as it last saw them, in SQLite: they survive a restart, and a session can be replayed."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from cappuccino.broker.protocol import BarArrays
from cappuccino.errors import InputError

BARS_NAME = "bars.sqlite"

CACHE_KIB = 256
"""Of pages in memory: a trader reads what it has just written, and SQLite's 2 MB would fill over weeks."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bars (
    asset TEXT NOT NULL, opening INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL,
    volume REAL NOT NULL, PRIMARY KEY (asset, opening)
) STRICT, WITHOUT ROWID
"""


class BarStore:
    """Bars by asset and opening in the file `path`, made if it is not there. Raises InputError for another kind of file."""

    def __init__(self, path: pathlib.Path) -> None:
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            self._db.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            raise InputError(f"{path} is not a store of bars that can be opened: {error}; it may be deleted") from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def put(self, bars: Mapping[str, BarArrays]) -> None:
        """Store bars; what is there of the same opening is replaced."""
        self._db.execute("BEGIN IMMEDIATE")
        for asset, columns in bars.items():
            rows = zip(*(column.tolist() for column in columns), strict=True)
            self._db.executemany("INSERT OR REPLACE INTO bars VALUES (?, ?, ?, ?, ?, ?, ?)", ((asset, *row) for row in rows))
        self._db.execute("COMMIT")

    def get(self, assets: Sequence[str], start: int, stop: int) -> dict[str, BarArrays]:
        """Bars that open in start <= t < stop, oldest first; empty arrays where there are none."""
        found = {}
        for asset in assets:
            rows = self._db.execute(
                "SELECT opening, open, high, low, close, volume FROM bars WHERE asset = ? AND opening >= ? AND opening < ? "
                "ORDER BY opening",
                (asset, start, stop),
            ).fetchall()
            columns = np.array(rows, np.float64).reshape(len(rows), 6).T
            found[asset] = BarArrays(np.array([row[0] for row in rows], np.int64), *columns[1:])
        return found


def read_bars(path: pathlib.Path, assets: Sequence[str], start: int, stop: int) -> dict[str, BarArrays]:
    """`BarStore.get` of a file. Raises InputError if there is none."""
    if not path.is_file():
        raise InputError(f"{path} is not there: this trader has stored no bars")
    with contextlib.closing(BarStore(path)) as store:
        return store.get(assets, start, stop)

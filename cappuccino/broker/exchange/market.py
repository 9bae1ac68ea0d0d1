"""A bar table replayed as a market: quotes around each bar's open, bars as they become known, closes to mark accounts at."""

from __future__ import annotations

import bisect
from decimal import Decimal
from typing import NamedTuple

from cappuccino.bars.table import BarTable
from cappuccino.broker.exchange.arithmetic import exact
from cappuccino.errors import InputError


class BookTop(NamedTuple):
    """Best bid and ask."""

    bid: Decimal
    ask: Decimal


class ServedBar(NamedTuple):
    """A bar as a client sees it: `at` is its opening; one that still runs has its open everywhere and no volume."""

    at: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Replay:
    """The market that `table` recorded, from the close of row `start` on.

    At time s the current bar is the row with timestamp <= s < timestamp + bar_seconds. All the time that it runs the book
    is its open -+ `half_spread` (a fraction). Where an asset has no bar (masked, or between segments) there is no quote.

    Raises InputError if no row follows row `start`.
    """

    def __init__(self, table: BarTable, start: int, half_spread: Decimal) -> None:
        if not 0 <= start < len(table) - 1:
            raise InputError(f"the replay starts at row {start}; 0 to {len(table) - 2} leave a bar to trade in")
        self.assets = table.assets
        self.bar_seconds = table.bar_seconds
        self._table = table
        self._stamps: list[int] = table.timestamps.tolist()
        self._column = {asset: column for column, asset in enumerate(table.assets)}
        self._half_spread = half_spread
        self.first = float(self._stamps[start] + table.bar_seconds)
        self.last = float(self._stamps[-1] + table.bar_seconds)

    def _row(self, at: float | int) -> int | None:
        row = bisect.bisect_right(self._stamps, at) - 1
        return row if row >= 0 and at < self._stamps[row] + self.bar_seconds else None

    def _complete(self, at: float | int) -> int:
        """Rows that are complete: those before this one."""
        return bisect.bisect_right(self._stamps, at - self.bar_seconds)

    def quote(self, asset: str, at: float | int) -> BookTop | None:
        """The book of `asset`, or None where there is no bar to trade in."""
        row, column = self._row(at), self._column[asset]
        if row is None or not self._table.mask[row, column]:
            return None
        price = exact(self._table.open[row, column])
        return BookTop(bid=price * (1 - self._half_spread), ask=price * (1 + self._half_spread))

    def openings(self, after: float | int, to: float | int) -> list[int]:
        """Openings of bars in after < t <= to."""
        return self._stamps[bisect.bisect_right(self._stamps, after) : bisect.bisect_right(self._stamps, to)]

    def marks(self, at: float | int) -> dict[str, Decimal]:
        """The last complete close of each asset; before its first bar there is always the table's own fill."""
        row = self._complete(at) - 1
        return {asset: exact(self._table.close[row, column]) for asset, column in self._column.items()}

    def bars(self, asset: str, start: float | int, end: float | int, at: float | int) -> list[ServedBar]:
        """Bars that open in start <= t <= end and have opened by `at`, the running one included, masked ones left out."""
        column, complete = self._column[asset], self._complete(at)
        rows = range(bisect.bisect_left(self._stamps, start), bisect.bisect_right(self._stamps, min(end, at)))
        return [self._served(row, column, row < complete) for row in rows if self._table.mask[row, column]]

    def latest_bar(self, asset: str, at: float | int) -> ServedBar | None:
        """The last complete bar."""
        column = self._column[asset]
        for row in range(self._complete(at) - 1, -1, -1):
            if self._table.mask[row, column]:
                return self._served(row, column, True)
        return None

    def _served(self, row: int, column: int, is_complete: bool) -> ServedBar:
        table = self._table
        if not is_complete:
            price = float(table.open[row, column])
            return ServedBar(self._stamps[row], price, price, price, price, 0.0)
        columns = (table.open, table.high, table.low, table.close, table.volume)
        return ServedBar(self._stamps[row], *(float(values[row, column]) for values in columns))

"""Live bars as a bar table: fetched once as far back as features reach, then the last three at each close, and what was missing.

What is fetched is stored: a restart asks for the bars that it would have asked for without one, and those of the time between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from cappuccino.bars.table import FIELDS, POSSIBLE, BarTable, Origin, possible
from cappuccino.broker.protocol import BarArrays, BrokerUnavailable
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet, valid_rows
from cappuccino.trading.bar_store import BarStore

JUMP_DEVIATIONS = 15.0
"""A close that has moved by more than so many deviations of the last JUMP_BARS closes' moves is fetched a second time."""

JUMP_BARS = 168

MIN_JUMP = 0.02
"""A smaller move is never absurd, however quiet the market was."""

RECENT = 3
"""Bars fetched at each close: late trades change a bar after it has closed, the last two are looked at again."""

LOOKED_AGAIN_S = 86_400
"""While a hole lasts and for so long after it its bars are asked for again: a venue fills in what it did not serve for hours."""


@runtime_checkable
class BarSource(Protocol):
    """The part of a `Broker` that serves bars."""

    def bars(self, assets: Sequence[str], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        """As `Broker.bars`."""
        ...


class Prices(NamedTuple):
    """Closes of a bar, the last known one where `tradable` is false because the asset had no bar, however long it has had none."""

    closes: Float[np.ndarray, "A"]
    tradable: Bool[np.ndarray, "A"]


class View(NamedTuple):
    """What a policy sees at the close of a bar. L look-back, A assets, F features, N rows past their warm-up, at most `rows`.

    window: raw features, oldest first. recent: features of all rows that are there, the window's among them.
    """

    window: Float[np.ndarray, "L A F"]
    recent: Float[np.ndarray, "N A F"]


class Feed:
    """The last bars of the assets, as many as the features' warm-up and `rows` more.

    rows: rows of features to keep, at least `lookback`. max_hole_bars: as in training; a longer hole starts a new segment.
    store: where bars outlive the process. What it holds is taken over at the first update.
    """

    def __init__(
        self,
        source: BarSource,
        features: FeatureSet,
        *,
        assets: tuple[str, ...],
        bar_seconds: int,
        lookback: int,
        rows: int,
        max_hole_bars: int,
        origin: Origin,
        store: BarStore,
    ) -> None:
        self._store = store
        self._source, self._features, self._assets = source, features, assets
        self._bar_seconds, self._lookback, self._max_hole_bars, self._origin = bar_seconds, lookback, max_hole_bars, origin
        self.depth = features.warmup + max(lookback, rows)
        self._values = np.ones((len(FIELDS), self.depth, len(assets)))
        self._mask = np.zeros((self.depth, len(assets)), dtype=bool)
        self._last: int | None = None
        self._impossible: dict[str, set[int]] = {}

    def update(self, bar: int) -> dict[str, Any]:
        """Fetch what is new up to and including `bar`, which has closed; what is to be said of the bars, by kind.

        restated, late: bars that changed, or came, after their time. zero_volume: assets that did not trade in `bar`.
        jump: closes that moved absurdly, and were confirmed by fetching them again. unconfirmed: those that were not. impossible:
        bars with values that none has. Both count as missing. May be called again for the same bar. Raises BrokerUnavailable, and
        InputError for a bar off the clock.
        """
        oldest = bar - (self.depth - 1) * self._bar_seconds
        if self._last is None:
            self._restore(oldest, bar)
        start = oldest
        if self._last is not None:
            start = min(bar - (RECENT - 1) * self._bar_seconds, self._last - self._bar_seconds, self._first_missing())
            start = max(oldest, start)
        fetched = self._fetch(start, bar)
        previous = self._last
        self._shift_to(bar)
        notes: dict[str, list[str]] = {}
        jumps = self._jumps(fetched, oldest)
        if jumps:
            try:
                again = self._fetch(start, bar)
            except BrokerUnavailable:
                self._last = None  # what was fetched is not taken: the next update begins where the store ends
                raise
            fetched = self._confirmed(fetched, again, jumps, notes)
        for column, asset in enumerate(self._assets):
            for opening in sorted(self._impossible[asset]):
                notes.setdefault("impossible", []).append(f"{asset} {opening}")
            self._take(column, asset, fetched[asset], oldest, previous, notes)
            if self._mask[-1, column] and self._values[FIELDS.index("volume"), -1, column] == 0:
                notes.setdefault("zero_volume", []).append(asset)
        self._store.put(fetched)
        return dict(notes)

    def _fetch(self, start: int, bar: int) -> dict[str, BarArrays]:
        """Without the impossible ones, which are kept in mind until the next fetch."""
        found = self._source.bars(self._assets, start, bar + self._bar_seconds, bar_seconds=self._bar_seconds)
        kept = {}
        for asset, bars in found.items():
            are_bars = possible(*bars[1:])
            self._impossible[asset] = set(bars.timestamps[~are_bars].tolist())
            kept[asset] = BarArrays(*(column[are_bars] for column in bars))
        return kept

    def _restore(self, oldest: int, bar: int) -> None:
        """Take over what is stored, if it reaches back as far as features do; else all is fetched."""
        stored = self._store.get(self._assets, oldest, bar + self._bar_seconds)
        stamps = [bars.timestamps for bars in stored.values()]
        if any(len(column) == 0 or column[0] > oldest + self._bar_seconds * self._max_hole_bars for column in stamps):
            return
        self._shift_to(max(int(column[-1]) for column in stamps))
        for column, asset in enumerate(self._assets):
            are_bars = possible(*stored[asset][1:])
            kept = BarArrays(*(values[are_bars] for values in stored[asset]))
            self._take(column, asset, kept, self._oldest(), None, {})

    def _jumps(self, fetched: dict[str, BarArrays], oldest: int) -> dict[str, set[int]]:
        """Openings of fetched bars that are not known and whose close is absurdly far from the one before, by asset."""
        found: dict[str, set[int]] = {}
        close = FIELDS.index("close")
        for column, asset in enumerate(self._assets):
            rows = np.flatnonzero(self._mask[:, column])
            known = np.log(self._values[close, rows, column])
            if len(known) < JUMP_BARS // 2:
                continue
            bound = max(JUMP_DEVIATIONS * float(np.std(np.diff(known[-JUMP_BARS - 1 :]))), MIN_JUMP)
            believed, taken = -1, 0.0  # the row of the last new close that is believed, and its logarithm
            for opening, price in zip(fetched[asset].timestamps.tolist(), fetched[asset].close.tolist(), strict=True):
                row = (opening - oldest) // self._bar_seconds
                if self._mask[row, column] and self._values[close, row, column] == price:
                    continue
                at = max(int(np.searchsorted(rows, row)) - 1, 0)
                before = taken if believed > rows[at] else known[at]
                if abs(np.log(price) - before) > bound:
                    found.setdefault(asset, set()).add(opening)
                else:
                    believed, taken = row, np.log(price)
        return found

    def _confirmed(
        self,
        first: dict[str, BarArrays],
        second: dict[str, BarArrays],
        jumps: dict[str, set[int]],
        notes: dict[str, list[str]],
    ) -> dict[str, BarArrays]:
        """The second fetch, without the jumps that it does not confirm."""
        kept = dict(second)
        for asset, openings in jumps.items():
            before = dict(zip(first[asset].timestamps.tolist(), first[asset].close.tolist(), strict=True))
            after = dict(zip(second[asset].timestamps.tolist(), second[asset].close.tolist(), strict=True))
            unconfirmed = set()
            for opening in sorted(openings):
                is_same = after.get(opening) == before[opening]
                notes.setdefault("jump" if is_same else "unconfirmed", []).append(f"{asset} {opening} {before[opening]:g}")
                if not is_same and opening in after and opening in self._jumps(second, self._oldest()).get(asset, ()):
                    unconfirmed.add(opening)
            keep = ~np.isin(second[asset].timestamps, sorted(unconfirmed))
            kept[asset] = BarArrays(*(values[keep] for values in second[asset]))
        return kept

    def _first_missing(self) -> int:
        """Opening of the first bar of all holes that lasted until LOOKED_AGAIN_S ago or longer; without one, of the bar to come."""
        row = np.arange(self.depth)[:, None]
        before = np.maximum.accumulate(np.where(self._mask, row, -1), axis=0)
        is_hole = ~self._mask & (before >= 0)  # before an asset's first bar there is none
        is_hole[: -max(1, LOOKED_AGAIN_S // self._bar_seconds)] = False
        first = int(before[is_hole].min()) + 1 if is_hole.any() else self.depth
        return self._oldest() + first * self._bar_seconds

    def _oldest(self) -> int:
        assert self._last is not None
        return self._last - (self.depth - 1) * self._bar_seconds

    def missing(self) -> tuple[str, ...]:
        """Assets without a bar at the last update's bar."""
        return tuple(asset for asset, there in zip(self._assets, self._mask[-1], strict=True) if not there)

    def table(self) -> BarTable:
        """The kept bars up to the last update's, by the same rules as a training table. Raises InputError as it does."""
        assert self._last is not None
        stamps = self._last + self._bar_seconds * np.arange(1 - self.depth, 1, dtype=np.int64)
        return table_from_grid(
            stamps, self._values, self._mask, self._assets, self._bar_seconds, self._max_hole_bars, self._origin
        )

    def prices(self) -> Prices:
        """Of the last update's bar. Raises InputError while an asset has had none at all, and where it has an impossible one."""
        never = [asset for asset, column in zip(self._assets, self._mask.T, strict=True) if not column.any()]
        if never:
            raise InputError(f"no bar of {', '.join(never)} among the last {self.depth}")
        wrong = [asset for asset, openings in self._impossible.items() if self._last in openings]
        if wrong:
            raise InputError(f"the bar of {', '.join(wrong)} at {self._last} is none: {POSSIBLE}")
        last = self.depth - 1 - np.argmax(self._mask[::-1], axis=0)
        return Prices(self._values[FIELDS.index("close"), last, np.arange(len(last))], self._mask[-1].copy())

    def view(self) -> View:
        """What the last update's bar shows. Raises InputError, with the reason, if there is no valid window that ends there."""
        table = self.table()
        if table.timestamps[-1] != self._last:
            raise InputError(f"a hole of more than {self._max_hole_bars} bars lasts: no bar of {', '.join(self.missing())}")
        values = self._features.compute(table)
        valid = valid_rows(table, self._features.warmup)
        rows = min(self._lookback, len(table))
        window = slice(len(table) - rows, len(table))
        if rows < self._lookback or not valid[window].all() or table.segment[window.start] != table.segment[-1]:
            since = int((table.segment == table.segment[-1]).sum())
            raise InputError(
                f"{since} bars since the last long hole or the venue's first bar; a decision takes a warm-up of "
                f"{self._features.warmup} and a look-back of {self._lookback}"
            )
        if not np.isfinite(values[window]).all():
            raise InputError("a feature in the window is not finite")
        return View(values[window], values[valid])

    def _shift_to(self, bar: int) -> None:
        steps = self.depth if self._last is None else (bar - self._last) // self._bar_seconds
        if steps > 0:
            steps = min(steps, self.depth)
            self._values[:, : self.depth - steps] = self._values[:, steps:].copy()
            self._mask[: self.depth - steps] = self._mask[steps:].copy()
            self._mask[self.depth - steps :] = False
        self._last = bar

    def _take(
        self, column: int, asset: str, bars: BarArrays, oldest: int, previous: int | None, notes: dict[str, list[str]]
    ) -> None:
        offsets = bars.timestamps - oldest
        if (offsets % self._bar_seconds).any():
            at = int(bars.timestamps[np.argmax(offsets % self._bar_seconds != 0)])
            raise InputError(f"a bar of {asset} opens at {at}, which is no multiple of {self._bar_seconds} s from the others")
        rows = offsets // self._bar_seconds
        new = np.stack([getattr(bars, name) for name in FIELDS])
        known = self._mask[rows, column]
        is_old = np.zeros_like(known) if previous is None else bars.timestamps <= previous
        changed = known & (self._values[:, rows, column] != new).any(axis=0)
        for kind, which in (("restated", changed), ("late", is_old & ~known)):
            if which.any():
                notes.setdefault(kind, []).extend(f"{asset} {stamp}" for stamp in bars.timestamps[which])
        self._values[:, rows, column] = new
        self._mask[rows, column] = True


def table_from_grid(
    stamps: Int[np.ndarray, "T"],
    values: Float[np.ndarray, "5 T A"],
    mask: Bool[np.ndarray, "T A"],
    assets: tuple[str, ...],
    bar_seconds: int,
    max_hole_bars: int,
    origin: Origin,
) -> BarTable:
    """A bar table of values on a regular clock, by the rules of `bars.align.table_from_frames`, without pandas.

    values: open, high, low, close and volume; any number where `mask` is false. Unlike there, holes at the end are kept or
    cut by their length like any other: the last row is the bar that has just closed.
    Raises InputError if no row has a bar of every asset, or a value is not allowed in a bar table.
    """
    row = np.arange(len(mask))[:, None]
    before = np.maximum.accumulate(np.where(mask, row, -1), axis=0)
    after = np.minimum.accumulate(np.where(mask, row, len(mask))[::-1], axis=0)[::-1]
    hole = np.where(mask, 0, after - before - 1)
    kept = np.flatnonzero((hole <= max_hole_bars).all(axis=1))
    begins = np.diff(stamps[kept], prepend=stamps[:1] - 2 * bar_seconds) != bar_seconds
    run_start = np.maximum.accumulate(np.where(begins, np.arange(len(kept)), 0))
    last_full = np.maximum.accumulate(np.where(mask[kept].all(axis=1), np.arange(len(kept)), -1))
    run = np.cumsum(begins)[last_full >= run_start]
    kept = kept[last_full >= run_start]
    if len(kept) == 0:
        raise InputError(f"no bar among the last {len(mask)} is there for all of {', '.join(assets)}")
    there = mask[kept]
    last = np.maximum.accumulate(np.where(there, np.arange(len(kept))[:, None], 0), axis=0)
    columns = dict(zip(FIELDS, values[:, kept], strict=True))
    last_close = np.take_along_axis(columns["close"], last, axis=0)
    volume = np.where(there, columns.pop("volume"), 0.0)
    return BarTable(
        assets=assets,
        bar_seconds=bar_seconds,
        timestamps=stamps[kept],
        **{name: np.where(there, column, last_close) for name, column in columns.items()},
        volume=volume,
        mask=there,
        segment=np.unique(run, return_inverse=True)[1].astype(np.int64),
        origin=origin,
    )

"""Bars of several assets brought onto one clock, by time stamp; and a table brought onto a coarser clock."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from cappuccino.bars.clock import utc
from cappuccino.bars.frames import PRICES, VALUES, check_frame, column, times
from cappuccino.bars.table import BarTable, Origin
from cappuccino.errors import InputError


def table_from_frames(frames: Mapping[str, pd.DataFrame], *, bar_seconds: int, max_hole_bars: int, origin: Origin) -> BarTable:
    """One table of the frames' common range, from the latest first bar to the earliest last bar.

    Every frame has the columns of `frames.COLUMNS`, sorted by time. Assets keep the mapping's order. A missing bar gets the
    last close as its prices, volume 0 and mask false. Where any asset misses more than `max_hole_bars` bars in a row, the
    rows of that hole are removed and a new segment starts; rows at the start of a segment are removed up to the first one
    that has a bar of every asset.

    Raises InputError, naming asset, time and value, for a frame that `frames.check_frame` refuses, for frames without a
    common range, and if no row has a bar of every asset.
    """
    if not frames:
        raise InputError("a bar table needs at least one asset, got none")
    if bar_seconds <= 0:
        raise InputError(f"bar_seconds is {bar_seconds}; it must be positive")
    if max_hole_bars < 0:
        raise InputError(f"max_hole_bars is {max_hole_bars}; it must not be negative")
    for asset, frame in frames.items():
        check_frame(asset, frame, bar_seconds)

    stamps = {asset: times(frame) for asset, frame in frames.items()}
    latest = max(stamps, key=lambda asset: stamps[asset][0])
    earliest = min(stamps, key=lambda asset: stamps[asset][-1])
    start, stop = int(stamps[latest][0]), int(stamps[earliest][-1])
    if start > stop:
        raise InputError(f"no common range: {latest} begins at {utc(start)}, {earliest} ends at {utc(stop)}")

    clock = np.arange(start, stop + 1, bar_seconds, dtype=np.int64)
    shape = (len(clock), len(frames))
    mask = np.zeros(shape, dtype=bool)
    values = {name: np.ones(shape) for name in VALUES}
    for place, (asset, frame) in enumerate(frames.items()):
        inside = (stamps[asset] >= start) & (stamps[asset] <= stop)
        row = (stamps[asset][inside] - start) // bar_seconds
        mask[row, place] = True
        for name in VALUES:
            values[name][row, place] = column(frame, name)[inside]

    row = np.flatnonzero((_hole_lengths(mask) <= max_hole_bars).all(axis=1))
    kept, segment = _segments(clock[row], mask[row], bar_seconds)
    if not kept.any():
        raise InputError(f"no bar between {utc(start)} and {utc(stop)} is there for all of {', '.join(frames)}")
    row = row[kept]
    mask = mask[row]
    last = np.maximum.accumulate(np.where(mask, np.arange(len(row))[:, None], 0), axis=0)
    values = {name: value[row] for name, value in values.items()}
    last_close = np.take_along_axis(values["close"], last, axis=0)
    return BarTable(
        assets=tuple(frames),
        bar_seconds=bar_seconds,
        timestamps=clock[row],
        **{name: np.where(mask, values[name], last_close) for name in PRICES},
        volume=np.where(mask, values["volume"], 0.0),
        mask=mask,
        segment=segment,
        origin=origin,
    )


def resample(table: BarTable, bar_seconds: int) -> BarTable:
    """The same market in bars of `bar_seconds`, a multiple of the table's, counted from the Unix epoch.

    First open, highest high, lowest low, last close, summed volume. A coarse bar exists where all its rows lie in one
    segment; others are dropped. It counts as an asset's bar only if the asset has every fine bar of it: otherwise it is
    masked, with the last close known at its end as its prices and volume 0, because the part that is missing may hold the
    high, the low or the close. As everywhere, a segment starts with a bar of every asset.

    Raises InputError if bar_seconds is no multiple of the table's, or if no coarse bar is complete.
    """
    if bar_seconds <= 0 or bar_seconds % table.bar_seconds:
        raise InputError(f"bars of {table.bar_seconds} s cannot be resampled to {bar_seconds} s; give a multiple")
    ratio = bar_seconds // table.bar_seconds
    if ratio == 1:
        return table
    first = np.flatnonzero(table.timestamps % bar_seconds == 0)
    first = first[first + ratio <= len(table)]
    first = first[table.segment[first] == table.segment[first + ratio - 1]]
    part = first[:, None] + np.arange(ratio)
    mask = np.logical_and.reduce(table.mask[part], axis=1)
    kept, segment = _segments(table.timestamps[first], mask, bar_seconds)
    if not kept.any():
        raise InputError(f"no bar of {bar_seconds} s is complete for all of {', '.join(table.assets)}")
    first, part, mask = first[kept], part[kept], mask[kept]
    close = table.close[first + ratio - 1]
    return dataclasses.replace(
        table,
        bar_seconds=bar_seconds,
        timestamps=table.timestamps[first],
        open=np.where(mask, table.open[first], close),
        high=np.where(mask, table.high[part].max(axis=1), close),
        low=np.where(mask, table.low[part].min(axis=1), close),
        close=close,
        volume=np.where(mask, table.volume[part].sum(axis=1), 0.0),
        mask=mask,
        segment=segment,
    )


def _hole_lengths(mask: Bool[np.ndarray, "T A"]) -> Int[np.ndarray, "T A"]:
    """For every missing bar the length of the run of missing bars it lies in; 0 where there is a bar."""
    row = np.arange(len(mask))[:, None]
    before = np.maximum.accumulate(np.where(mask, row, -1), axis=0)
    after = np.minimum.accumulate(np.where(mask, row, len(mask))[::-1], axis=0)[::-1]
    return np.where(mask, 0, after - before - 1)


def _segments(
    clock: Int[np.ndarray, "T"], mask: Bool[np.ndarray, "T A"], bar_seconds: int
) -> tuple[Bool[np.ndarray, "T"], Int[np.ndarray, "K"]]:
    """Which rows stay, so that every run of the clock starts with a bar of every asset; and the segment of those rows."""
    row = np.arange(len(clock))
    begins = np.ones(len(clock), dtype=bool)
    begins[1:] = np.diff(clock) != bar_seconds
    run_start = np.maximum.accumulate(np.where(begins, row, 0))
    last_full = np.maximum.accumulate(np.where(mask.all(axis=1), row, -1))
    kept = last_full >= run_start
    return kept, np.unique(np.cumsum(begins)[kept], return_inverse=True)[1].astype(np.int64)

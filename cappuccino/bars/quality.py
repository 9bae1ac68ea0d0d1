"""What can be said of the quality of bars, before or after they make a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd
import rich.table
from jaxtyping import Float, Int

from cappuccino.bars.clock import utc
from cappuccino.bars.frames import (
    PRICES,
    bar_length,
    broken_order,
    broken_prices,
    broken_volume,
    check_columns,
    column,
    restated,
    times,
)
from cappuccino.bars.table import BarTable
from cappuccino.errors import InputError

OUTLIER_SIGMAS = 12.0
"""A log return beyond this many robust standard deviations is listed. Of hourly coins about one in a thousand is."""


@dataclasses.dataclass(frozen=True)
class Gap:
    """A run of missing bars: time stamp of the first missing one, and how many."""

    start: int
    bars: int


@dataclasses.dataclass(frozen=True)
class AssetQuality:
    """What was found of one asset; times are Unix seconds, counts are bars.

    bars: distinct time stamps on the clock. expected: how many there would be without holes from first to last.
    duplicates, unsorted, off_clock: rows that repeat a time stamp, come before the row above, or lie between bars.
    restated: bars that another source has with other values. bad_values: prices not positive and finite, or a volume
    negative or not finite. bad_order: high or low does not bound open and close. outliers: bars whose log return on the
    bar just before is beyond the limit. timestamps, close, volume: the series itself, sorted and distinct.
    """

    asset: str
    bars: int
    expected: int
    first: int
    last: int
    gaps: tuple[Gap, ...]
    duplicates: int
    unsorted: int
    off_clock: int
    restated: tuple[int, ...]
    zero_volume: int
    bad_values: int
    bad_order: int
    outliers: tuple[int, ...]
    timestamps: Int[np.ndarray, "T"] = dataclasses.field(repr=False, compare=False)
    close: Float[np.ndarray, "T"] = dataclasses.field(repr=False, compare=False)
    volume: Float[np.ndarray, "T"] = dataclasses.field(repr=False, compare=False)

    @property
    def coverage(self) -> float:
        """Share of the expected bars that are there."""
        return self.bars / self.expected

    @property
    def longest_gap(self) -> int:
        """Bars missing in the longest gap; 0 without gaps."""
        return max((gap.bars for gap in self.gaps), default=0)


@dataclasses.dataclass(frozen=True)
class QualityReport:
    """The findings on each asset, the bars' length and the limit for outliers."""

    bar_seconds: int
    sigmas: float
    assets: tuple[AssetQuality, ...]

    def common_range(self) -> tuple[int, int] | None:
        """Latest first and earliest last time stamp; None where the assets never overlap."""
        first, last = max(a.first for a in self.assets), min(a.last for a in self.assets)
        return (first, last) if first <= last else None


def inspect_frames(
    frames: Mapping[str, pd.DataFrame],
    *,
    bar_seconds: int | None = None,
    other: Mapping[str, pd.DataFrame] | None = None,
    sigmas: float = OUTLIER_SIGMAS,
) -> QualityReport:
    """The quality of raw frames (columns of `frames.COLUMNS`), however broken their values.

    bar_seconds None: the most common distance between bars. `other` are bars of a second source or an overlapping
    download: bars that both have with different values count as restated.

    Raises InputError for no frames, an empty frame, missing columns, and if bar_seconds is unknown.
    """
    if not frames:
        raise InputError("there are no bars to inspect")
    for asset, frame in frames.items():
        check_columns(asset, frame)
    if bar_seconds is None:
        lengths = [length for frame in frames.values() if (length := bar_length(times(frame))) is not None]
        if not lengths:
            raise InputError("each asset has a single bar; give bar_seconds")
        bar_seconds = min(lengths)
    other = {} if other is None else other
    findings = [_inspect(a, frame, bar_seconds, other.get(a), sigmas) for a, frame in frames.items()]
    return QualityReport(bar_seconds, sigmas, tuple(findings))


def inspect_table(table: BarTable, *, sigmas: float = OUTLIER_SIGMAS) -> QualityReport:
    """The quality of a table's bars: those that its mask has, so that masked bars and seams between segments are gaps."""
    frames = {}
    for place, asset in enumerate(table.assets):
        rows = table.mask[:, place]
        values = {name: getattr(table, name)[rows, place] for name in (*PRICES, "volume")}
        frames[asset] = pd.DataFrame({"timestamp": table.timestamps[rows], **values})
    return inspect_frames(frames, bar_seconds=table.bar_seconds, sigmas=sigmas)


def _inspect(asset: str, frame: pd.DataFrame, bar_seconds: int, other: pd.DataFrame | None, sigmas: float) -> AssetQuality:
    time = times(frame)
    distinct, row = np.unique(time, return_index=True)
    on_clock = distinct[distinct % bar_seconds == 0]
    close, volume = column(frame, "close")[row], column(frame, "volume")[row]
    missing = np.diff(on_clock) // bar_seconds - 1
    gaps = [Gap(int(on_clock[i]) + bar_seconds, int(missing[i])) for i in np.flatnonzero(missing > 0)]
    return AssetQuality(
        asset=asset,
        bars=len(on_clock),
        expected=max(1, int(distinct[-1] - distinct[0]) // bar_seconds + 1),
        first=int(distinct[0]),
        last=int(distinct[-1]),
        gaps=tuple(gaps),
        duplicates=len(time) - len(distinct),
        unsorted=int((np.diff(time) < 0).sum()),
        off_clock=len(distinct) - len(on_clock),
        restated=() if other is None else tuple(restated(frame, other).tolist()),
        zero_volume=int((column(frame, "volume") == 0).sum()),
        bad_values=int((broken_prices(frame) | broken_volume(frame)).sum()),
        bad_order=int(broken_order(frame).sum()),
        outliers=_outliers(distinct, close, bar_seconds, sigmas),
        timestamps=distinct,
        close=close,
        volume=volume,
    )


def _outliers(time: Int[np.ndarray, "T"], close: Float[np.ndarray, "T"], bar_seconds: int, sigmas: float) -> tuple[int, ...]:
    """Bars whose log return is further than `sigmas` x 1.4826 x the median absolute deviation from the median."""
    good = np.isfinite(close) & (close > 0)
    time, log_close = time[good], np.log(close[good])
    follows = np.diff(time) == bar_seconds
    returns, at = np.diff(log_close)[follows], time[1:][follows]
    if len(returns) == 0:
        return ()
    distance = np.abs(returns - np.median(returns))
    scale = 1.4826 * np.median(distance)
    return tuple(at[distance > sigmas * scale].tolist()) if scale > 0 else ()


def quality_table(report: QualityReport) -> rich.table.Table:
    """The report as a table for the terminal, one row an asset; counts that are zero for all assets are in the caption."""
    counts = np.array([problems(asset) for asset in report.assets])
    shown = [i for i in range(len(PROBLEMS)) if counts[:, i].any()]
    clean = ", ".join(name for i, (name, _) in enumerate(PROBLEMS) if i not in shown)
    table = rich.table.Table(
        title=f"Bars of {report.bar_seconds} s",
        caption=f"none: {clean}" if clean else None,
        box=None,
        padding=(0, 0, 0, 1),
        pad_edge=False,
    )
    table.add_column("asset", no_wrap=True)
    counted = (PROBLEMS[i][0].replace(" ", "\n") for i in shown)
    for heading in ("first", "last", "bars", "there", "gaps", "longest\ngap", *counted):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, a in enumerate(report.assets):
        figures = [utc(a.first)[:10], utc(a.last)[:10], str(a.bars), f"{a.coverage:.2%}", str(len(a.gaps))]
        table.add_row(a.asset, *figures, str(a.longest_gap), *(str(counts[row, i]) for i in shown))
    return table


PROBLEMS = (
    ("duplicates", "duplicates"),
    ("unsorted", "unsorted"),
    ("off clock", "off_clock"),
    ("restated", "restated"),
    ("zero volume", "zero_volume"),
    ("bad values", "bad_values"),
    ("bad order", "bad_order"),
    ("outliers", "outliers"),
)
"""Heading and attribute of every count of rows that deserve a look."""


def problems(asset: AssetQuality) -> list[int]:
    """The counts of PROBLEMS for one asset."""
    values = [getattr(asset, name) for _, name in PROBLEMS]
    return [len(value) if isinstance(value, tuple) else value for value in values]

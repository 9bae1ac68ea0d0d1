"""Is a declared warm-up long enough? A feature from its last bars alone (the stream) against the same from all of them (the batch)."""

from __future__ import annotations

import bisect

import numpy as np
from jaxtyping import Float, Int

from cappuccino.bars.table import BarTable
from cappuccino.features.indicators import Indicator
from cappuccino.features.series import Series

TOLERANCE = 1e-6
"""Of the feature's standard deviation: stream and batch agree where they differ by no more."""


def bars_before(bars: BarTable) -> Int[np.ndarray, "T"]:
    """How many bars of its own segment stand before each row."""
    return np.arange(len(bars)) - bars.segment_starts()[bars.segment]


def stream_error(
    indicator: Indicator, bars: BarTable, batch: Float[np.ndarray, "T A"], rows: Int[np.ndarray, "N"], length: int
) -> float:
    """Largest difference from the batch, over rows and assets, of the indicator computed from the last `length` + 1 bars.

    In the unit of the batch; infinite where the indicator has no value for so few bars. Rows have `length` bars before them.
    """
    worst = 0.0
    for row in rows.tolist():
        for column in range(len(bars.assets)):
            value = _last_value(indicator, Series.of(bars, slice(row - length, row + 1), column))
            gap = abs(value - float(batch[row, column]))
            worst = max(worst, np.inf if np.isnan(gap) else gap)
    return worst


def needed_warmup(
    indicator: Indicator, bars: BarTable, batch: Float[np.ndarray, "T A"], rows: Int[np.ndarray, "N"], error: float
) -> int | None:
    """The shortest warm-up above the declared one with which `stream_error` is at most `error`, by doubling and bisection.

    A length is tried at the rows with at least twice as many bars before them: what knows all but a few of the bars that the batch
    knows agrees with it whatever it forgets. None where no length that can be tried is enough, as for an indicator that never
    forgets, or reads ahead.
    """
    before = bars_before(bars)[rows]
    longest = int(before.max()) // 2
    low = indicator.warmup + 1

    def is_enough(length: int) -> bool:
        return stream_error(indicator, bars, batch, rows[before >= 2 * length], length) <= error

    high = low
    while high <= longest and not is_enough(high):
        if high == longest:
            return None
        high = min(2 * high, longest)
    if high > longest:
        return None
    return low + bisect.bisect_left(range(low, high), True, key=is_enough)


def _last_value(indicator: Indicator, series: Series) -> float:
    try:
        return float(indicator.compute(series)[-1])
    except Exception:  # noqa: BLE001 - NumPy and TA-Lib say in many ways that there are too few bars; it has no value then
        return np.nan

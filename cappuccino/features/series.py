"""The bars of one asset in one segment, and the sums and quotients that indicators are made of.

Everything here is exact in a flat market: equal prices give a log ratio of exactly 0 and sums of zeros are 0, so no
quotient is ever noise over noise.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import talib
from jaxtyping import Float, Int

from cappuccino.bars.table import BarTable

MOVE_FLOOR = 1e-5
"""Log price moves per bar below this (a tenth of a basis point) count as none: the least denominator of a quotient.

In flat hours an RSI is a quotient of two vanishing averages, which keeps its value and never forgets; with the floor it
fades to 0, and what came before the warm-up is forgotten at a known rate.
"""

VOLATILITY_WINDOW = 168
"""Bars over which the volatility that prices are measured in is taken."""


def windowed_sum(values: Float[np.ndarray, "T"], window: int) -> Float[np.ndarray, "T"]:
    """Sum of the last `window` values at every bar; NaN in the first window - 1 rows. T is at least `window`.

    Sums of 1, 2, 4, ... values are built from each other: every result is the same tree of additions over its own window,
    whatever came before, so a stream equals the batch bit for bit and a large value leaves no rounding behind.
    """
    block, size = values, 1
    total, covered = np.zeros(len(values) + 1), 0
    while True:
        if window & size:
            covered += size
            rows = len(values) - covered + 1
            total = block[:rows] + total[size : size + rows]
        if 2 * size > window:
            break
        block, size = block[:-size] + block[size:], 2 * size
    result = np.full_like(values, np.nan)
    result[window - 1 :] = total
    return result


def windowed_mean(values: Float[np.ndarray, "T"], window: int) -> Float[np.ndarray, "T"]:
    """Mean of the last `window` values; valid from row window - 1 on."""
    return windowed_sum(values, window) / window


def wilder_mean(values: Float[np.ndarray, "T"], window: int) -> Float[np.ndarray, "T"]:
    """Wilder's moving average, y_t = y_tm1 + (x_t - y_tm1) / window; NaN in the first 2 window - 2 rows.

    It is the exponential average of span 2 window - 1. `values` must be finite: one NaN would stay in it for ever.
    """
    return talib.EMA(values, 2 * window - 1)


def quotient(part: Float[np.ndarray, "T"], whole: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """part / max(whole, MOVE_FLOOR), for log price moves: 0 / 0 is 0."""
    return part / np.maximum(whole, MOVE_FLOOR)


def contrast(a: Float[np.ndarray, "T"], b: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """(a - b) / (a + b) of two moves not below 0, which is tanh(log(a / b) / 2): in [-1, 1], and 0 for 0 and 0."""
    return quotient(a - b, a + b)


def _change(now: Float[np.ndarray, "T"], before: Float[np.ndarray, "T"]) -> Float[np.ndarray, "T"]:
    """log(now_t / before_tm1), 0 in the first row. Of the ratio, so that equal prices give exactly 0."""
    change = np.zeros_like(now)
    np.log(now[1:] / before[:-1], out=change[1:])
    return change


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """OHLCV of one asset over the T bars of one segment, contiguous float64, with what several indicators share.

    Prices are positive and finite, volumes finite and not below 0, as a `BarTable` guarantees. `timestamps` are the bars'
    openings in Unix seconds, UTC. Derived arrays are computed on first use.
    """

    timestamps: Int[np.ndarray, "T"]
    open: Float[np.ndarray, "T"]
    high: Float[np.ndarray, "T"]
    low: Float[np.ndarray, "T"]
    close: Float[np.ndarray, "T"]
    volume: Float[np.ndarray, "T"]

    @classmethod
    def of(cls, bars: BarTable, rows: slice, column: int) -> Series:
        """The bars of one asset in the rows of one segment."""
        fields = ("open", "high", "low", "close", "volume")
        columns = {name: np.array(getattr(bars, name)[rows, column], dtype=np.float64) for name in fields}
        return cls(timestamps=bars.timestamps[rows], **columns)

    @functools.cached_property
    def returns(self) -> Float[np.ndarray, "T"]:
        """Log return of the close; 0 in the first row."""
        return _change(self.close, self.close)

    @functools.cached_property
    def volatility(self) -> Float[np.ndarray, "T"]:
        """Root mean square of the last VOLATILITY_WINDOW returns."""
        return self.volatility_over(VOLATILITY_WINDOW)

    def volatility_over(self, window: int) -> Float[np.ndarray, "T"]:
        """Root mean square of the last `window` returns; valid from row `window` on."""
        return np.sqrt(windowed_mean(self.returns**2, window))

    @functools.cached_property
    def log_close(self) -> Float[np.ndarray, "T"]:
        """Log of the close."""
        return np.log(self.close)

    @functools.cached_property
    def true_range(self) -> Float[np.ndarray, "T"]:
        """log(max(high_t, close_tm1) / min(low_t, close_tm1)); log(high / low) in the first row."""
        before = np.concatenate([self.close[:1], self.close[:-1]])
        return np.log(np.maximum(self.high, before) / np.minimum(self.low, before))

    @functools.cached_property
    def directional_moves(self) -> tuple[Float[np.ndarray, "T"], Float[np.ndarray, "T"]]:
        """Wilder's +DM and -DM of log prices: the larger of the high's rise and the low's fall, where it is above 0."""
        rise, fall = _change(self.high, self.high), -_change(self.low, self.low)
        plus = np.where((rise > fall) & (rise > 0), rise, 0.0)
        minus = np.where((fall > rise) & (fall > 0), fall, 0.0)
        return plus, minus

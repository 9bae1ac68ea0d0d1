"""The indicators: causal, scale-free, finite in a flat market, each with a declared warm-up.

An indicator maps the T bars of one asset in one segment to T values and reads no bar after its own. Multiplying all prices
by one number and all volumes by another changes nothing. `warmup` is the first row that may be used: from there on the
values of a stream that begins `warmup` bars earlier equal those of the whole history: but for the last bits of a logarithm
where the indicator sees a window, and within 1e-9 of its standard deviation where it is recursive. Earlier rows are NaN or
mean nothing.

Windows are counted in bars. A flat market (equal prices, volume 0) for the whole of its window gives 0 in every price
indicator within 1e-9, and VOLUME_FLOOR in `relative_volume_*`.

TA-Lib computes the moving averages of the recursions and the extremes of windows, and is never given a NaN, which would
stay in it for ever. Its RSI, DX, ADX, MACD and CCI themselves are not called, though ours agree with them wherever the
market moves: once it stands still they divide averages that vanish together (and so never forget what came before) or
rounding by rounding. Here every such quotient has a floor, `MOVE_FLOOR`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import talib
from jaxtyping import Float

from cappuccino.extensions import add
from cappuccino.features.series import (
    VOLATILITY_WINDOW,
    Series,
    contrast,
    quotient,
    wilder_mean,
    windowed_mean,
    windowed_sum,
)

VOLUME_FLOOR = -6.0
"""Log volume relative to its mean is at least this (0.25 % of the usual volume): the value of a bar without volume."""

VOLUME_WINDOW = 168
"""Bars of the mean volume that a breakout's volume is measured against."""

DAY = 86_400
WEEK = 7 * DAY
MONDAY = 4 * DAY
"""The epoch was a Thursday: seconds from it to the first Monday."""

FORGETTING = 36
"""Time constants after which a recursive indicator has forgotten its start to 1e-9 of its standard deviation.

Measured at the worst start: a price that multiplies by e in one bar and then stands still, so that what is left of the move
is divided by MOVE_FLOOR. On real hourly bars 28 would do.
"""


def scaled_return(series: Series, *, horizon: int) -> Float[np.ndarray, "T"]:
    """log(close_t / close_(t - horizon)) / (volatility sqrt(horizon)): about unit variance, at most sqrt(168) in size."""
    return quotient(windowed_sum(series.returns, horizon), series.volatility) / np.sqrt(horizon)


def volatility_contrast(series: Series, *, short: int, long: int) -> Float[np.ndarray, "T"]:
    """Volatility of the last `short` bars against that of the last `long`: tanh of half the log of their ratio."""
    return contrast(series.volatility_over(short), series.volatility_over(long))


def range_contrast(series: Series, *, short: int, long: int) -> Float[np.ndarray, "T"]:
    """Mean true range (of log prices) of `short` bars against that of `long`: the shift of the ATR's regime."""
    return contrast(windowed_mean(series.true_range, short), windowed_mean(series.true_range, long))


def centred_rsi(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """(RSI - 50) / 50 of log prices by Wilder (1978): mean return over mean absolute return, in [-1, 1]."""
    return quotient(wilder_mean(series.returns, window), wilder_mean(np.abs(series.returns), window))


def directional_index(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """DX / 100 of log prices by Wilder (1978): |P - M| / (P + M) of the averages of +DM and -DM, in [0, 1]."""
    plus, minus = (wilder_mean(moves, window) for moves in series.directional_moves)
    return quotient(np.abs(plus - minus), plus + minus)


def average_directional_index(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """ADX / 100: Wilder's average of the directional index, in [0, 1]."""
    index = directional_index(series, window=window)
    known = 2 * window - 2
    average = np.full_like(index, np.nan)
    average[known:] = wilder_mean(index[known:], window)
    return average


def commodity_channel_index(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """CCI / 100 by Lambert (1980): how far the typical price is from its mean, over 1.5 times its mean deviation.

    The typical price is (high + low + close) / 3; both moves are shares of its mean, so that the floor applies to them.
    """
    typical = (series.high + series.low + series.close) / 3
    mean = windowed_mean(typical, window)
    deviation = np.full_like(mean, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(typical, window).T
    distance = np.subtract(windows, mean[window - 1 :], order="C")
    deviation[window - 1 :] = np.abs(distance, out=distance).sum(axis=0) / window
    return quotient(typical / mean - 1, deviation / mean) / 1.5


def macd(series: Series, *, line: int) -> Float[np.ndarray, "T"]:
    """MACD (12, 26, 9) of log prices over the volatility: `line` 0 is the MACD, 1 its signal, 2 the histogram.

    A price stands (n - 1) / 2 EMA_n(return) above its own average of span n, so the difference of two averages is taken
    from returns: it holds no rounding of the price's level, which would be all that is left of it in flat hours.
    """
    difference = 12.5 * talib.EMA(series.returns, 26) - 5.5 * talib.EMA(series.returns, 12)
    signal = np.full_like(difference, np.nan)
    signal[25:] = talib.EMA(difference[25:], 9)
    return quotient((difference, signal, difference - signal)[line], series.volatility)


def trend_reacceleration(series: Series, *, short: int, long: int) -> Float[np.ndarray, "T"]:
    """How far the last `short` bars push on in the direction of the trend of `long` bars, after the `short` before.

    The acceleration, (return of the last `short` bars - that of the `short` before) / (volatility sqrt(2 short)), times the
    trend's signed efficiency (Kaufman 1995), sum of returns / sum of absolute returns, in [-1, 1]. Positive: a trend up or
    down gathers pace; negative: it tires or turns.
    """
    recent = windowed_sum(series.returns, short)
    acceleration = quotient(2 * recent - windowed_sum(series.returns, 2 * short), series.volatility)
    efficiency = quotient(windowed_sum(series.returns, long), windowed_sum(np.abs(series.returns), long))
    return acceleration / np.sqrt(2 * short) * efficiency


def breakout_volume(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """Where the close stands to the range of the `window` bars before this one, times the volume behind it; in (-1, 1).

    Place: d / (|d| + half the range), d the log distance of the close from the middle of the range: -1/2 and 1/2 are its
    edges, beyond is a breakout. Volume: v / (v + its mean over VOLUME_WINDOW bars), 0 without volume, 1/2 at the mean.
    """
    top, bottom = np.zeros_like(series.close), np.zeros_like(series.close)
    top[1:] = talib.MAX(series.high, window)[:-1]
    bottom[1:] = talib.MIN(series.low, window)[:-1]
    top[:window], bottom[:window] = series.high[:window], series.low[:window]
    half = np.log(top / bottom) / 2
    distance = (np.log(series.close / top) + np.log(series.close / bottom)) / 2
    place = quotient(distance, np.abs(distance) + half)
    whole = series.volume + windowed_mean(series.volume, VOLUME_WINDOW)
    return place * series.volume / np.where(whole > 0, whole, 1)


def relative_volume(series: Series, *, window: int) -> Float[np.ndarray, "T"]:
    """log(volume) less the mean log volume of those of the last `window` bars that have volume, this one among them.

    Linear in the log volume down to VOLUME_FLOOR, which is also the value of a bar without volume.
    """
    traded = series.volume > 0
    log_volume = np.log(np.where(traded, series.volume, 1))
    count = windowed_sum(traded.astype(np.float64), window)
    relative = log_volume - windowed_sum(log_volume, window) / np.maximum(count, 1)
    return np.where(traded, np.maximum(relative, VOLUME_FLOOR), VOLUME_FLOOR)


def calendar(series: Series, *, period: int, origin: int, wave: Callable) -> Float[np.ndarray, "T"]:
    """`wave` (sine or cosine) of the bar's opening time within the `period` in seconds that began at `origin`, UTC."""
    return wave(2 * np.pi * ((series.timestamps - origin) % period) / period)


@dataclasses.dataclass(frozen=True)
class Indicator:
    """A named function of a `Series` of more than `warmup` bars to (T,) float64, to be used from row `warmup` on."""

    name: str
    warmup: int
    compute: Callable[[Series], Float[np.ndarray, "T"]]


def _registered() -> dict[str, Indicator]:
    by_volatility = VOLATILITY_WINDOW
    wilder, by_macd = 14 * FORGETTING, round(26 / 2 * FORGETTING)
    hour = partial(calendar, period=DAY, origin=0)
    weekday = partial(calendar, period=WEEK, origin=MONDAY)
    table = [
        *(Indicator(f"return_{h}", by_volatility, partial(scaled_return, horizon=h)) for h in (1, 4, 12, 24, 72, 168)),
        Indicator("volatility_6_24", 24, partial(volatility_contrast, short=6, long=24)),
        Indicator("volatility_24_168", 168, partial(volatility_contrast, short=24, long=168)),
        Indicator("volatility_24_336", 336, partial(volatility_contrast, short=24, long=336)),
        Indicator("atr_shift_24_168", 168, partial(range_contrast, short=24, long=168)),
        Indicator("rsi_14", wilder, partial(centred_rsi, window=14)),
        Indicator("dx_14", wilder, partial(directional_index, window=14)),
        Indicator("adx_14", wilder, partial(average_directional_index, window=14)),
        Indicator("cci_20", 19, partial(commodity_channel_index, window=20)),
        Indicator("macd", by_macd, partial(macd, line=0)),
        Indicator("macd_signal", by_macd, partial(macd, line=1)),
        Indicator("macd_histogram", by_macd, partial(macd, line=2)),
        Indicator("trend_reacceleration_12_72", by_volatility, partial(trend_reacceleration, short=12, long=72)),
        Indicator("breakout_volume_24", VOLUME_WINDOW - 1, partial(breakout_volume, window=24)),
        Indicator("relative_volume_24", 23, partial(relative_volume, window=24)),
        Indicator("relative_volume_168", 167, partial(relative_volume, window=168)),
        Indicator("hour_sin", 0, partial(hour, wave=np.sin)),
        Indicator("hour_cos", 0, partial(hour, wave=np.cos)),
        Indicator("weekday_sin", 0, partial(weekday, wave=np.sin)),
        Indicator("weekday_cos", 0, partial(weekday, wave=np.cos)),
    ]
    return {indicator.name: indicator for indicator in table}


INDICATORS: dict[str, Indicator] = _registered()
"""Every indicator by its name."""


def add_indicator(indicator: Indicator) -> None:
    """Make an indicator of your own a feature: `features.names=[...]` takes it, here and where an artifact of it is traded.

    It must read no bar after its own, and its warm-up be long enough: `cappuccino validate causality` proves both.
    """
    add("feature", INDICATORS, indicator.name, indicator)

"""Bars as they might have been: holes, restatements, other orders of history, crashes. Each a bar table made from a bar table.

What is changed is chosen by the seed and never by prices, so that bars up to t become the same whatever follows them; only
`bootstrapped_bars` draws from the whole table.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from cappuccino.bars import BarTable
from cappuccino.bars.frames import PRICES
from cappuccino.bootstrap import resampled_rows
from cappuccino.errors import InputError


def dropped_bars(bars: BarTable, *, share: float, seed: int) -> BarTable:
    """Every bar of every asset is missing with the probability `share`, but for the first row of a segment, which is whole.

    A missing bar is what the data path makes of it (`cappuccino.bars.align`), holes of any length bridged: the last close as its
    prices, volume 0, mask false. Raises InputError for a share outside [0, 1).
    """
    _check("share of dropped bars", share, 0 <= share < 1, "in [0, 1)")
    there = np.random.default_rng(seed).random(bars.mask.shape) >= share
    there[bars.segment_starts()] = True
    return _bridged(dataclasses.replace(bars, mask=bars.mask & there))


def restated_bars(bars: BarTable, *, share: float, size: float, seed: int) -> BarTable:
    """The bars as they were first published, of which those given are the later and final version.

    With the probability `share` a bar's first close was off by a factor exp(size x normal), and its volume by another; high and
    low are widened to bound that close. Raises InputError for a share outside [0, 1] or a negative size.
    """
    _check("share of restated bars", share, 0 <= share <= 1, "in [0, 1]")
    _check("size of restatements", size, 0 <= size < np.inf, "at least 0 and finite")
    rng = np.random.default_rng(seed)
    changed = (rng.random(bars.mask.shape) < share) & bars.mask
    off = np.where(changed, np.exp(size * rng.standard_normal((2, *changed.shape))), 1.0)
    close = bars.close * off[0]
    return _bridged(
        dataclasses.replace(
            bars,
            close=close,
            high=np.maximum(bars.high, close),
            low=np.minimum(bars.low, close),
            volume=bars.volume * off[1],
        )
    )


def bootstrapped_bars(bars: BarTable, *, block: float, seed: int) -> BarTable:
    """Bars drawn in blocks of `block` bars on average, all assets of a bar together, prices chained; one segment.

    A drawn bar brings its open, high, low and close as ratios to the close before it (to its own open where it begins a
    segment), its volume and its mask. The first row stays as it is. Politis and Romano, The stationary bootstrap, 1994. Raises
    InputError for a block below 1.
    """
    _check("mean length of a block", block, 1 <= block < np.inf, "at least 1 bar and finite")
    drawn = resampled_rows(len(bars), block, 1, rng=np.random.default_rng(seed))[0]
    before = np.concatenate([bars.open[:1], bars.close[:-1]])
    before[bars.segment_starts()] = bars.open[bars.segment_starts()]
    ratios = {name: (getattr(bars, name) / before)[drawn] for name in PRICES}
    # Multiplied one after another, so that high and low, which chain in the same way, still bound the close to the last bit.
    close = np.cumprod(np.concatenate([bars.close[:1], ratios["close"][1:]]), axis=0)
    prices = {name: np.concatenate([getattr(bars, name)[:1], close[:-1] * ratios[name][1:]]) for name in PRICES}
    return dataclasses.replace(
        bars,
        **prices,
        timestamps=bars.timestamps[0] + bars.bar_seconds * np.arange(len(bars)),
        volume=np.concatenate([bars.volume[:1], bars.volume[drawn[1:]]]),
        mask=np.concatenate([bars.mask[:1], bars.mask[drawn[1:]]]),
        segment=np.zeros_like(bars.segment),
    )


def crashed_bars(
    bars: BarTable, *, fall: float, length: int, number: int, recovers: bool, start: int, stop: int, seed: int
) -> BarTable:
    """`number` crashes of all assets at once, at rows drawn from [start, stop), none reaching into another or over a segment.

    In each, closes fall against what they were by the share `fall` within `length` bars, as a straight line of log prices; they
    stay there, or come back in the same way within as many bars. An open is as far down as the close before it. Raises
    InputError for numbers without a meaning and where the crashes do not fit.
    """
    _check("fall of a crash", fall, 0 < fall < 1, "in (0, 1)")
    _check("length of a crash", length, length >= 1, "at least 1 bar")
    _check("number of crashes", number, number >= 1, "at least 1")
    down = np.log1p(-fall) / length
    shape = np.repeat([down, -down], length) if recovers else np.full(length, down)
    step = np.zeros(len(bars))
    for row in _moments(bars, len(shape), number, start, stop, np.random.default_rng(seed)):
        step[row + 1 : row + 1 + len(shape)] = shape
    now = np.exp(np.cumsum(step))[:, None]
    before = np.concatenate([np.ones((1, 1)), now[:-1]])
    return _bridged(
        dataclasses.replace(
            bars,
            open=bars.open * before,
            high=bars.high * np.maximum(before, now),
            low=bars.low * np.minimum(before, now),
            close=bars.close * now,
        )
    )


def _moments(bars: BarTable, length: int, number: int, start: int, stop: int, rng: np.random.Generator) -> list[int]:
    """The rows at whose closes crashes of `length` bars begin."""
    rows = np.arange(start, stop - length)
    rows = rows[bars.segment[rows] == bars.segment[rows + length]]
    chosen: list[int] = []
    for row in rng.permutation(rows).tolist():
        if len(chosen) < number and all(abs(row - other) > length for other in chosen):
            chosen.append(row)
    if len(chosen) < number:
        raise InputError(f"{number} crashes of {length} bars do not fit into rows {start} to {stop}; {len(chosen)} do")
    return chosen


def _bridged(bars: BarTable) -> BarTable:
    """Where the mask is false: the last close as the prices, volume 0."""
    place = np.arange(len(bars))[:, None]
    last: Int[np.ndarray, "T A"] = np.maximum.accumulate(np.where(bars.mask, place, 0), axis=0)
    close: Float[np.ndarray, "T A"] = np.take_along_axis(bars.close, last, axis=0)
    there: Bool[np.ndarray, "T A"] = bars.mask
    prices = {name: np.where(there, getattr(bars, name), close) for name in PRICES}
    return dataclasses.replace(bars, **prices, volume=np.where(there, bars.volume, 0.0))


def _check(name: str, value: float, right: bool, allowed: str) -> None:
    if not right:
        raise InputError(f"the {name} is {value}; it must be {allowed}")

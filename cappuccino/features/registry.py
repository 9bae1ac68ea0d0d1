"""Feature sets: which indicators, in which order, computed over a bar table; and the check that each says something."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from cappuccino.bars.table import BarTable
from cappuccino.errors import InputError
from cappuccino.features.coarse import on_coarser_bars
from cappuccino.features.indicators import INDICATORS, Indicator
from cappuccino.features.series import Series

_PRICE = (
    "return_1",
    "return_24",
    "return_72",
    "volatility_24_336",
    "atr_shift_24_168",
    "rsi_14",
    "cci_20",
    "adx_14",
    "macd_histogram",
    "trend_reacceleration_12_72",
)

_DEFAULT = (*_PRICE, "breakout_volume_24", "relative_volume_168", "hour_sin", "hour_cos")

SETS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    "price_only": (*_PRICE, "hour_sin", "hour_cos"),
    "multi_timeframe": (*_DEFAULT, "rsi_14@4h", "adx_14@4h", "macd_histogram@4h", "cci_20@1d", "volatility_6_24@1d"),
    "planted": ("relative_volume_168",),
}
"""Named sets of features: all but the day of the week; those that read no volume; the first with some on 4-hour and daily bars;
the one that a planted market rewards."""

CONSTANT = 1e-9
"""Features are of order 1: one that moves by less than this over all rows is constant."""

AFFINE = 1e-10
"""Two features whose correlation is within this of -1 or 1 are one feature up to an affine map."""


def find_indicator(name: str, bar_seconds: int) -> Indicator:
    """The indicator of that name over bars of `bar_seconds` s; NAME@4h is that on 4-hour bars (`features.coarse`).

    Raises InputError for a name that is not registered, with the nearest that are, and for a length of which there are no bars.
    """
    base, at, bar = name.partition("@")
    if base not in INDICATORS:
        near = difflib.get_close_matches(base, INDICATORS, n=3, cutoff=0.4) or list(INDICATORS)
        raise InputError(f"there is no feature {name!r}; did you mean {', '.join(near)}?")
    return on_coarser_bars(INDICATORS[base], bar, bar_seconds) if at else INDICATORS[base]


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """An ordered choice of features by name, over bars of `bar_seconds` s. The order is that of the last axis of `compute`.

    Raises InputError as `find_indicator` does, for a name given twice, and for none.
    """

    names: tuple[str, ...]
    bar_seconds: int

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"a feature set needs at least one feature; there are {', '.join(INDICATORS)}")
        for name in self.names:
            find_indicator(name, self.bar_seconds)
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise InputError(f"features must be distinct, given twice: {', '.join(twice)}")

    @property
    def indicators(self) -> tuple[Indicator, ...]:
        """What the names mean, in their order."""
        return tuple(find_indicator(name, self.bar_seconds) for name in self.names)

    @property
    def warmup(self) -> int:
        """The first row of a segment that may be used: the longest warm-up of the indicators, in bars."""
        return max(indicator.warmup for indicator in self.indicators)

    def compute(self, bars: BarTable) -> Float[np.ndarray, "T A F"]:
        """Raw features, float64, of every asset within every segment; NaN in the first `warmup` rows of each segment.

        Row t reads bars up to t of its own segment only, and equals what a table of just the last `warmup` + 1 bars gives,
        to 1e-9 of the feature's standard deviation. So training and trading call this with as many bars as they have.
        Raises InputError for bars of another length, for openings that are no multiples of it where a feature is on coarser
        bars, and where no segment is longer than the warm-up.
        """
        if bars.bar_seconds != self.bar_seconds:
            raise InputError(f"these features are of bars of {self.bar_seconds} s, the bars are of {bars.bar_seconds} s")
        warmup, parts = self.warmup, bars.segment_slices()
        longest = max(part.stop - part.start for part in parts)
        if longest <= warmup:
            raise InputError(
                f"these features need more than {warmup} bars without a gap for their warm-up, "
                f"the longest of {len(parts)} segments has {longest}"
            )
        values = np.full((len(bars), len(bars.assets), len(self.names)), np.nan)
        for part in parts:
            if part.stop - part.start <= warmup:
                continue
            for column in range(len(bars.assets)):
                series = Series.of(bars, part, column)
                for index, indicator in enumerate(self.indicators):
                    values[part.start + warmup : part.stop, column, index] = indicator.compute(series)[warmup:]
        return values


def valid_rows(bars: BarTable, warmup: int) -> Bool[np.ndarray, "T"]:
    """Whether a row's features may be used: it is at least `warmup` bars into its segment."""
    return np.arange(len(bars)) - bars.segment_starts()[bars.segment] >= warmup


def check_features(
    values: Float[np.ndarray, "T A F"], names: Sequence[str], assets: Sequence[str], valid: Bool[np.ndarray, "T"]
) -> None:
    """Raises InputError unless every feature of every asset is finite, varies, and is no affine map of another.

    Judged over the rows where `valid`, of which there must be three or more; within one asset, since a feature may well be
    the same for all assets (the hour of the day).
    """
    rows = values[valid]
    if len(rows) < 3:
        raise InputError(f"features can be judged on 3 rows or more after the warm-up, there are {len(rows)}")
    for column, asset in enumerate(assets):
        table = rows[:, column]
        broken = ~np.isfinite(table)
        if broken.any():
            row, index = np.argwhere(broken)[0]
            raise InputError(f"feature {names[index]} of {asset} is {table[row, index]} in {broken[:, index].sum()} rows")
        still = np.ptp(table, axis=0) <= CONSTANT
        if still.any():
            index = int(np.argmax(still))
            raise InputError(f"feature {names[index]} of {asset} is always {table[0, index]:.6g}; leave it out")
        centred = table - table.mean(axis=0)
        centred /= np.sqrt((centred**2).sum(axis=0))
        same = np.triu(np.abs(centred.T @ centred) >= 1 - AFFINE, k=1)
        if same.any():
            first, second = np.argwhere(same)[0]
            raise InputError(
                f"features {names[first]} and {names[second]} of {asset} are the same up to scale and offset; leave one out"
            )

"""Feature sets: which indicators, in which order, computed over a bar table; and the check that each says something."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from cappuccino.bars.table import BarTable
from cappuccino.errors import InputError
from cappuccino.features.indicators import INDICATORS
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

SETS: dict[str, tuple[str, ...]] = {
    "default": (*_PRICE, "breakout_volume_24", "relative_volume_168", "hour_sin", "hour_cos"),
    "price_only": (*_PRICE, "hour_sin", "hour_cos"),
    "planted": ("relative_volume_168",),
}
"""Named sets of features: all but the day of the week; those that read no volume; the one that a planted market rewards."""

CONSTANT = 1e-9
"""Features are of order 1: one that moves by less than this over all rows is constant."""

AFFINE = 1e-10
"""Two features whose correlation is within this of -1 or 1 are one feature up to an affine map."""


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """An ordered choice of features by name. The order is that of the last axis of `compute`.

    Raises InputError for a name that is not registered (with the nearest that are), for a name given twice, and for none.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError(f"a feature set needs at least one feature; there are {', '.join(INDICATORS)}")
        for name in self.names:
            if name not in INDICATORS:
                near = difflib.get_close_matches(name, INDICATORS, n=3, cutoff=0.4) or list(INDICATORS)
                raise InputError(f"there is no feature {name!r}; did you mean {', '.join(near)}?")
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise InputError(f"features must be distinct, given twice: {', '.join(twice)}")

    @property
    def warmup(self) -> int:
        """The first row of a segment that may be used: the longest warm-up of the indicators, in bars."""
        return max(INDICATORS[name].warmup for name in self.names)

    def compute(self, bars: BarTable) -> Float[np.ndarray, "T A F"]:
        """Raw features, float64, of every asset within every segment; NaN in the first `warmup` rows of each segment.

        Row t reads bars up to t of its own segment only, and equals what a table of just the last `warmup` + 1 bars gives,
        to 1e-9 of the feature's standard deviation. So training and trading call this with as many bars as they have.
        Raises InputError where no segment is longer than the warm-up.
        """
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
                for index, name in enumerate(self.names):
                    feature = INDICATORS[name].compute(series)
                    values[part.start + warmup : part.stop, column, index] = feature[warmup:]
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

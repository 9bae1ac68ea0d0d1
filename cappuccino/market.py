"""The market: the table on the device that everything downstream reads, and what its rows and columns mean."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cappuccino.bars import BarTable, Origin
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet, check_features, valid_rows
from cappuccino.risk import day_of


class Market(NamedTuple):
    """Bars and features on the device, an argument of every compiled function. T bars, A assets, F features.

    Rows of `features` inside a segment's warm-up are NaN: whoever reads one by mistake sees it. day: the UTC day on
    which the row's bar closes (`risk.day_of`); only risk rules read it.
    """

    open: Float[Array, "T A"]
    close: Float[Array, "T A"]
    features: Float[Array, "T A F"]
    tradable: Bool[Array, "T A"]
    day: Int[Array, "T"] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class MarketSpec:
    """What a Market's arrays mean, on the host: never part of a compiled function, so never a reason to recompile.

    `valid` marks the rows whose features are past their warm-up; `fingerprint` is a SHA-256 over bars and features.
    """

    assets: tuple[str, ...]
    feature_names: tuple[str, ...]
    bar_seconds: int
    warmup: int
    timestamps: Int[np.ndarray, "T"]
    segment: Int[np.ndarray, "T"]
    valid: Bool[np.ndarray, "T"]
    origin: Origin
    fingerprint: str

    def __str__(self) -> str:
        return (
            f"{len(self.timestamps):,} bars of {', '.join(self.assets)} from {self.origin.venue} ({self.origin.source}), "
            f"{len(self.feature_names)} features each, warm-up {self.warmup} bars"
        )

    def row_at(self, timestamp: int) -> int:
        """First row at or after a time stamp (Unix seconds); T if there is none."""
        return int(np.searchsorted(self.timestamps, timestamp))

    def decision_rows(self, start: int, stop: int, lookback: int) -> Int[np.ndarray, "N"]:
        """Rows t in [start, stop) at whose close one can decide: a valid window of `lookback` rows ends at t.

        The window may begin before `start`: what is past at t is known at t.
        """
        row = np.arange(len(self.timestamps))
        first = np.searchsorted(self.segment, self.segment)
        run = row - np.maximum.accumulate(np.where(self.valid, first - 1, row))  # rows that a window ending here may hold
        rows = np.arange(start, stop)
        return rows[run[rows] >= lookback]

    def episode_rows(self, start: int, stop: int, lookback: int, bars: int) -> Int[np.ndarray, "N"]:
        """Rows at which `bars` steps may begin without leaving [start, stop) or their segment; there may be none.

        Step k decides at the close of row s + k and is marked at the close of row s + k + 1, so s + bars is the last row read.
        """
        rows = self.decision_rows(start, stop - bars, lookback)
        return rows[self.segment[rows] == self.segment[rows + bars]]

    def start_rows(self, start: int, stop: int, lookback: int, episode_bars: int) -> Int[np.ndarray, "N"]:
        """`episode_rows` of an episode. Raises InputError with the numbers if there are none."""
        rows = self.episode_rows(start, stop, lookback, episode_bars)
        if len(rows) == 0:
            raise InputError(
                f"no episode of {episode_bars} bars fits into rows {start} to {stop}: the warm-up takes {self.warmup} bars of "
                f"every segment and the look-back {lookback}; give more bars or a smaller env.episode_bars"
            )
        return rows


def build_market(bars: BarTable, features: FeatureSet, *, dtype: np.dtype | type = np.float32) -> tuple[Market, MarketSpec]:
    """Compute the features of all bars and lay the table out on the device in `dtype`.

    Raises InputError for too few bars, and for features that are constant, not finite or duplicates of one another.
    """
    values = features.compute(bars)
    valid = valid_rows(bars, features.warmup)
    check_features(values, features.names, bars.assets, valid)
    values[~valid] = np.nan
    digest = hashlib.sha256(f"{bars.fingerprint()} {features.names}".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    spec = MarketSpec(
        assets=bars.assets,
        feature_names=features.names,
        bar_seconds=bars.bar_seconds,
        warmup=features.warmup,
        timestamps=bars.timestamps,
        segment=bars.segment,
        valid=valid,
        origin=bars.origin,
        fingerprint=digest.hexdigest(),
    )
    market = Market(
        open=jnp.asarray(bars.open, dtype),
        close=jnp.asarray(bars.close, dtype),
        features=jnp.asarray(values, dtype),
        tradable=jnp.asarray(bars.mask),
        day=jnp.asarray(day_of(bars.timestamps + bars.bar_seconds), jnp.int32),
    )
    return jax.block_until_ready(market), spec


def windows(features: Float[Array, "T A F"], ticks: Int[Array, "*N"], lookback: int) -> Float[Array, "*N L A F"]:
    """The `lookback` rows of features that end at each tick, oldest first."""
    offsets = jnp.arange(1 - lookback, 1, dtype=ticks.dtype)
    return features[ticks[..., None] + offsets]

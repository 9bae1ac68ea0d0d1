"""Other futures of one past: a bar table whose bars after a cut are replaced, to see what read them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.bars.table import FIELDS, BarTable

NOISE = 0.5
"""Standard deviation of the logarithms of the factors that noise multiplies prices, ranges and volumes with."""

PRICE_FACTOR, VOLUME_FACTOR = 3.0, 7.0
"""What scaled bars are multiplied with: the market of another level."""

ROUNDING = 1e-9
"""Of a feature's standard deviation. An array that ends earlier ends in other instructions (NumPy takes the last few values of a
logarithm one by one), so that without a future a last bit may differ."""


class Future(NamedTuple):
    """replace: bars, the last row that stays, randomness, to bars that are the same up to and including that row. rounding: by how
    much a feature up to there may differ nevertheless, in its standard deviations."""

    replace: Callable[[BarTable, int, np.random.Generator], BarTable]
    rounding: float


def noise(bars: BarTable, cut: int, rng: np.random.Generator) -> BarTable:
    """Every open, close, range and volume times a random factor of its own; a volume of 0 counts as 1."""

    def factors() -> Float[np.ndarray, "N A"]:
        return np.exp(NOISE * rng.standard_normal((len(bars) - cut - 1, len(bars.assets))))

    opening, close = bars.open[cut + 1 :] * factors(), bars.close[cut + 1 :] * factors()
    up, down = (np.maximum(wick, 1 / wick) for wick in (factors(), factors()))
    volume = bars.volume[cut + 1 :]
    return _behind(
        bars,
        cut,
        open=opening,
        high=np.maximum(opening, close) * up,
        low=np.minimum(opening, close) / down,
        close=close,
        volume=np.where(volume > 0, volume, 1) * factors(),
    )


def scaled(bars: BarTable, cut: int, rng: np.random.Generator) -> BarTable:
    """Prices times PRICE_FACTOR and volumes times VOLUME_FACTOR."""
    del rng
    factor = {name: VOLUME_FACTOR if name == "volume" else PRICE_FACTOR for name in FIELDS}
    return _behind(bars, cut, **{name: factor[name] * getattr(bars, name)[cut + 1 :] for name in FIELDS})


def permuted(bars: BarTable, cut: int, rng: np.random.Generator) -> BarTable:
    """The same bars in another order, across segments too."""
    order = cut + 1 + rng.permutation(len(bars) - cut - 1)
    return _behind(bars, cut, **{name: getattr(bars, name)[order] for name in FIELDS})


def removed(bars: BarTable, cut: int, rng: np.random.Generator) -> BarTable:
    """No future at all, as at the close of the bar at the cut."""
    del rng
    return bars.rows(0, cut + 1)


FUTURES: dict[str, Future] = {
    "noise": Future(noise, 0.0),
    "scaled": Future(scaled, 0.0),
    "permuted": Future(permuted, 0.0),
    "removed": Future(removed, ROUNDING),
}
"""Every kind of other future by its name."""


def _behind(bars: BarTable, cut: int, **fields: Float[np.ndarray, "N A"]) -> BarTable:
    """The table with these values behind the cut; clock, segments and the bars that are missing stay."""
    return dataclasses.replace(
        bars, **{name: np.concatenate([getattr(bars, name)[: cut + 1], fields[name]]) for name in FIELDS}
    )

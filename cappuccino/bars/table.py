"""The bar table: OHLCV of several assets on one regular clock."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from cappuccino.errors import InputError

FIELDS = ("open", "high", "low", "close", "volume")

POSSIBLE = "prices must be positive, volumes not negative, and high and low must bound open and close"


def possible(
    opens: Float[np.ndarray, "*N"],
    high: Float[np.ndarray, "*N"],
    low: Float[np.ndarray, "*N"],
    close: Float[np.ndarray, "*N"],
    volume: Float[np.ndarray, "*N"],
) -> Bool[np.ndarray, "*N"]:
    """Where the values are those of a bar, as POSSIBLE says; all of them finite."""
    prices = np.stack([opens, high, low, close])
    are_prices = (np.isfinite(prices) & (prices > 0)).all(axis=0)
    bound = (high >= np.maximum(opens, close)) & (low <= np.minimum(opens, close))
    return are_prices & bound & np.isfinite(volume) & (volume >= 0)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where bars come from: `source` (synthetic, files, alpaca), the `venue` that traded them, and the `quote` currency."""

    source: str
    venue: str
    quote: str


@dataclasses.dataclass(frozen=True, eq=False)
class BarTable:
    """Bars of A assets over T intervals, aligned by time stamp.

    Time stamps are Unix seconds (UTC) of each bar's opening. They rise by `bar_seconds` inside a segment; where they jump
    by more, `segment` rises by one: no indicator, window or episode may cross such a seam. Where an asset had no bar
    (`mask` false) its prices are the last close before and its volume 0, so that no NaN reaches an indicator; nobody can
    trade there. The first row of every segment has a bar of every asset.

    Raises InputError if a shape disagrees, a price is not positive and finite, a volume is negative, high or low do not
    bound open and close, or time stamps do not rise as said.
    """

    assets: tuple[str, ...]
    bar_seconds: int
    timestamps: Int[np.ndarray, "T"]
    open: Float[np.ndarray, "T A"]
    high: Float[np.ndarray, "T A"]
    low: Float[np.ndarray, "T A"]
    close: Float[np.ndarray, "T A"]
    volume: Float[np.ndarray, "T A"]
    mask: Bool[np.ndarray, "T A"]
    segment: Int[np.ndarray, "T"]
    origin: Origin

    def __post_init__(self) -> None:
        rows, columns = len(self.timestamps), len(self.assets)
        if rows == 0 or columns == 0:
            raise InputError(f"a bar table needs bars and assets, got {rows} bars of {columns} assets")
        if len(set(self.assets)) != columns:
            raise InputError(f"assets must be distinct, got {', '.join(self.assets)}")
        for name in (*FIELDS, "mask"):
            if getattr(self, name).shape != (rows, columns):
                raise InputError(f"{name} has shape {getattr(self, name).shape}, expected ({rows}, {columns})")
        self._check_clock()
        self._check_prices()

    def _check_clock(self) -> None:
        step, jump = np.diff(self.timestamps), np.diff(self.segment)
        if (step <= 0).any():
            row = int(np.argmax(step <= 0))
            raise InputError(f"bars must be sorted and distinct in time; row {row + 1} is at {self.timestamps[row + 1]}")
        bad = np.where(jump == 0, step != self.bar_seconds, (jump != 1) | (step <= self.bar_seconds))
        if bad.any():
            row = int(np.argmax(bad))
            raise InputError(f"bars are {self.bar_seconds} s apart inside a segment; row {row + 1} follows after {step[row]} s")
        if self.segment[0] != 0:
            raise InputError(f"the first segment is 0, got {self.segment[0]}")
        if not self.mask[self.segment_starts()].all():
            raise InputError("the first row of a segment must have a bar of every asset")

    def _check_prices(self) -> None:
        bad = ~possible(self.open, self.high, self.low, self.close, self.volume)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            values = ", ".join(f"{name} {getattr(self, name)[row, column]:g}" for name in FIELDS)
            raise InputError(f"{self.assets[column]} at {self.timestamps[row]} has {values}; {POSSIBLE}")

    def __len__(self) -> int:
        return len(self.timestamps)

    def segment_starts(self) -> Int[np.ndarray, "S"]:
        """Row of the first bar of every segment."""
        return np.flatnonzero(np.diff(self.segment, prepend=-1))

    def segment_slices(self) -> list[slice]:
        """One slice of rows for every segment, in order."""
        edges = [*self.segment_starts().tolist(), len(self)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def rows(self, start: int, stop: int) -> BarTable:
        """The bars of rows start to stop - 1, segments counted from 0 again."""
        cut = {name: getattr(self, name)[start:stop] for name in ("timestamps", *FIELDS, "mask")}
        return dataclasses.replace(self, **cut, segment=self.segment[start:stop] - self.segment[start])

    def select(self, assets: Sequence[str]) -> BarTable:
        """The same bars of the named assets, in the order named. Raises InputError for an asset that is not there."""
        missing = [asset for asset in assets if asset not in self.assets]
        if missing:
            raise InputError(f"no bars of {', '.join(missing)}; there are {', '.join(self.assets)}")
        columns = [self.assets.index(asset) for asset in assets]
        cut = {name: getattr(self, name)[:, columns] for name in (*FIELDS, "mask")}
        return dataclasses.replace(self, assets=tuple(assets), **cut)

    def fingerprint(self) -> str:
        """SHA-256 of assets, clock and all values, in hexadecimal: equal tables and only they have equal fingerprints."""
        digest = hashlib.sha256(repr((self.assets, self.bar_seconds)).encode())
        for name in ("timestamps", *FIELDS, "mask", "segment"):
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

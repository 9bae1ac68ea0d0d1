"""A trader's session put together again from its journal and its bars, for a review."""

from __future__ import annotations

import dataclasses
import pathlib
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from cappuccino.artifact.manifest import Manifest
from cappuccino.bars.table import FIELDS, BarTable, Origin
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet, valid_rows
from cappuccino.trading.bar_store import BARS_NAME, read_bars
from cappuccino.trading.feed import table_from_grid
from cappuccino.trading.folder import JOURNAL_NAME
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.review import BarPrices, Costs, Holdings, OrderFill, Session
from cappuccino.trading.step import Decide


def load_session(folder: pathlib.Path, manifest: Manifest, decide: Decide, *, max_hole_bars: int, venue_fee: float) -> Session:
    """All of the session in a trader's folder, from its first mark to its last. Raises InputError if there are not two marks."""
    journal = folder / JOURNAL_NAME
    marks = read_marks(journal)
    if len(marks) < 2:
        raise InputError(f"{folder} has {len(marks)} marks; a review takes two bars at least")
    length, assets = manifest.bar_seconds, manifest.assets
    first, last = marks[0]["bar"], marks[-1]["bar"]
    bars = _Bars.of(folder, manifest, last + length)
    table = bars.table(len(bars.stamps))  # an account has a value in the longest hole
    openings = list(range(first, last + length, length))
    rows = {int(stamp): row for row, stamp in enumerate(table.timestamps)}
    missing = [opening for opening in openings if opening not in rows]
    if missing:
        raise InputError(f"{folder / BARS_NAME} has no bar of {missing[0]}: a review takes all bars from {first} to {last}")
    columns = {asset: column for column, asset in enumerate(assets)}
    return Session(
        openings=openings,
        bar_seconds=length,
        prices=[_prices(table, rows[opening], rows[opening + length]) for opening in openings[:-1]],
        decisions={row["bar"]: row for row in read_decisions(journal)},
        marks={mark["bar"]: _holdings(mark, assets) for mark in marks},
        replayed=_Replay(bars, max_hole_bars, decide),
        orders=[_fill(row, columns) for row in read_orders(journal) if Decimal(row["quantity"]) > 0],
        costs=Costs(
            fee=manifest.costs.taker_fee_bps / 1e4,
            friction=(manifest.costs.half_spread_bps + manifest.costs.slippage_bps) / 1e4,
            min_notional=manifest.costs.min_notional,
            margin=manifest.costs.buying_power_margin,
        ),
        venue_fee=venue_fee,
    )


class _Bars(NamedTuple):
    """All that a trader stored, on one clock: values of FIELDS (5, T, A), and where there are any."""

    manifest: Manifest
    stamps: Int[np.ndarray, "T"]
    values: Float[np.ndarray, "5 T A"]
    mask: Bool[np.ndarray, "T A"]

    @classmethod
    def of(cls, folder: pathlib.Path, manifest: Manifest, stop: int) -> _Bars:
        """Those that opened before `stop`."""
        stored = read_bars(folder / BARS_NAME, manifest.assets, 0, stop)
        start = min((int(bars.timestamps[0]) for bars in stored.values() if len(bars.timestamps)), default=stop)
        stamps = np.arange(start, stop, manifest.bar_seconds, dtype=np.int64)
        values = np.ones((len(FIELDS), len(stamps), len(manifest.assets)))
        mask = np.zeros((len(stamps), len(manifest.assets)), dtype=bool)
        for column, asset in enumerate(manifest.assets):
            at = (stored[asset].timestamps - start) // manifest.bar_seconds
            values[:, at, column] = np.stack([getattr(stored[asset], name) for name in FIELDS])
            mask[at, column] = True
        return cls(manifest, stamps, values, mask)

    def table(self, max_hole_bars: int) -> BarTable:
        """Raises InputError as `table_from_grid`."""
        made, origin = self.manifest, Origin(**dataclasses.asdict(self.manifest.origin))
        return table_from_grid(self.stamps, self.values, self.mask, made.assets, made.bar_seconds, max_hole_bars, origin)


class _Replay:
    """The policy on the bars as they are known now; None where it sees or decides nothing."""

    def __init__(self, bars: _Bars, max_hole_bars: int, decide: Decide) -> None:
        self._decide, self._lookback = decide, bars.manifest.lookback
        features = FeatureSet(bars.manifest.features, bars.manifest.bar_seconds)
        try:
            table = bars.table(max_hole_bars)
            self._values, self._valid = features.compute(table), valid_rows(table, features.warmup)
        except InputError:  # as in the trader: holes leave no window at all
            self._rows = {}
            return
        self._rows = {int(stamp): row for row, stamp in enumerate(table.timestamps)}
        self._segment = table.segment

    def __call__(self, bar: int, weights: Float[np.ndarray, "A"]) -> Float[np.ndarray, "A"] | None:
        row = self._rows.get(bar)
        if row is None:
            return None
        window = slice(row + 1 - self._lookback, row + 1)
        if window.start < 0 or not self._valid[window].all() or self._segment[window.start] != self._segment[row]:
            return None
        seen = weights / max(1.0, float(weights.sum()))
        try:
            return np.asarray(self._decide(self._values[window], seen), np.float64)
        except InputError:  # as in the trader: the bar goes by without its decision
            return None


def _prices(table: BarTable, row: int, following: int) -> BarPrices:
    return BarPrices(table.close[row], table.mask[row], table.open[following], table.close[following], table.mask[following])


def _holdings(mark: dict[str, Any], assets: tuple[str, ...]) -> Holdings:
    return Holdings(float(mark["cash"]), np.array([float(mark["positions"].get(asset, 0)) for asset in assets]))


def _fill(row: dict[str, Any], columns: dict[str, int]) -> OrderFill:
    return OrderFill(
        column=columns[row["asset"]],
        side=row["side"],
        ordered=float(row["quantity"]),
        filled=float(row["filled_quantity"]),
        price=float(row["filled_price"] or 0.0),
        decided=row["bar"],
        learnt=row["updated_at"],
        sequence=row["sequence"],
    )

"""A trader's session put together again from its journal and its bars, for a review."""

from __future__ import annotations

import dataclasses
import pathlib
from decimal import Decimal
from typing import Any

import numpy as np
from jaxtyping import Float

from cappuccino.artifact.manifest import Manifest
from cappuccino.bars.table import BarTable, Origin
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet, valid_rows
from cappuccino.trading.bar_store import BARS_NAME, read_bars
from cappuccino.trading.feed import table_from_grid
from cappuccino.trading.folder import JOURNAL_NAME
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.review import BarPrices, Costs, Holdings, OrderFill, Session
from cappuccino.trading.step import Decide

_FIELDS = ("open", "high", "low", "close", "volume")


def load_session(folder: pathlib.Path, manifest: Manifest, decide: Decide, *, max_hole_bars: int, venue_fee: float) -> Session:
    """All of the session in a trader's folder, from its first mark to its last. Raises InputError if there are not two marks."""
    journal = folder / JOURNAL_NAME
    marks = read_marks(journal)
    if len(marks) < 2:
        raise InputError(f"{folder} has {len(marks)} marks; a review takes two bars at least")
    length, assets = manifest.bar_seconds, manifest.assets
    first, last = marks[0]["bar"], marks[-1]["bar"]
    features = FeatureSet(manifest.features, length)
    start, stop = first - (features.warmup + manifest.lookback) * length, last + length
    seen = _table(folder, manifest, start, stop, max_hole_bars)
    table = _table(folder, manifest, start, stop, (stop - start) // length)  # an account has a value in the longest hole
    openings = list(range(first, stop, length))
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
        replayed=_Replay(seen, features, manifest, decide),
        orders=[_fill(row, columns) for row in read_orders(journal) if Decimal(row["quantity"]) > 0],
        costs=Costs(
            fee=manifest.costs.taker_fee_bps / 1e4,
            friction=(manifest.costs.half_spread_bps + manifest.costs.slippage_bps) / 1e4,
            min_notional=manifest.costs.min_notional,
            margin=manifest.costs.buying_power_margin,
        ),
        venue_fee=venue_fee,
    )


class _Replay:
    """The policy on the bars as they are known now."""

    def __init__(self, table: BarTable, features: FeatureSet, manifest: Manifest, decide: Decide) -> None:
        self._rows = {int(stamp): row for row, stamp in enumerate(table.timestamps)}
        self._decide, self._lookback, self._segment = decide, manifest.lookback, table.segment
        self._values, self._valid = features.compute(table), valid_rows(table, features.warmup)

    def __call__(self, bar: int, weights: Float[np.ndarray, "A"]) -> Float[np.ndarray, "A"] | None:
        row = self._rows.get(bar)
        if row is None:
            return None
        window = slice(row + 1 - self._lookback, row + 1)
        if window.start < 0 or not self._valid[window].all() or self._segment[window.start] != self._segment[row]:
            return None
        seen = weights / max(1.0, float(weights.sum()))
        return np.asarray(self._decide(self._values[window], seen), np.float64)


def _table(folder: pathlib.Path, manifest: Manifest, start: int, stop: int, max_hole_bars: int) -> BarTable:
    stored = read_bars(folder / BARS_NAME, manifest.assets, start, stop)
    stamps = np.arange(start, stop, manifest.bar_seconds, dtype=np.int64)
    values = np.ones((len(_FIELDS), len(stamps), len(manifest.assets)))
    mask = np.zeros((len(stamps), len(manifest.assets)), dtype=bool)
    for column, asset in enumerate(manifest.assets):
        at = (stored[asset].timestamps - start) // manifest.bar_seconds
        values[:, at, column] = np.stack([getattr(stored[asset], name) for name in _FIELDS])
        mask[at, column] = True
    origin = Origin(**dataclasses.asdict(manifest.origin))
    return table_from_grid(stamps, values, mask, manifest.assets, manifest.bar_seconds, max_hole_bars, origin)


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

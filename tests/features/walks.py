"""Random bars for tests of features: jumps, flat hours without volume, filled holes, tiny ticks, far-apart price levels."""

from __future__ import annotations

import numpy as np

from cappuccino.bars.table import BarTable, Origin

LEVELS = (60_000.0, 2_500.0, 1.0, 2e-5)


def random_walk(rows: int, *, seed: int, assets: int = 3, lengths: tuple[int, ...] = (), rough: bool = True) -> BarTable:
    """Bars of one hour. `lengths` splits the rows into segments; `rough` adds what makes indicators fail."""
    rng = np.random.default_rng(seed)
    sizes = lengths or (rows,)
    assert sum(sizes) == rows
    segment = np.repeat(np.arange(len(sizes)), sizes)
    timestamps = 1_600_000_200 // 3600 * 3600 + 3600 * (np.arange(rows) + 50 * segment)
    columns = [_asset(rng, rows, LEVELS[a % len(LEVELS)], segment, rough) for a in range(assets)]
    fields = {name: np.stack([column[name] for column in columns], axis=1) for name in columns[0]}
    names = tuple(f"C{a}" for a in range(assets))
    return BarTable(names, 3600, timestamps, segment=segment, origin=Origin("synthetic", "none", "USD"), **fields)


def _asset(rng, rows, level, segment, rough):
    volatility = 0.008 * np.exp(0.5 * np.sin(np.arange(rows) / 200) + 0.2 * rng.standard_normal(rows))
    moves = volatility * rng.standard_t(4, rows)
    still = np.zeros(rows, bool)
    mask = np.ones(rows, bool)
    if rough:
        moves[rng.integers(0, rows, 3)] += rng.choice([-1.0, 1.5], 3)
        for start, length in zip(rng.integers(0, rows, 4), (30, 60, 200, 520), strict=True):
            still[start : start + length] = rng.random(len(still[start : start + length])) < rng.choice([0.9, 1.0])
        mask = rng.random(rows) > 0.02
        mask[np.flatnonzero(np.diff(segment, prepend=-1))] = True
        still |= ~mask
    moves[still] = 0.0
    moves -= moves.sum() / max((~still).sum(), 1)
    moves[still] = 0.0
    close = level * np.exp(np.cumsum(moves))
    if rough:
        tick = level * 1e-4
        close = np.maximum(np.round(close / tick) * tick, tick)
    for row in np.flatnonzero(still):
        if row > 0:
            close[row] = close[row - 1]
    before = np.concatenate([close[:1], close[:-1]])
    open_ = np.where(still, close, before)
    wick = np.where(still, 0.0, np.abs(volatility * rng.standard_normal((2, rows))))
    high = np.maximum(open_, close) * np.exp(wick[0])
    low = np.minimum(open_, close) * np.exp(-wick[1])
    volume = np.where(still, 0.0, np.exp(rng.standard_normal(rows) + 3) / level)
    return {"open": open_, "high": high, "low": low, "close": close, "volume": volume, "mask": mask}

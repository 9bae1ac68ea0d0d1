"""Changed bars are bars: what they promise to change they change, and everything else stays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars import BarTable, Origin
from cappuccino.bars.align import table_from_frames
from cappuccino.errors import InputError
from cappuccino.evaluation.scenarios import bootstrapped_bars, crashed_bars, dropped_bars, restated_bars

HOUR, START = 3600, 1_577_836_800
FIELDS = ("open", "high", "low", "close", "volume")


def made_bars(bars: int = 400, *, seed: int = 0, hole: int | None = None) -> BarTable:
    """Two assets with correlated moves, opens off the close before; a new segment from row `hole`."""
    rng = np.random.default_rng(seed)
    moves = rng.multivariate_normal([0.0005, 0.0003], [[1e-4, 7e-5], [7e-5, 1e-4]], bars)
    close = 100 * np.exp(np.cumsum(moves, axis=0))
    opens = np.concatenate([close[:1], close[:-1]]) * np.exp(rng.normal(0, 1e-3, (bars, 2)))
    wick = np.exp(np.abs(rng.normal(0, 2e-3, (2, bars, 2))))
    segment = (np.arange(bars) >= (bars if hole is None else hole)).astype(np.int64)
    return BarTable(
        assets=("BTC", "ETH"),
        bar_seconds=HOUR,
        timestamps=START + HOUR * (np.arange(bars, dtype=np.int64) + 30 * segment),
        open=opens,
        high=np.maximum(opens, close) * wick[0],
        low=np.minimum(opens, close) / wick[1],
        close=close,
        volume=rng.exponential(5, (bars, 2)),
        mask=np.ones((bars, 2), bool),
        segment=segment,
        origin=Origin("synthetic", "made", "USD"),
    )


def same(one: BarTable, other: BarTable, rows: slice = slice(None)) -> None:
    for name in ("timestamps", "open", "high", "low", "close", "volume", "mask", "segment"):
        np.testing.assert_array_equal(getattr(one, name)[rows], getattr(other, name)[rows])


def test_dropped_bars_are_what_the_data_path_makes_of_missing_ones():
    bars = made_bars()
    dropped = dropped_bars(bars, share=0.3, seed=3)
    assert 0.25 < 1 - dropped.mask.mean() < 0.35
    frames = {}
    for column, asset in enumerate(bars.assets):
        there = dropped.mask[:, column]
        values = {name: getattr(bars, name)[there, column] for name in FIELDS}
        frames[asset] = pd.DataFrame({"timestamp": bars.timestamps[there], **values})
    again = table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=100, origin=bars.origin)
    same(dropped.rows(0, len(again)), again)


@pytest.mark.parametrize(
    "change",
    [
        lambda bars: dropped_bars(bars, share=0.2, seed=1),
        lambda bars: restated_bars(bars, share=0.2, size=0.01, seed=1),
        lambda bars: crashed_bars(bars, fall=0.3, length=5, number=6, recovers=True, start=10, stop=390, seed=1),
    ],
    ids=["dropped", "restated", "crashed"],
)
def test_bars_become_the_same_whatever_follows_them(change):
    bars, cut = made_bars(), 200
    later = {name: np.where(np.arange(400)[:, None] < cut, getattr(bars, name), 2 * getattr(bars, name)) for name in FIELDS}
    same(change(bars), change(dataclasses.replace(bars, **later)), slice(0, cut))
    assert change(bars).fingerprint() == change(bars).fingerprint() != bars.fingerprint()


def test_only_the_stated_share_is_restated_and_by_the_stated_size():
    bars = made_bars(4000, hole=1500)
    first = restated_bars(bars, share=0.1, size=0.02, seed=2)
    moved = first.close != bars.close
    assert abs(moved.mean() - 0.1) < 0.01
    assert abs(np.log(first.close / bars.close)[moved].std() - 0.02) < 0.002
    np.testing.assert_array_equal(first.volume != bars.volume, moved)
    np.testing.assert_array_equal(first.open, bars.open)
    same(restated_bars(bars, share=0, size=0.02, seed=2), bars)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(1, 300))
def test_a_bootstrapped_market_is_bars_of_one_segment(seed, block):
    """The table checks order and positivity itself; each move is one of the table's, the same row for both assets."""
    bars = made_bars(hole=150)
    drawn = bootstrapped_bars(bars, block=block, seed=seed)
    assert len(drawn) == len(bars)
    assert (drawn.segment == 0).all()
    before = np.concatenate([bars.open[:1], bars.close[:-1]])
    before[150] = bars.open[150]
    moves, found = bars.close / before, drawn.close[1:] / drawn.close[:-1]
    row = np.abs(found[:, :1] - moves[:, 0]).argmin(axis=1)
    np.testing.assert_allclose(found, moves[row], rtol=1e-12)
    np.testing.assert_array_equal(drawn.volume[1:], bars.volume[row])


def test_bootstrapped_markets_keep_mean_deviation_and_correlation():
    bars = made_bars(2000)
    moves = [np.diff(np.log(bootstrapped_bars(bars, block=20, seed=seed).close), axis=0) for seed in range(40)]
    drawn, real = np.concatenate(moves), np.diff(np.log(bars.close), axis=0)
    error = real.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(drawn.mean(axis=0) - real.mean(axis=0)) < 5 * error).all()
    np.testing.assert_allclose(drawn.std(axis=0), real.std(axis=0), rtol=0.02)
    assert abs(np.corrcoef(drawn.T)[0, 1] - np.corrcoef(real.T)[0, 1]) < 0.02


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.95), st.integers(1, 20), st.booleans())
def test_a_crash_falls_by_what_it_says_and_comes_back_or_does_not(seed, fall, length, recovers):
    bars = made_bars(hole=200)
    crashed = crashed_bars(bars, fall=fall, length=length, number=1, recovers=recovers, start=50, stop=350, seed=seed)
    level = crashed.close / bars.close
    np.testing.assert_allclose(level[:, 0], level[:, 1], rtol=1e-9)
    np.testing.assert_allclose(level.min(), 1 - fall, rtol=1e-9)
    np.testing.assert_allclose(level[-1], 1 if recovers else 1 - fall, rtol=1e-9)
    low = int(np.flatnonzero(np.isclose(level[:, 0], 1 - fall, rtol=1e-9))[0])
    np.testing.assert_allclose(level[low - length], 1, rtol=1e-9)
    assert (level[: low - length + 1] == 1).all()
    assert low - length >= 50
    np.testing.assert_allclose(crashed.open[low] / bars.open[low], level[low - 1], rtol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda bars: dropped_bars(bars, share=1.0, seed=0),
        lambda bars: restated_bars(bars, share=1.5, size=0.1, seed=0),
        lambda bars: restated_bars(bars, share=0.5, size=-1, seed=0),
        lambda bars: bootstrapped_bars(bars, block=0.5, seed=0),
        lambda bars: crashed_bars(bars, fall=1, length=3, number=1, recovers=False, start=0, stop=100, seed=0),
        lambda bars: crashed_bars(bars, fall=0.1, length=30, number=9, recovers=True, start=0, stop=100, seed=0),
    ],
)
def test_what_has_no_meaning_is_refused(wrong):
    with pytest.raises(InputError, match=r"must be|do not fit"):
        wrong(made_bars())

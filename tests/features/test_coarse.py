"""Features on coarser bars: of complete ones alone, the same wherever the first bar lies, and what pandas and plain loops say."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_indicators import SLOW
from walks import random_walk

from cappuccino.bars.clock import DAY, bar_length
from cappuccino.bars.table import FIELDS, BarTable
from cappuccino.errors import InputError
from cappuccino.features import INDICATORS, SETS, FeatureSet
from cappuccino.features.coarse import complete_bars
from cappuccino.features.futures import FUTURES
from cappuccino.features.indicators import Indicator
from cappuccino.features.registry import find_indicator
from cappuccino.features.series import Series
from cappuccino.features.warmup import stream_error

MIDNIGHT = 1_600_000_000 // DAY * DAY
WINDOWED = ("return_24", "volatility_6_24", "cci_20", "trend_reacceleration_12_72", "relative_volume_24")
TOLERANCE = 1e-9
"""Of the feature's standard deviation."""


def clocked(bars: BarTable, bar_seconds: int, phase: int) -> BarTable:
    """The same bars of another length, the first of which opens `phase` bars after midnight; segments are 50 bars apart."""
    clock = MIDNIGHT + bar_seconds * (phase + np.arange(len(bars)) + 50 * bars.segment)
    return dataclasses.replace(bars, bar_seconds=bar_seconds, timestamps=clock)


def whole_bars(bars: BarTable, length: int, row: int, column: int) -> pd.DataFrame:
    """By pandas: the whole coarse bars among the bars of the row's segment up to it."""
    part = slice(int(bars.segment_starts()[bars.segment[row]]), row + 1)
    frame = pd.DataFrame(
        {field: getattr(bars, field)[part, column] for field in FIELDS},
        index=pd.to_datetime(bars.timestamps[part], unit="s", utc=True),
    )
    groups = frame.resample(f"{length}s", origin="epoch")
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    return groups.agg(how)[groups.size() == length // bars.bar_seconds]


def by_hand(bars: BarTable, name: str, length: int, row: int, column: int) -> float:
    """The indicator's plain loop at the last of them."""
    coarse = whole_bars(bars, length, row, column)
    columns = {field: coarse[field].tolist() for field in FIELDS}
    loop, *arguments = SLOW[name]
    stamps = [int(stamp.timestamp()) for stamp in coarse.index]
    return loop(types.SimpleNamespace(timestamps=stamps, **columns), len(coarse) - 1, *arguments)


@settings(max_examples=25)
@given(
    name=st.sampled_from(["cci_20", "volatility_6_24", "relative_volume_24", "hour_cos"]),
    clock=st.sampled_from([(900, "1h"), (900, "4h"), (3600, "2h"), (3600, "3h"), (3600, "4h"), (3600, "1d"), (14_400, "12h")]),
    phase=st.integers(0, 95),
    more=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_whole_bars_by_pandas_and_the_definition_in_plain_loops(name, clock, phase, more, seed):
    bar_seconds, bar = clock
    features = FeatureSet((f"{name}@{bar}",), bar_seconds)
    lengths = (features.warmup + more[0], min(features.warmup, 7), features.warmup + more[1])
    bars = clocked(random_walk(sum(lengths), seed=seed, assets=2, lengths=lengths), bar_seconds, phase)
    values = features.compute(bars)[..., 0]
    known = np.flatnonzero(~np.isnan(values[:, 0]))
    assert len(known) == sum(more)
    for row in {int(known[0]), int(known[-1]), *np.random.default_rng(seed).choice(known, 6).tolist()}:
        for column in range(2):
            expected = by_hand(bars, name, bar_length(bar), row, column)
            assert values[row, column] == pytest.approx(expected, abs=1e-8, rel=1e-8), (row, column)


@pytest.mark.parametrize(("bar", "phase", "rows"), [("2h", 1, 40), ("4h", 0, 41), ("6h", 5, 43), ("1d", 23, 90)])
def test_coarse_bars_are_those_of_pandas(bar, phase, rows):
    bars, length = clocked(random_walk(rows, seed=20), 3600, phase), bar_length(bar)
    _, coarse = complete_bars(Series.of(bars, slice(0, rows), 1), length, length // 3600)
    expected = whole_bars(bars, length, rows - 1, 1)
    assert [pd.Timestamp(int(stamp), unit="s", tz="UTC") for stamp in coarse.timestamps] == expected.index.tolist()
    for field in FIELDS:
        np.testing.assert_allclose(getattr(coarse, field), expected[field], rtol=1e-14, err_msg=field)


@settings(max_examples=20)
@given(phase=st.integers(0, 23), row=st.integers(530, 600), seed=st.integers(0, 2**32 - 1))
def test_a_bar_that_still_runs_changes_nothing_and_its_end_does(phase, row, seed):
    names = ("cci_20@2h", "volatility_6_24@4h", "relative_volume_24@6h", "cci_20@1d")
    bars = clocked(random_walk(640, seed=seed, assets=2, rough=False), 3600, phase)
    features = FeatureSet(names, 3600)
    values = features.compute(bars)
    for index, name in enumerate(names):
        multiple = bar_length(name.partition("@")[2]) // 3600
        begins = row + 1 - int(bars.timestamps[row] // 3600 + 1) % multiple
        other = features.compute(FUTURES["noise"].replace(bars, begins - 1, np.random.default_rng(seed)))
        ends = begins + multiple - 1
        assert begins - 1 <= row < ends
        np.testing.assert_array_equal(other[:ends, :, index], values[:ends, :, index], err_msg=name)
        if ends < len(bars):
            assert (other[ends, :, index] != values[ends, :, index]).all()
            assert (values[ends : ends + multiple, :, index] == values[ends, :, index]).all()


def batch_of(indicator: Indicator, bars: BarTable) -> tuple[np.ndarray, float]:
    columns = [indicator.compute(Series.of(bars, slice(0, len(bars)), column)) for column in range(len(bars.assets))]
    batch = np.stack(columns, axis=1)
    return batch, float(batch[indicator.warmup :].std())


@pytest.mark.parametrize("name", INDICATORS)
def test_stream_equals_batch_at_the_declared_warmup_in_every_phase(name):
    bars = random_walk(2_400, seed=21, assets=2)
    indicator = find_indicator(f"{name}@4h", 3600)
    batch, spread = batch_of(indicator, bars)
    rows = np.concatenate([np.arange(2_100, 2_104), np.arange(2_393, 2_400)])
    assert stream_error(indicator, bars, batch, rows, indicator.warmup) <= TOLERANCE * spread


@pytest.mark.parametrize("name", [*(f"{name}@4h" for name in WINDOWED), "cci_20@1d"])
def test_a_bar_less_is_too_short_in_the_worst_phase_and_in_no_other(name):
    bars = random_walk(1_000, seed=22, assets=2)
    indicator = find_indicator(name, 3600)
    batch, spread = batch_of(indicator, bars)
    multiple = bar_length(name.partition("@")[2]) // 3600
    errors = [stream_error(indicator, bars, batch, np.array([row]), indicator.warmup - 1) for row in range(950, 950 + multiple)]
    assert sum(error > TOLERANCE * spread for error in errors) == 1


def test_a_traders_bars_show_what_all_bars_do_at_every_hour_of_a_day():
    bars, features, lookback = random_walk(2_600, seed=23, rough=False), FeatureSet(SETS["multi_timeframe"], 3600), 5
    batch = features.compute(bars)
    spread = np.nanstd(batch, axis=(0, 1))
    for row in range(2_570, 2_594):
        window = features.compute(bars.rows(row + 1 - features.warmup - lookback, row + 1))[-lookback:]
        assert (np.abs(window - batch[row + 1 - lookback : row + 1]) / spread).max() <= TOLERANCE


def test_warmups_count_base_bars():
    warmups = {name: FeatureSet((name,), 3600).warmup for name in ("hour_sin@2h", "cci_20@4h", "return_1@4h", "rsi_14@1d")}
    assert warmups == {"hour_sin@2h": 2, "cci_20@4h": 82, "return_1@4h": 678, "rsi_14@1d": 12_142}
    assert FeatureSet(("cci_20@4h",), 900).warmup == 21 * 16 - 2
    assert FeatureSet(("return_24", "cci_20@4h"), 3600).warmup == 168


@pytest.mark.parametrize("bar", ["1h", "30m", "90m", "5h", "2d", "", "4H", "four", "4h@1d"])
def test_a_length_of_which_there_are_no_bars_is_refused_with_those_that_are(bar):
    with pytest.raises(InputError, match=rf"feature cci_20@{bar}: .* those of 1h bars are 2h, 3h, 4h, 6h, 8h, 12h, 1d$"):
        FeatureSet((f"cci_20@{bar}",), 3600)


def test_what_is_wrong_with_a_feature_on_coarser_bars_is_said():
    with pytest.raises(InputError, match=r"no feature 'rsi14@4h'; did you mean rsi_14"):
        FeatureSet(("rsi14@4h",), 3600)
    with pytest.raises(InputError, match=r"divides a day; there is none"):
        FeatureSet(("rsi_14@1d",), DAY)
    with pytest.raises(InputError, match=r"given twice: cci_20@4h"):
        FeatureSet(("cci_20@4h", "cci_20@4h"), 3600)
    bars = random_walk(200, seed=24)
    with pytest.raises(InputError, match=r"features are of bars of 900 s, the bars are of 3600 s"):
        FeatureSet(("cci_20@4h",), 900).compute(bars)
    off = dataclasses.replace(bars, timestamps=bars.timestamps + 1_800)
    with pytest.raises(
        InputError, match=r"opens at 2020-09-13 12:30:00Z; bars of 4h are made of bars that open at .* of 1h, UTC"
    ):
        FeatureSet(("cci_20@4h",), 3600).compute(off)
    assert np.isfinite(FeatureSet(("cci_20",), 3600).compute(off)[-1]).all()

"""What the trader computes from its last bars is what training computed from the whole history."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from walks import random_walk

from cappuccino.bars.table import FIELDS, BarTable, Origin
from cappuccino.features import INDICATORS, SETS, FeatureSet, check_features, valid_rows
from cappuccino.features.series import Series

DATA = pathlib.Path(__file__).parents[2] / "../shared/data/binance_1h"
TOLERANCE = 1e-9
"""Of the feature's standard deviation."""


def worst_stream_error(bars: BarTable, name: str, history: int, seed: int, ticks: int = 60) -> float:
    """Largest error at random ticks of the value from the last `history` + 1 bars, in standard deviations."""
    rng, compute, worst = np.random.default_rng(seed), INDICATORS[name].compute, 0.0
    for column in range(len(bars.assets)):
        batch = compute(Series.of(bars, slice(0, len(bars)), column))
        spread = batch[INDICATORS[name].warmup :].std()
        for t in rng.integers(history, len(bars), ticks):
            stream = compute(Series.of(bars, slice(int(t) - history, int(t) + 1), column))
            worst = max(worst, abs(stream[-1] - batch[t]) / spread)
    return worst


@pytest.mark.parametrize("name", tuple(INDICATORS))
@pytest.mark.parametrize("seed", [11, 12])
def test_stream_equals_batch_at_the_declared_warmup(name, seed):
    bars = random_walk(2_500, seed=seed, assets=3)
    worst = worst_stream_error(bars, name, INDICATORS[name].warmup, seed)
    assert worst <= TOLERANCE


@pytest.mark.parametrize("name", ["rsi_14", "dx_14", "adx_14", "macd", "macd_signal", "macd_histogram"])
def test_half_the_warmup_is_too_short_for_a_recursion(name):
    bars = random_walk(2_500, seed=13, assets=3)
    assert worst_stream_error(bars, name, INDICATORS[name].warmup // 2, 13) > TOLERANCE


@pytest.mark.parametrize("length", [100, 450, 700])
def test_stream_equals_batch_where_the_market_fell_flat_after_a_shock(length):
    rng = np.random.default_rng(14)
    moves = 0.01 * rng.standard_normal(1_900)
    moves[899] = 1.0
    moves[900 : 900 + length] = 0
    close = 20 * np.exp(np.cumsum(moves))[:, None]
    volume = np.where(moves == 0, 0.0, 5.0)[:, None]
    clock, seen = 3600 * np.arange(1_900), np.ones((1_900, 1), bool)
    origin = Origin("synthetic", "none", "USD")
    bars = BarTable(("C0",), 3600, clock, close, close, close, close, volume, seen, 0 * clock, origin)
    for name, indicator in INDICATORS.items():
        batch = indicator.compute(Series.of(bars, slice(0, 1_900), 0))
        spread = max(batch[indicator.warmup :].std(), 0.1)
        for t in range(901, 1_900, 17):
            stream = indicator.compute(Series.of(bars, slice(t - indicator.warmup, t + 1), 0))
            assert abs(stream[-1] - batch[t]) <= TOLERANCE * spread, (name, t)


def test_a_feature_set_of_the_last_bars_equals_the_batch_in_every_row():
    bars, features, lookback = random_walk(1_600, seed=15), FeatureSet(SETS["default"], 3600), 48
    batch = features.compute(bars)
    spread = np.nanstd(batch, axis=(0, 1))
    for t in (700, 1_111, 1_599):
        stream = features.compute(bars.rows(t + 1 - features.warmup - lookback, t + 1))
        assert np.isnan(stream[: features.warmup]).all()
        error = np.abs(stream[-lookback:] - batch[t + 1 - lookback : t + 1]) / spread
        assert error.max() <= TOLERANCE


def real_bars() -> BarTable:
    pd = pytest.importorskip("pandas")
    if not DATA.is_dir():
        pytest.skip("the shared real bars are not beside the repository")
    coins = ("BTC", "LTC", "UNI")
    tables = [pd.read_feather(DATA / f"{coin}_USDT-1h.feather").set_index("date") for coin in coins]
    hours = tables[0].index
    for table in tables[1:]:
        hours = hours.intersection(table.index)
    clock = hours.as_unit("s").asi8
    segment = np.cumsum(np.diff(clock, prepend=clock[0] - 3600) != 3600)
    fields = {name: np.stack([table.loc[hours, name].to_numpy() for table in tables], axis=1) for name in FIELDS}
    seen = np.ones((len(clock), len(coins)), bool)
    return BarTable(coins, 3600, clock, mask=seen, segment=segment, origin=Origin("files", "binance", "USDT"), **fields)


def test_real_bars_stream_as_they_were_trained_on_and_every_feature_says_something():
    bars, features = real_bars(), FeatureSet(tuple(INDICATORS), 3600)
    values, valid = features.compute(bars), valid_rows(bars, features.warmup)
    check_features(values, features.names, bars.assets, valid)
    spread = values[valid].std(axis=(0, 1))
    for t in np.random.default_rng(16).choice(np.flatnonzero(valid), 40):
        stream = features.compute(bars.rows(int(t) - features.warmup, int(t) + 1))[-1]
        assert (np.abs(stream - values[t]) / spread).max() <= TOLERANCE

"""What each indicator is, and what it must never do: look ahead, depend on units, or break in a flat market."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_indicators import SLOW
from walks import random_walk

from cappuccino.features import INDICATORS
from cappuccino.features.indicators import VOLUME_FLOOR
from cappuccino.features.series import Series, windowed_sum

NAMES = tuple(INDICATORS)
PRICES = ("open", "high", "low", "close")


def series_of(rows: int, seed: int, *, rough: bool = True, asset: int = 0) -> Series:
    return Series.of(random_walk(rows, seed=seed, rough=rough), slice(0, rows), asset)


def spread_of(name: str, values: np.ndarray) -> float:
    return float(values[INDICATORS[name].warmup :].std())


@pytest.mark.parametrize("name", NAMES)
def test_equals_its_definition_in_plain_loops(name):
    loop, *arguments = SLOW[name]
    for seed in (1, 2):
        series = series_of(1_300, seed)
        values = INDICATORS[name].compute(series)
        for t in range(700, 1_300, 23):
            assert values[t] == pytest.approx(loop(series, t, *arguments), abs=1e-8, rel=1e-8), t


def test_a_definition_exists_for_every_indicator():
    assert set(SLOW) == set(NAMES)


def test_talib_agrees_where_the_market_moves():
    series = series_of(900, 3, rough=False)
    logs = {name: np.log(getattr(series, name)) for name in PRICES}
    bars = (logs["high"], logs["low"], logs["close"])
    oracle = {
        "rsi_14": talib.RSI(logs["close"], 14) / 50 - 1,
        "dx_14": talib.DX(*bars, 14) / 100,
        "adx_14": talib.ADX(*bars, 14) / 100,
        "cci_20": talib.CCI(series.high, series.low, series.close, 20) / 100,
        "macd": talib.MACD(logs["close"])[0] / series.volatility,
        "macd_signal": talib.MACD(logs["close"])[1] / series.volatility,
        "macd_histogram": talib.MACD(logs["close"])[2] / series.volatility,
    }
    for name, expected in oracle.items():
        values = INDICATORS[name].compute(series)
        assert np.abs(values - expected)[600:].max() < 1e-9, name
    traditional = talib.RSI(series.close, 14) / 50 - 1
    assert np.corrcoef(traditional[600:], INDICATORS["rsi_14"].compute(series)[600:])[0, 1] > 0.999


def test_relative_volume_is_linear_in_log_volume():
    rng = np.random.default_rng(4)
    noise = 0.9 * rng.standard_normal(600)
    series = dataclasses.replace(series_of(600, 4, rough=False), volume=250 * np.exp(noise))
    values = INDICATORS["relative_volume_168"].compute(series)
    for t in (167, 300, 599):
        assert values[t] == pytest.approx(noise[t] - noise[t - 167 : t + 1].mean(), abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(520, 640), st.floats(0.01, 100))
@settings(max_examples=15, deadline=None)
def test_bars_after_t_change_nothing_up_to_t(seed, t, factor):
    series, other = series_of(700, seed), series_of(700, seed + 1)
    future = {name: getattr(series, name).copy() for name in (*PRICES, "volume")}
    for name in future:
        future[name][t + 1 :] = factor * getattr(other, name)[t + 1 :]
    changed = dataclasses.replace(series, **future)
    for name, indicator in INDICATORS.items():
        before, after = indicator.compute(series), indicator.compute(changed)
        np.testing.assert_array_equal(before[: t + 1], after[: t + 1], err_msg=name)


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
@settings(max_examples=15, deadline=None)
def test_units_of_price_and_volume_change_nothing(seed, price, volume):
    series = series_of(1_000, seed)
    scaled = {name: price * getattr(series, name) for name in PRICES}
    changed = dataclasses.replace(series, **scaled, volume=volume * series.volume)
    for name, indicator in INDICATORS.items():
        before, after = indicator.compute(series), indicator.compute(changed)
        error = np.abs(before - after)[indicator.warmup :].max()
        assert error <= 1e-9 * max(spread_of(name, before), 0.1), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("price", [1e-5, 1.1, 61_234.56])
def test_flat_market_without_volume_reads_zero(name, price):
    rows = 600
    level = np.full(rows, price)
    clock = 1_600_000_200 + 3600 * np.arange(rows)
    flat = Series(timestamps=clock, open=level, high=level, low=level, close=level, volume=np.zeros(rows))
    values = INDICATORS[name].compute(flat)[INDICATORS[name].warmup :]
    if name.startswith(("hour", "weekday")):
        assert np.abs(values).max() <= 1
    else:
        expected = VOLUME_FLOOR if name.startswith("relative_volume") else 0
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 24, 170, 700])
def test_flat_hours_amid_moves_stay_finite_and_bounded(name, length):
    whole = series_of(1_700, 5, rough=False)
    stop = 700 + length
    fields = {field: getattr(whole, field).copy() for field in (*PRICES, "volume")}
    for field in PRICES:
        fields[field][700:stop] = fields["close"][699]
    fields["volume"][700:stop] = 0
    values = INDICATORS[name].compute(dataclasses.replace(whole, **fields))[INDICATORS[name].warmup :]
    assert np.isfinite(values).all()
    assert np.abs(values).max() < 14


def test_rsi_of_a_market_that_stopped_fades_to_the_middle():
    whole = series_of(1_200, 6, rough=False)
    fields = {field: getattr(whole, field).copy() for field in PRICES}
    for field in PRICES:
        fields[field][700:] = fields["close"][699]
    values = INDICATORS["rsi_14"].compute(dataclasses.replace(whole, **fields))
    assert abs(values[699]) > 0.01
    assert abs(values[1_199]) < 1e-9


@given(st.integers(1, 400), st.integers(0, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_windowed_sum_is_the_sum_and_forgets_exactly(window, extra, seed):
    values = np.random.default_rng(seed).standard_normal(window + extra)
    sums = windowed_sum(values, window)
    assert np.isnan(sums[: window - 1]).all()
    for t in range(window - 1, len(values), 37):
        assert sums[t] == pytest.approx(values[t - window + 1 : t + 1].sum(), abs=1e-11)
    after_a_giant = windowed_sum(np.concatenate([[1e300], values]), window)
    np.testing.assert_array_equal(after_a_giant[window:], sums[window - 1 :])

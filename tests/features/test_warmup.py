"""A warm-up that is too short is seen, and the one that would do is found to the bar."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import talib
from walks import random_walk

from cappuccino.features.indicators import INDICATORS, Indicator, centred_rsi, scaled_return
from cappuccino.features.series import Series
from cappuccino.features.warmup import TOLERANCE, bars_before, needed_warmup, stream_error

BARS = random_walk(1_500, seed=1, assets=2, lengths=(600, 900), rough=False)
ROWS = np.arange(520, 1_480, 73)


def batch_of(indicator: Indicator) -> np.ndarray:
    """(T, A), each segment on its own."""
    values = np.full((len(BARS), 2), np.nan)
    for part in BARS.segment_slices():
        for column in range(2):
            values[part, column] = indicator.compute(Series.of(BARS, part, column))
    return values


def judged(indicator: Indicator) -> tuple[np.ndarray, np.ndarray, float]:
    """The batch, rows with enough bars before them, and the error that is allowed."""
    batch = batch_of(indicator)
    rows = ROWS[bars_before(BARS)[ROWS] > indicator.warmup]
    return batch, rows, TOLERANCE * float(np.nanstd(batch[504:600]))


def test_bars_before_counts_within_a_segment():
    np.testing.assert_array_equal(bars_before(BARS), np.concatenate([np.arange(600), np.arange(900)]))


@pytest.mark.parametrize("name", INDICATORS)
def test_shipped_indicators_agree_from_their_declared_warmup(name):
    batch, rows, allowed = judged(INDICATORS[name])
    assert stream_error(INDICATORS[name], BARS, batch, rows, INDICATORS[name].warmup) <= allowed


def test_the_error_of_a_recursion_is_what_its_start_is_still_worth():
    """An exponential average by hand: after n bars what came before weighs (1 - a)^n, and TA-Lib begins with a plain mean."""
    span, length = 9, 40
    indicator = Indicator("average", length, lambda series: talib.EMA(series.returns, span))
    batch = batch_of(indicator)
    row, a = 1_200, 2 / (span + 1)
    expected = []
    for column in range(2):
        returns = Series.of(BARS, slice(600, 1_500), column).returns[: row - 600 + 1]
        tail = np.concatenate([[0.0], returns[-length:]])  # the stream's first bar has no return
        value = tail[:span].mean()
        for x in tail[span:]:
            value += a * (x - value)
        expected.append(abs(value - batch[row, column]))
    assert stream_error(indicator, BARS, batch, np.array([row]), length) == pytest.approx(max(expected), rel=1e-9)


def test_the_warmup_that_a_recursion_needs_is_found_to_the_bar():
    indicator = Indicator("rsi_14", 60, partial(centred_rsi, window=14))
    batch, rows, allowed = judged(indicator)
    assert stream_error(indicator, BARS, batch, rows, 60) > allowed
    needed = needed_warmup(indicator, BARS, batch, rows, allowed)
    assert needed is not None
    assert 150 < needed < 300  # (1 - 1/14)^n = 1e-6 at n = 187
    with_bars = rows[bars_before(BARS)[rows] >= 2 * needed]
    assert stream_error(indicator, BARS, batch, with_bars, needed) <= allowed
    assert stream_error(indicator, BARS, batch, with_bars, needed - 1) > allowed


def test_a_window_that_does_not_fit_into_the_declared_bars_is_an_error_without_bound():
    indicator = Indicator("return_24", 20, partial(scaled_return, horizon=24))
    batch, rows, allowed = judged(indicator)
    assert stream_error(indicator, BARS, batch, rows, 20) == np.inf
    assert needed_warmup(indicator, BARS, batch, rows, allowed) == INDICATORS["return_24"].warmup


@pytest.mark.parametrize(
    "compute",
    [lambda series: np.cumsum(series.returns), lambda series: np.append(series.returns[1:], 0.0)],
    ids=["never forgets", "reads ahead"],
)
def test_where_no_warmup_is_enough_none_is_named(compute):
    indicator = Indicator("hopeless", 5, compute)
    batch, rows, allowed = judged(indicator)
    assert stream_error(indicator, BARS, batch, rows, 5) > allowed
    assert needed_warmup(indicator, BARS, batch, rows, allowed) is None

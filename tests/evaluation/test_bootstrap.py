"""The stationary bootstrap: how resamples are made, the block length, and intervals that cover what they say they do."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bootstrap import (
    active_growth,
    block_length,
    bootstrap_interval,
    draw_blocks,
    information_ratio,
    mean_log_growth,
    resampled_rows,
    sharpe_ratio,
)
from cappuccino.errors import InputError


def autoregressive(noise: np.ndarray, phi: float) -> np.ndarray:
    """An AR(1) process of this noise that starts at its first value."""
    series = noise.copy()
    for t in range(1, len(series)):
        series[t] += phi * series[t - 1]
    return series


def slow_long_run(series: np.ndarray) -> tuple[float, float]:
    """Long-run variance and sum of |k| R(k), term by term as Politis and White write them."""
    bars, mean = len(series), sum(series) / len(series)

    def covariance(lag: int) -> float:
        return sum((series[t] - mean) * (series[t + lag] - mean) for t in range(bars - lag)) / bars

    most = math.ceil(math.sqrt(bars)) + 5
    known = [covariance(lag) for lag in range(most + 1)]
    chance = 2 * math.sqrt(math.log10(bars) / bars)
    starts = [lag for lag in range(1, most - 3) if all(abs(known[lag + j] / known[0]) < chance for j in range(5))]
    last = min(2 * starts[0], most) if starts else most
    variance, moment = known[0], 0.0
    for lag in range(1, last + 1):
        window = 1 if lag <= last / 2 else 2 * (1 - lag / last)
        variance += 2 * window * known[lag]
        moment += 2 * window * lag * known[lag]
    return variance, moment


def slow_block_length(series: np.ndarray) -> float:
    bars = len(series)
    variance, moment = slow_long_run(series)
    best = (2 * moment**2 / (2 * variance**2)) ** (1 / 3) * bars ** (1 / 3)
    return max(1.0, min(best, math.ceil(min(3 * math.sqrt(bars), bars / 3))))


@given(st.integers(0, 2**32 - 1), st.integers(20, 400), st.sampled_from([-0.5, 0.0, 0.3, 0.9]))
@settings(max_examples=60)
def test_block_length_equals_a_plain_loop(seed, bars, phi):
    series = autoregressive(np.random.default_rng(seed).standard_normal(bars), phi)
    assert block_length(series) == pytest.approx(slow_block_length(series), rel=1e-9)


@pytest.mark.parametrize(
    ("bars", "phi", "expected"),
    [
        (700, -0.4, 7.962481946318688),
        (700, 0.2, 5.571821994439076),
        (700, 0.6, 12.125643028757562),
        (700, 0.9, 17.929864800904905),
        (5000, -0.4, 18.750291685967568),
        (5000, 0.2, 8.698276184516219),
        (5000, 0.6, 25.678485390264214),
        (5000, 0.9, 52.28858035406108),
    ],
)
def test_block_length_equals_that_of_arch(bars, phi, expected):
    """`arch.bootstrap.optimal_block_length` of arch 8.0.0, on noise that needs no random numbers.

    Its autocorrelations are divided by other sums than R(0), so that in short series another lag may be the last that counts.
    """
    series = autoregressive(np.sin(np.arange(bars) ** 2.0), phi)
    assert block_length(series) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("phi", [-0.3, 0.2, 0.5])
def test_block_length_of_a_long_series_is_near_the_best_of_its_process(phi):
    """|G / g|^(2/3) N^(1/3) with G = 2 phi / (1 - phi)^2 and g = (1 + phi) / (1 - phi) for a variance of 1."""
    rng = np.random.default_rng(2)
    found = [block_length(autoregressive(rng.standard_normal(20_000), phi)) for _ in range(9)]
    best = abs(2 * phi / (1 - phi) ** 2 / ((1 + phi) / (1 - phi))) ** (2 / 3) * 20_000 ** (1 / 3)
    assert np.median(found) == pytest.approx(best, rel=0.15)


@given(st.integers(0, 2**32 - 1), st.integers(20, 500), st.floats(-10, 10), st.sampled_from([-3.0, 0.01, 100.0]))
def test_level_and_scale_do_not_change_the_block_length(seed, bars, level, scale):
    series = np.random.default_rng(seed).standard_normal(bars)
    assert block_length(level + scale * series) == pytest.approx(block_length(series), rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.floats(1, 400), st.integers(1, 20))
def test_rows_are_the_blocks_one_after_another_around_the_end(seed, bars, block, draws):
    rows = resampled_rows(bars, block, draws, rng=np.random.default_rng(seed))
    start, length = draw_blocks(bars, block, draws, rng=np.random.default_rng(seed))
    expected = [
        [(first + k) % bars for first, number in zip(*one, strict=True) for k in range(number)]
        for one in zip(start.tolist(), length.tolist(), strict=True)
    ]
    assert rows.tolist() == expected
    assert rows.shape == (draws, bars)


def test_rows_are_even_over_the_bars_and_blocks_as_long_as_asked_for():
    """A row follows on the one before with probability 1 - 1 / block + 1 / (block N), wherever in the resample."""
    rows = resampled_rows(50, 8.0, 20_000, rng=np.random.default_rng(3))
    counts = np.bincount(rows.ravel(), minlength=50)
    assert np.abs(counts / counts.mean() - 1).max() < 0.03
    follows = (np.diff(rows, axis=1) % 50 == 1).mean(axis=0)
    assert np.abs(follows - (1 - 1 / 8 + 1 / 400)).max() < 0.012


def test_blocks_of_one_bar_are_the_ordinary_bootstrap():
    start, length = draw_blocks(100, 1.0, 3, rng=np.random.default_rng(0))
    assert (length[:, :100] == 1).all()
    assert not length[:, 100:].any()
    assert len(np.unique(start)) > 50


def slow_interval(returns: np.ndarray, draws: int, seed: int, confidence: float) -> tuple[float, float]:
    """The studentised interval of a Sharpe ratio, resample by resample, with influences written out.

    A resample of a single block has no standard error and lies beyond both ends.
    """
    bars = len(returns)

    def sharpe(some: np.ndarray) -> float:
        return float(some.mean() / some.std(ddof=1))

    def influence(some: np.ndarray) -> np.ndarray:
        score = (some - some.mean()) / some.std()
        return math.sqrt((bars - 1) / bars) * (score - some.mean() / some.std() / 2 * (score**2 - 1))

    own = influence(returns)
    start, length = draw_blocks(bars, block_length(own), draws, rng=np.random.default_rng(seed))
    ratios, apart, unknown = [], [], 0
    for first, number in zip(start.tolist(), length.tolist(), strict=True):
        rows = [(a + k) % bars for a, n in zip(first, number, strict=True) for k in range(n)]
        scores, ends = influence(returns[rows]), np.cumsum([0, *number])
        square = sum(scores[a:b].sum() ** 2 for a, b in itertools.pairwise(ends))
        ratios.append(sharpe(returns[rows]))
        if np.count_nonzero(number) == 1:
            unknown += 1
        else:
            apart.append((ratios[-1] - sharpe(returns)) / (math.sqrt(square) / bars))
    error = max(math.sqrt(max(slow_long_run(own)[0], 0) / bars), float(np.std(ratios)))
    apart.sort()
    cut = (1 - confidence) / 2 * (draws - 1)
    above, below = [*apart, *[math.inf] * unknown], [*[-math.inf] * unknown, *apart]
    return sharpe(returns) - above[math.ceil(draws - 1 - cut)] * error, sharpe(returns) - below[math.floor(cut)] * error


@given(st.integers(0, 2**32 - 1), st.integers(60, 200), st.sampled_from([-0.3, 0.0, 0.4]))
@settings(max_examples=12)
def test_interval_equals_a_plain_loop(seed, bars, phi):
    returns = 0.01 * (autoregressive(np.random.default_rng(seed).standard_normal(bars), phi) + 0.1)
    found = bootstrap_interval(returns, sharpe_ratio, rng=np.random.default_rng(seed), draws=64, confidence=0.9)
    assert found.estimate == pytest.approx(returns.mean() / returns.std(ddof=1), rel=1e-9)
    assert (found.low, found.high) == pytest.approx(slow_interval(returns, 64, seed, 0.9), rel=1e-6)


def covered(phi: float, sharpe: float, bars: int, draws: int, seed: int) -> float:
    """Share of the 95 % intervals, each of an AR(1) process of its own, that hold its Sharpe ratio per bar."""
    hits = 0
    for k in range(draws):
        rng = np.random.default_rng([seed, k])
        noise = math.sqrt(1 - phi**2) * rng.standard_normal(bars)
        noise[0] = rng.standard_normal()
        found = bootstrap_interval(0.01 * (autoregressive(noise, phi) + sharpe), sharpe_ratio, rng=rng, draws=500)
        hits += found.low <= sharpe <= found.high
    return hits / draws


@pytest.mark.parametrize(("phi", "sharpe"), [(0.2, 0.05), (0.3, 0.1)])
def test_95_percent_intervals_of_an_autocorrelated_sharpe_ratio_cover_it(phi, sharpe):
    assert 0.92 <= covered(phi, sharpe, 1000, 300, seed=0) <= 0.98


def test_intervals_of_growth_cover_the_mean():
    """Log growth is an AR(1) process, alone and beyond a benchmark that is one, too."""
    alone, active = 0, 0
    for k in range(150):
        rng = np.random.default_rng([7, k])
        growth, other = (0.01 * autoregressive(rng.standard_normal(800), 0.2) + drift for drift in (0.001, 0.0))
        both = np.expm1(np.stack([growth, other], axis=1))
        low, high = bootstrap_interval(both[:, 0], mean_log_growth, rng=rng, draws=400)[1:3]
        alone += low <= 0.001 <= high
        low, high = bootstrap_interval(both, active_growth, rng=rng, draws=400)[1:3]
        active += low <= 0.001 <= high
    assert 0.89 <= alone / 150 <= 0.99
    assert 0.89 <= active / 150 <= 0.99


def test_the_deviation_is_that_of_sums_of_many_bars():
    """Of AR(1) terms with phi 0.8 the sum of n strays by sqrt(n) / (1 - 0.8), five times as far as of terms by themselves."""
    growth = 0.001 * autoregressive(np.random.default_rng(5).standard_normal(40_000), 0.8)
    found = bootstrap_interval(np.expm1(growth), mean_log_growth, rng=np.random.default_rng(0), draws=400)
    assert found.deviation == pytest.approx(0.005, rel=0.15)
    sums = growth.reshape(-1, 400).sum(axis=1)
    assert sums.std() == pytest.approx(found.deviation * 20, rel=0.25)


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_losses_mirrored_and_other_scales_give_the_same_interval(seed, scale):
    returns = 0.01 * np.random.default_rng(seed).standard_t(4, 120) + 0.001

    def interval(some: np.ndarray) -> tuple[float, ...]:
        return bootstrap_interval(some, sharpe_ratio, rng=np.random.default_rng(1), draws=100)[:3]

    estimate, low, high = interval(returns)
    assert low < estimate < high
    assert interval(scale * returns) == pytest.approx((estimate, low, high), rel=1e-6)
    assert interval(-returns) == pytest.approx((-estimate, -high, -low), rel=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_what_moves_agent_and_benchmark_alike_does_not_matter(seed):
    """Columns are resampled together: a market common to both leaves the active growth's interval as it is."""
    rng = np.random.default_rng(seed)
    both = 0.01 * rng.standard_normal((200, 2))
    market = np.exp(0.1 * rng.standard_normal((200, 1)))
    alone, moved = (
        bootstrap_interval(some, active_growth, rng=np.random.default_rng(2), draws=100)
        for some in (both, (1 + both) * market - 1)
    )
    assert tuple(alone) == pytest.approx(tuple(moved), rel=1e-6, abs=1e-12)
    ratio = bootstrap_interval(both, information_ratio, rng=np.random.default_rng(2), draws=100)
    assert ratio == bootstrap_interval(both[:, 0] - both[:, 1], sharpe_ratio, rng=np.random.default_rng(2), draws=100)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_more_confidence_is_a_wider_interval(seed):
    returns = np.random.default_rng(seed).standard_normal(100)
    wide, narrow = (
        bootstrap_interval(returns, sharpe_ratio, rng=np.random.default_rng(3), draws=200, confidence=level)
        for level in (0.95, 0.7)
    )
    assert wide.low <= narrow.low <= narrow.estimate <= narrow.high <= wide.high


def test_returns_of_a_few_bars_only_have_no_ends():
    """One trade in 400 bars: every third resample has none, and no Sharpe ratio."""
    returns = np.zeros(400)
    returns[200] = 0.01
    found = bootstrap_interval(returns, sharpe_ratio, rng=np.random.default_rng(4))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.estimate == pytest.approx(1 / 20)


def test_thirty_thousand_bars_take_bounded_memory():
    returns = 0.01 * np.random.default_rng(5).standard_normal((30_000, 2))
    tracemalloc.start()
    bootstrap_interval(returns, active_growth, rng=np.random.default_rng(6), draws=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64e6


def test_bad_input_is_said_in_a_line():
    rng = np.random.default_rng(0)
    good = 0.01 * rng.standard_normal(100)
    holed = good.copy()
    holed[7] = math.nan
    both = np.stack([good, 2 * good], axis=1)
    both[3, 1] = math.inf
    for ask, said in (
        (lambda: block_length(good[:19]), "number of returns is 19; .* at least 20"),
        (lambda: block_length(np.full(50, 0.1)), "all 50 values are 0.1; a block length takes values that vary"),
        (lambda: block_length(holed), "return 7 is nan; returns must be finite"),
        (lambda: bootstrap_interval(good[:5], sharpe_ratio, rng=rng), "number of returns is 5"),
        (lambda: bootstrap_interval(both, active_growth, rng=rng), "return 3 is inf"),
        (lambda: bootstrap_interval(np.full(50, 0.01), sharpe_ratio, rng=rng), "all 50 values are 0.01; a Sharpe ratio takes"),
        (lambda: bootstrap_interval(np.stack([good, good], 1), active_growth, rng=rng), "all 100 values are 0; .* vary"),
        (
            lambda: bootstrap_interval(good - 1, mean_log_growth, rng=rng),
            r"return \d+ is -1.*; log growth takes returns above -1",
        ),
        (
            lambda: bootstrap_interval(good, sharpe_ratio, rng=rng, draws=39),
            "draws is 39; a confidence of 0.95 takes at least 40",
        ),
        (lambda: bootstrap_interval(good, sharpe_ratio, rng=rng, confidence=1.0), "confidence is 1.0; it must be above 0"),
    ):
        with pytest.raises(InputError, match=said) as error:
            ask()
        assert "\n" not in str(error.value)

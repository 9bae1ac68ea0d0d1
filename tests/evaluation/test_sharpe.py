"""Significance of Sharpe ratios: the definitions, what must not matter, and what luck alone may show."""

from __future__ import annotations

import fractions
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cappuccino.errors import InputError
from cappuccino.evaluation.sharpe import (
    deflated_sharpe,
    expected_maximum_sharpe,
    minimum_track_record,
    moments_of,
    probabilistic_sharpe,
)

NORMAL = statistics.NormalDist()
RETURNS = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(8, 300), st.floats(-0.5, 0.5), st.sampled_from(["normal", "fat", "skewed"])
)
"""Seed, number, drift in standard deviations, and shape of the returns of `made_returns`."""


def made_returns(made: tuple[int, int, float, str]) -> np.ndarray:
    seed, bars, drift, shape = made
    rng = np.random.default_rng(seed)
    drawn = {
        "normal": rng.normal,
        "fat": lambda size: rng.standard_t(3, size),
        "skewed": lambda size: rng.gamma(1, 1, size) - 1,
    }
    return 0.01 * (drawn[shape](size=bars) + drift)


def exact_psr(returns: list[float], benchmark: float) -> float:
    """From the definition, in fractions but for the roots."""
    exact = [fractions.Fraction(one) for one in returns]
    mean = sum(exact) / len(exact)
    moment = [sum((one - mean) ** power for one in exact) / len(exact) for power in range(5)]
    sharpe = float(mean) / math.sqrt(moment[2] * len(exact) / (len(exact) - 1))
    skew, kurtosis = float(moment[3]) / math.sqrt(moment[2]) ** 3, float(moment[4] / moment[2] ** 2)
    error = math.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe * sharpe) / (len(exact) - 1))
    return NORMAL.cdf((sharpe - benchmark) / error)


def psr(returns: np.ndarray, benchmark: float) -> float:
    sharpe, bars, skew, kurtosis = moments_of(returns)
    return probabilistic_sharpe(sharpe, benchmark, bars, skew, kurtosis)


@given(RETURNS, st.floats(-0.3, 0.3))
def test_psr_is_its_definition(made, benchmark):
    returns = made_returns(made)
    assert psr(returns, benchmark) == pytest.approx(exact_psr(returns.tolist(), benchmark), abs=1e-9)


def test_psr_of_the_paper():
    """Bailey and Lopez de Prado 2014, their example: 2.5 a year over 1,250 days, 46 and 100 trials."""
    sharpe, variance = 2.5 / math.sqrt(250), 0.5 / 250
    for trials, expected in ((46, 0.9505), (100, 0.9004)):
        quantiles = [NORMAL.inv_cdf(1 - 1 / trials), NORMAL.inv_cdf(1 - 1 / trials / math.e)]
        best = math.sqrt(variance) * ((1 - np.euler_gamma) * quantiles[0] + np.euler_gamma * quantiles[1])
        assert probabilistic_sharpe(sharpe, best, 1250, -3.0, 10.0) == pytest.approx(expected, abs=5e-4)


@given(RETURNS, st.floats(1e-3, 1e3))
def test_scale_of_returns_does_not_matter(made, scale):
    returns = made_returns(made)
    assert psr(scale * returns, 0.0) == pytest.approx(psr(returns, 0.0), abs=1e-9)


@given(RETURNS, st.integers(2, 5))
def test_a_longer_record_of_the_same_moments_is_surer(made, times):
    sharpe, bars, skew, kurtosis = moments_of(made_returns(made))
    short, long = (probabilistic_sharpe(sharpe, 0.0, n, skew, kurtosis) for n in (bars, bars * times))
    assert abs(long - 0.5) >= abs(short - 0.5)
    assert (long >= 0.5) == (short >= 0.5) == (sharpe >= 0)


@given(RETURNS, st.floats(-0.3, 0.3), st.floats(0, 0.3))
def test_a_higher_benchmark_is_less_probably_beaten(made, benchmark, more):
    returns = made_returns(made)
    assert psr(returns, benchmark + more) <= psr(returns, benchmark)
    assert 0 <= psr(returns, benchmark) <= 1


@given(RETURNS, st.floats(-0.1, 0.1))
def test_gains_mirrored_are_losses(made, benchmark):
    returns = made_returns(made)
    assert psr(-returns, -benchmark) == pytest.approx(1 - psr(returns, benchmark), abs=1e-9)


@given(RETURNS, st.floats(0.6, 0.99))
def test_minimum_track_record_is_where_psr_reaches_the_confidence(made, confidence):
    sharpe, _, skew, kurtosis = moments_of(made_returns(made))
    assume(sharpe > 0.01)
    bars = minimum_track_record(sharpe, 0.0, skew, kurtosis, confidence)
    assert probabilistic_sharpe(sharpe, 0.0, max(2, math.ceil(bars)), skew, kurtosis) >= confidence - 1e-12
    if bars > 3:
        assert probabilistic_sharpe(sharpe, 0.0, math.ceil(bars) - 1, skew, kurtosis) < confidence + 1e-12


def test_no_record_is_long_enough_for_what_is_not_there():
    assert minimum_track_record(0.1, 0.1, 0.0, 3.0) == math.inf
    assert minimum_track_record(-0.1, 0.0, 0.0, 3.0) == math.inf


@pytest.mark.parametrize("trials", [2, 10, 1000])
def test_expected_maximum_is_about_the_mean_of_drawn_maxima(trials):
    """In standard deviations; the formula is an approximation, and low by a few hundredths for few trials."""
    rng = np.random.default_rng(7)
    scores = np.array([NORMAL.inv_cdf((k + 0.5) / trials) for k in range(trials)])
    drawn = rng.standard_normal((4000, trials)).max(axis=1).mean()
    assert expected_maximum_sharpe(scores) / scores.std(ddof=1) == pytest.approx(drawn, abs=0.06)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50), st.floats(-5, 5), st.floats(0, 10))
def test_expected_maximum_has_the_unit_of_the_ratios_and_ignores_their_level(sharpes, shift, scale):
    array = np.array(sharpes)
    found = expected_maximum_sharpe(array)
    assert found >= 0
    assert expected_maximum_sharpe(array + shift) == pytest.approx(found, abs=1e-9)
    assert expected_maximum_sharpe(array * scale) == pytest.approx(found * scale, abs=1e-9)


@given(RETURNS, st.lists(st.floats(-0.3, 0.3), min_size=2, max_size=40))
def test_deflation_only_takes_away(made, sharpes):
    found, returns = moments_of(made_returns(made)), made_returns(made)
    assert deflated_sharpe(*found, np.array(sharpes)) <= psr(returns, 0.0)
    same = np.full(len(sharpes), 0.1)
    assert deflated_sharpe(*found, same) == pytest.approx(psr(returns, 0.0), abs=1e-9)


def test_luck_is_called_luck():
    """The best of 50 strategies without an edge: over 400 draws, the deflated ratio convinces in 5 % at most."""
    rng = np.random.default_rng(20)
    deflated, plain = 0, 0
    for _ in range(400):
        trials = rng.standard_t(5, (50, 250)) * 0.01
        sharpes = trials.mean(axis=1) / trials.std(axis=1, ddof=1)
        best = trials[sharpes.argmax()]
        deflated += deflated_sharpe(*moments_of(best), sharpes) > 0.95
        plain += psr(best, 0.0) > 0.95
    assert deflated <= 0.05 * 400
    assert plain > 0.8 * 400


def test_an_edge_is_not_called_luck():
    rng = np.random.default_rng(21)
    trials = rng.normal(0, 0.01, (50, 2000))
    trials[3] += 0.002
    sharpes = trials.mean(axis=1) / trials.std(axis=1, ddof=1)
    assert sharpes.argmax() == 3
    assert deflated_sharpe(*moments_of(trials[3]), sharpes) > 0.95


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30))
def test_real_returns_have_no_negative_variance_under_the_root(returns):
    """A kurtosis is at least the square of the skew, plus one."""
    array = np.array(returns)
    assume(array.std() > 1e-3)
    sharpe, bars, skew, kurtosis = moments_of(array)
    assume(abs(1 - skew * sharpe / 2) > 1e-3)
    assert 0 <= probabilistic_sharpe(sharpe, 0.0, bars, skew, kurtosis) <= 1


@pytest.mark.parametrize(("skew", "kurtosis"), [(2.0, 5.0), (3.0, 3.0)])
def test_no_variance_under_the_root_is_an_error(skew, kurtosis):
    for ask in (
        lambda: probabilistic_sharpe(1.0, 0.0, 100, skew, kurtosis),
        lambda: minimum_track_record(1.0, 0.0, skew, kurtosis),
        lambda: minimum_track_record(1.0, 2.0, skew, kurtosis),
        lambda: deflated_sharpe(1.0, 100, skew, kurtosis, np.array([0.1, 0.2])),
    ):
        with pytest.raises(InputError, match=r"variance of .*; it must be above zero"):
            ask()


def test_bad_input_is_said_in_a_line():
    for ask, said in (
        (lambda: moments_of(np.array([0.1])), "number of bars is 1; .* at least 2"),
        (lambda: moments_of(np.full(9, 0.1)), "all 9 returns are 0.1; .* vary"),
        (lambda: moments_of(np.array([0.1, math.nan, 0.2])), "return 1 is nan"),
        (lambda: probabilistic_sharpe(0.1, 0.0, 1, 0.0, 3.0), "number of bars is 1"),
        (lambda: probabilistic_sharpe(math.nan, 0.0, 10, 0.0, 3.0), "sharpe is nan"),
        (lambda: probabilistic_sharpe(0.1, math.inf, 10, 0.0, 3.0), "benchmark is inf"),
        (lambda: expected_maximum_sharpe(np.array([0.1])), "number of trials is 1; .* at least 2"),
        (lambda: expected_maximum_sharpe(np.array([0.1, math.nan])), "trial 1 is nan"),
        (lambda: minimum_track_record(0.1, 0.0, 0.0, 3.0, 1.0), "confidence is 1.0"),
        (lambda: minimum_track_record(0.1, 0.0, 0.0, 3.0, 0.4), "confidence is 0.4"),
    ):
        with pytest.raises(InputError, match=said) as error:
            ask()
        assert "\n" not in str(error.value)

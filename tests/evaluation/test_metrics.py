"""Metrics: worked by hand on small paths, and equal to plain loops on random ones."""

from __future__ import annotations

import math

import empyrical
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, made_market, made_params, made_path

from cappuccino.evaluation.backtest import backtest_span, span_rows, table_strategy
from cappuccino.evaluation.metrics import (
    METRICS,
    Benchmarks,
    bars_a_year,
    deviation,
    hedged,
    lower_bound,
    max_drawdown,
    measure,
    monthly_returns,
    ratio,
    ratio_lower_bound,
    return_figures,
)
from cappuccino.evaluation.splits import Span

EVERYTHING = set(METRICS)
INTERVAL = {"sharpe_low", "sharpe_high"}
RELATIVE = {f"{name}{suffix}" for name in ("information_ratio", "alpha", "beta") for suffix in ("", "_held")}


def test_bars_a_year_are_those_of_365_days():
    assert [bars_a_year(seconds) for seconds in (3600, 300, 86_400)] == [8_760, 105_120, 365]


def test_figures_worked_by_hand():
    """Three daily bars: +10 %, -50 %, +20 %."""
    path = made_path(
        [100, 110, 55, 66],
        notional=np.array([50.0, 55.0, 0.0]),
        fees=np.array([1.0, 2.2, 0.0]),
        slippage=np.array([0.5, 0.0, 0.0]),
        refused=np.array([0.0, 2.0, 1.0]),
        weights=np.array([[0.0], [0.5], [0.7], [0.9]]),
    )
    got = measure(path, None)
    year = 365.0
    mean, deviation = -0.2 / 3, math.sqrt(((0.1 + 0.2 / 3) ** 2 + (-0.5 + 0.2 / 3) ** 2 + (0.2 + 0.2 / 3) ** 2) / 2)
    cagr = 0.66 ** (year / 3) - 1
    expected = {
        "total_return": -0.34,
        "cagr": cagr,
        "volatility": deviation * math.sqrt(year),
        "sharpe": mean / deviation * math.sqrt(year),
        "sortino": mean / math.sqrt(0.25 / 3) * math.sqrt(year),
        "calmar": cagr / 0.5,
        "max_drawdown": 0.5,
        "max_drawdown_bars": 2,
        "cvar_95": -0.5,
        "omega": 0.3 / 0.5,
        "tail_ratio": (0.1 + 0.9 * 0.1) / (0.5 - 0.1 * 0.6),
        "break_even_fee": (math.log(0.66) + 0.03) / 1.0,
        "hit_rate": 2 / 3,
        "exposure": 0.7,
        "turnover": (0.5 + 0.5) * year / 3,
        "fees_paid": 0.01 + 0.02,
        "slippage_paid": 0.005,
        "refused_orders": 3,
        "mean_log_growth": math.log(0.66) / 3,
    }
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-12), name
    assert {name for name, value in got.items() if value is None} == {*RELATIVE, *INTERVAL}


@pytest.mark.parametrize(
    ("equity", "depth", "bars"),
    [
        ([1, 2, 3], 0, 0),
        ([2, 1, 2], 0.5, 2),
        ([2, 2, 1, 1.5], 0.5, 2),
        ([4, 3, 4, 5, 3, 4, 4.5, 6, 5.5], 0.4, 4),
        ([4, 2, 3, 1, 2], 0.75, 4),
    ],
)
def test_drawdown_lasts_from_the_peak_until_it_is_regained(equity, depth, bars):
    assert max_drawdown(np.array(equity, float)) == (pytest.approx(depth), bars)


@given(
    st.lists(st.floats(-0.3, 0.4), min_size=3, max_size=60),
    st.sampled_from([300, 3600, 86_400]),
    st.integers(0, 2**32 - 1),
)
def test_figures_equal_plain_loops(moves, bar_seconds, seed):
    rng = np.random.default_rng(seed)
    moves = [round(move, 3) + 0.001 * k for k, move in enumerate(moves)]
    other = (rng.normal(0, 0.05, len(moves))).tolist()
    paths = []
    for series in (moves, other):
        equity = [50.0]
        for move in series:
            equity.append(equity[-1] * (1 + move))
        paths.append(made_path(equity, bar_seconds=bar_seconds))
    got = measure(paths[0], Benchmarks(paths[1], paths[0]))

    n, year = len(moves), 365 * 86_400 / bar_seconds
    mean, base = sum(moves) / n, sum(other) / n
    second, third, fourth = (sum((move - mean) ** k for move in moves) / n for k in (2, 3, 4))
    deviation = math.sqrt(second * n / (n - 1))
    covariance = sum((a - mean) * (b - base) for a, b in zip(moves, other, strict=True)) / (n - 1)
    beta = covariance / (sum((b - base) ** 2 for b in other) / (n - 1))
    active = [a - b for a, b in zip(moves, other, strict=True)]
    active_mean = sum(active) / n
    active_deviation = math.sqrt(sum((x - active_mean) ** 2 for x in active) / (n - 1))
    expected = {
        "volatility": deviation * math.sqrt(year),
        "sharpe": mean / deviation * math.sqrt(year),
        "skew": third / second**1.5,
        "kurtosis": fourth / second**2,
        "information_ratio": active_mean / active_deviation * math.sqrt(year),
        "beta": beta,
        "alpha": (mean - beta * base) * year,
        "cvar_95": sum(sorted(moves)[: math.ceil(n / 20)]) / math.ceil(n / 20),
    }
    losses = [move for move in moves if move < 0]
    if losses:
        expected["sortino"] = mean / math.sqrt(sum(move**2 for move in losses) / n) * math.sqrt(year)
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


@given(st.integers(0, 2**32 - 1), st.integers(40, 3000), st.sampled_from([3600, 86_400]), st.sampled_from(["normal", "fat"]))
@settings(max_examples=40)
def test_figures_equal_those_of_empyrical(seed, bars, bar_seconds, shape):
    """Where the definitions agree. Its alpha compounds that of a bar over the year, its information ratio is that of a bar."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_t(3, (3, bars)) if shape == "fat" else rng.standard_normal((3, bars))
    moves = np.clip(0.001 + 0.01 * drawn, -0.5, 0.5)
    moves[1:] += 0.5 * moves[0]
    path, equal, held = (made_path(np.cumprod([50.0, *(1 + one)]), bar_seconds=bar_seconds) for one in moves)
    got = measure(path, Benchmarks(equal, held))
    year = 365 * 86_400 // bar_seconds
    returns, others = pd.Series(path.returns), {"": pd.Series(equal.returns), "_held": pd.Series(held.returns)}
    expected = {
        "total_return": empyrical.cum_returns_final(returns),
        "cagr": empyrical.cagr(returns, annualization=year),
        "volatility": empyrical.annual_volatility(returns, annualization=year),
        "sharpe": empyrical.sharpe_ratio(returns, annualization=year),
        "sortino": empyrical.sortino_ratio(returns, annualization=year),
        "calmar": empyrical.calmar_ratio(returns, annualization=year),
        "max_drawdown": -empyrical.max_drawdown(returns),
        "cvar_95": empyrical.conditional_value_at_risk(returns, 0.05),
        "omega": empyrical.omega_ratio(returns),
        "tail_ratio": empyrical.tail_ratio(returns),
    }
    for suffix, other in others.items():
        expected[f"beta{suffix}"] = empyrical.beta(returns, other)
        expected[f"information_ratio{suffix}"] = empyrical.excess_sharpe(returns, other) * math.sqrt(year)
        expected[f"alpha{suffix}"] = empyrical.alpha(returns, other, annualization=1) * year
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def slow_lo(returns: list[float], periods: float) -> float:
    """Lo 2002 in a plain loop over the lags that are used."""
    count, mean = len(returns), sum(returns) / len(returns)
    square = sum((one - mean) ** 2 for one in returns)
    lags = math.floor(4 * (count / 100) ** (2 / 9))
    total = periods
    for k in range(1, lags + 1):
        if k < periods and k < count:
            product = sum((returns[t] - mean) * (returns[t - k] - mean) for t in range(k, count))
            total += 2 * (periods - k) * (1 - k / (min(lags, count - 1, math.ceil(periods) - 1) + 1)) * product / square
    return mean / math.sqrt(square / (count - 1)) * periods / math.sqrt(total)


@given(st.integers(0, 2**32 - 1), st.integers(3, 400), st.sampled_from([2.0, 12.0, 52.14, 365.0, 8760.0]))
def test_lo_corrected_sharpe_is_its_definition(seed, bars, periods):
    returns = (0.01 * np.random.default_rng(seed).standard_normal(bars) + 0.001).cumsum() / 10
    assert return_figures(returns, periods)["sharpe_lo"] == pytest.approx(slow_lo(returns.tolist(), periods), rel=1e-9)


@pytest.mark.parametrize("phi", [-0.3, 0.0, 0.2])
def test_lo_correction_takes_off_what_autocorrelation_adds(phi):
    """A year of an AR(1) process varies by (1 + phi) / (1 - phi) times what its bars one by one would make it."""
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(100_000)
    returns = np.empty_like(noise)
    returns[0] = noise[0]
    for t in range(1, len(noise)):
        returns[t] = phi * returns[t - 1] + noise[t]
    figures = return_figures(0.01 * returns + 0.001, 365.0)
    assert figures["sharpe_lo"] / figures["sharpe"] == pytest.approx(math.sqrt((1 - phi) / (1 + phi)), rel=0.03)


@pytest.mark.parametrize("fee", [0.0, 0.0005, 0.004])
def test_at_its_break_even_fee_a_path_ends_near_where_it_began(fee):
    """The trades of a table of weights do not depend on the fee. What is left is of second order, and all costs weigh the same."""
    market, spec = made_market((900,), seed=12)
    span = Span("all", 0, 900)
    rows = span_rows(spec, span, LOOKBACK)
    seen = np.asarray(market.close)[rows + 1] > np.asarray(market.close)[rows] * 1.01
    targets = np.where(seen, 0.3, 0.1 / 3).astype(np.float32)

    def run(fee: float):
        return backtest_span(table_strategy(targets), market, spec, span, LOOKBACK, made_params(fee=fee, min_notional=0.01))

    path = run(fee)
    even = measure(path, None)["break_even_fee"]
    assert even > 0.002
    left, gross = math.log(run(even).equity[-1] / 10_000), math.log(run(0.0).equity[-1] / 10_000)
    assert abs(left) < 0.03 * gross
    assert measure(run(even), None)["break_even_fee"] == pytest.approx(even, rel=0.03)


def test_every_figure_is_a_finite_number_or_none():
    flat, one, none = made_path([100, 100, 100]), made_path([100, 150]), made_path([100])
    for path in (flat, one, none):
        figures = measure(path, Benchmarks(path, path))
        assert set(figures) == EVERYTHING
        assert all(value is None or math.isfinite(value) for value in figures.values())
    undefined = {
        "sharpe",
        "sharpe_lo",
        "sortino",
        "calmar",
        "omega",
        "tail_ratio",
        "hit_rate",
        "skew",
        "kurtosis",
        "break_even_fee",
    }
    figures = measure(flat, Benchmarks(flat, flat))
    assert {name for name, value in figures.items() if value is None} == {*undefined, *RELATIVE, *INTERVAL}
    figures = measure(none, Benchmarks(none, none))
    assert {name for name, value in figures.items() if value is not None} == {"refused_orders"}
    assert measure(one, None)["volatility"] is None
    assert measure(made_path([1, 1e5], bar_seconds=300), None)["cagr"] is None


def test_constant_growth_has_no_sharpe_ratio():
    """The returns of 1.01^k differ in their last bit only: no variation."""
    assert measure(made_path(1.01 ** np.arange(50)), None)["sharpe"] is None


def test_benchmark_over_other_rows_is_refused():
    path, other = made_path([1, 2, 3]), made_path([1, 2])
    for benchmarks in (Benchmarks(path, other), Benchmarks(other, path)):
        with pytest.raises(ValueError, match="different rows"):
            measure(path, benchmarks)


@given(st.integers(2, 4000), st.sampled_from([3600, 86_400]), st.integers(0, 2**32 - 1))
def test_months_compound_to_the_total_return(steps, bar_seconds, seed):
    growth = np.exp(np.random.default_rng(seed).normal(0, 0.01, steps))
    path = made_path(np.concatenate([[7.0], 7.0 * np.cumprod(growth)]), bar_seconds=bar_seconds)
    months = monthly_returns(path)
    compounded = math.prod(1 + value for year in months.values() for value in year.values())
    assert compounded - 1 == pytest.approx(measure(path, None)["total_return"], rel=1e-9, abs=1e-12)


def test_bar_counts_in_the_month_in_which_it_opens():
    """Steps marked at bars that open on 30 and 31 January and 1 February 2020."""
    path = made_path([100, 110, 99, 198], start=1_580_256_000)
    assert monthly_returns(path) == {2020: {1: pytest.approx(-0.01), 2: pytest.approx(1.0)}}


@pytest.mark.parametrize("xp", [np, jnp])
def test_the_lower_bound_is_the_mean_less_two_standard_errors_of_what_counts(xp):
    growth = np.random.default_rng(0).normal(1e-4, 1e-2, 500).astype(np.float32)
    counted = (np.arange(500) < 321).astype(np.float32)
    some = growth[:321].astype(np.float64)
    expected = some.mean() - 2 * some.std() / np.sqrt(321)
    assert float(lower_bound(xp.asarray(growth), xp.asarray(counted), xp=xp)) == pytest.approx(expected, rel=1e-4)


def prefix(length, counts, dtype):
    return (np.arange(length) < counts).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("xp", [np, jnp])
@given(value=st.floats(-5, 5), counts=st.integers(1, 3000), rest=st.floats(-5, 5))
def test_growth_that_does_not_vary_has_no_ratio_however_it_is_rounded(xp, dtype, value, counts, rest):
    with jax.enable_x64(True):
        counted = prefix(3000, counts, dtype)
        growth = np.where(counted > 0, value, rest).astype(dtype)
        given = xp.asarray(growth), xp.asarray(counted)
        assert given[0].dtype == dtype
        assert float(deviation(*given, xp=xp)) == float(ratio(*given, xp=xp)) == 0
        assert float(ratio_lower_bound(*given, xp=xp)) == pytest.approx(-2 / math.sqrt(counted.sum()), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("xp", [np, jnp])
@given(
    growth=st.lists(st.floats(-5, 5, width=32), min_size=30, max_size=30),
    counts=st.integers(1, 30),
    scale=st.sampled_from([1e-30, 1e-9, 1e-5, 1e-2, 1]),
)
def test_ratios_are_numbers_whatever_growth_is(xp, dtype, growth, counts, scale):
    with jax.enable_x64(True):
        series = (scale * np.array(growth)).astype(dtype)
        given = xp.asarray(series), xp.asarray(prefix(len(series), counts, dtype))
        spread, found, bound = (float(figure(*given, xp=xp)) for figure in (deviation, ratio, ratio_lower_bound))
        some = series[:counts].astype(np.float64)
        assert all(map(math.isfinite, (spread, found, bound)))
        if spread > 0:
            assert spread == pytest.approx(some.std(), rel=0.1)
            assert found == pytest.approx(some.mean() / spread, rel=1e-3, abs=1e-3)
            assert bound == pytest.approx(found - 2 * math.sqrt((1 + found**2 / 2) / counts), rel=1e-4, abs=1e-4)
        else:
            assert found == 0
            assert some.std() <= 20 * np.finfo(dtype).eps * max(1, np.abs(some).max())


@given(seed=st.integers(0, 2**32 - 1), held=st.floats(-2, 2), length=st.integers(3, 60))
def test_hedged_returns_do_not_move_with_the_benchmark_however_much_of_it_is_held(seed, held, length):
    rng = np.random.default_rng(seed)
    returns, benchmark = 0.01 * rng.standard_normal((2, length))
    alone = hedged(returns, benchmark)
    assert np.cov(alone, benchmark)[0, 1] == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(hedged(returns + held * benchmark, benchmark), alone, atol=1e-13)
    np.testing.assert_allclose(hedged(held * benchmark, benchmark), 0, atol=1e-15)


def test_without_a_moving_benchmark_there_is_nothing_to_hedge():
    returns = np.array([0.1, -0.2, 0.3])
    assert np.array_equal(hedged(returns, np.full(3, 0.01)), returns)

"""What an account's path was worth: figures per bar and per year, each with a unit and a meaning when undefined.

Returns are simple, per bar, after costs. A year has 365 days: crypto never closes. An undefined figure is None.
"""

from __future__ import annotations

import datetime
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.definitions import METRICS

YEAR_SECONDS = 365 * 86_400
TAIL = 0.05
SCORE_ERRORS = 2.0
"""Standard errors that a score takes off mean log growth per bar. The best of many means would be a lucky one: where nothing can
be learnt, an early checkpoint that traded much and won by chance, before a late one that has learnt to keep still."""
_ROUNDING = 1e-12
"""A standard deviation below this is rounding, not variation."""
_ROUNDING_STEPS = 16
"""So many steps between one and the next number are rounding where a computation may be in float32."""


class Benchmarks(NamedTuple):
    """Paths over the same rows that a path is measured against: equal weight rebalanced, and one asset held."""

    equal_weight: Path
    held: Path


def lower_bound(growth: Any, counted: Any, *, xp: Any) -> Any:
    """Mean of the entries of `growth` that count less SCORE_ERRORS standard errors: what chooses a checkpoint.

    growth (N,): log growth by bar. counted (N,): 1 where an entry counts, else 0. xp: `numpy` or `jax.numpy`.
    """
    number = xp.sum(counted)
    mean = xp.sum(growth * counted) / number
    deviation = xp.sqrt(xp.sum((growth - mean) ** 2 * counted) / number)
    return mean - SCORE_ERRORS * deviation / xp.sqrt(number)


def deviation(growth: Any, counted: Any, *, xp: Any) -> Any:
    """Standard deviation of the entries of `growth` that count; 0 where it is no more than rounding. Arguments as `lower_bound`.

    Growth is the logarithm of a quotient near one, so that it is rounded as one is, and as it is itself where it is larger.
    """
    number = xp.sum(counted)
    mean = xp.sum(growth * counted) / number
    found = xp.sqrt(xp.sum((growth - mean) ** 2 * counted) / number)
    rounding = _ROUNDING_STEPS * xp.finfo(growth.dtype).eps * xp.maximum(1, xp.max(xp.abs(growth * counted)))
    return xp.where(found > rounding, found, 0)


def ratio(growth: Any, counted: Any, *, xp: Any) -> Any:
    """Mean over standard deviation of the entries of `growth` that count; 0 where they do not vary. Arguments as `lower_bound`."""
    mean = xp.sum(growth * counted) / xp.sum(counted)
    spread = deviation(growth, counted, xp=xp)
    return xp.where(spread > 0, mean / xp.where(spread > 0, spread, 1), 0)


def ratio_lower_bound(growth: Any, counted: Any, *, xp: Any) -> Any:
    """`ratio` less SCORE_ERRORS of its standard errors, sqrt((1 + ratio^2 / 2) / N) (Lo 2002, independent returns)."""
    found = ratio(growth, counted, xp=xp)
    return found - SCORE_ERRORS * xp.sqrt((1 + found**2 / 2) / xp.sum(counted))


def bars_a_year(bar_seconds: int) -> float:
    """Bars of this length in a year of 365 days: 8,760 for an hour."""
    return YEAR_SECONDS / bar_seconds


def measure(path: Path, benchmarks: Benchmarks | None) -> dict[str, float | None]:
    """The figures of METRICS for a path, but for the interval of the Sharpe ratio; relative ones None where no benchmarks are given.

    Standard deviations have N - 1 in the denominator, skew and kurtosis are those of the sample as a population.
    Raises ValueError if a benchmark covers other rows.
    """
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    figures["refused_orders"] = float(path.refused.sum())
    for benchmark in benchmarks or ():
        if not np.array_equal(benchmark.rows, path.rows):
            raise ValueError("path and benchmark cover different rows")
    if len(path) == 0:
        return figures
    returns, periods = path.returns, bars_a_year(path.bar_seconds)
    years = len(path) / periods
    figures |= growth_figures(path.equity, years)
    figures |= return_figures(returns, periods)
    figures |= trading_figures(path, years)
    if benchmarks is not None:
        figures |= relative_figures(returns, benchmarks.equal_weight.returns, periods)
        held = relative_figures(returns, benchmarks.held.returns, periods)
        figures |= {f"{name}_held": value for name, value in held.items()}
    return figures


def trading_figures(path: Path, years: float) -> dict[str, float | None]:
    """Exposure, turnover, costs and break-even fee of a path that lasts `years`."""
    traded, fees, slippage = (float((paid / path.equity[:-1]).sum()) for paid in (path.notional, path.fees, path.slippage))
    gross = math.log(path.equity[-1] / path.equity[0]) + fees
    return {
        "exposure": float(path.weights[1:].sum(axis=1).mean()),
        "turnover": traded / years,
        "fees_paid": fees,
        "slippage_paid": slippage,
        "break_even_fee": gross / traded if traded > 0 else None,
    }


def growth_figures(equity: Float[np.ndarray, "N1"], years: float) -> dict[str, float | None]:
    """Total return, CAGR, Calmar, maximum drawdown and mean log growth from an equity path that lasts `years`."""
    log_growth = math.log(equity[-1] / equity[0])
    depth, bars = max_drawdown(equity)
    yearly = log_growth / years
    cagr = math.expm1(yearly) if yearly < 700 else None
    return {
        "total_return": float(equity[-1] / equity[0] - 1),
        "cagr": cagr,
        "calmar": cagr / depth if cagr is not None and depth > 0 else None,
        "max_drawdown": depth,
        "max_drawdown_bars": float(bars),
        "mean_log_growth": log_growth / (len(equity) - 1),
    }


def max_drawdown(equity: Float[np.ndarray, "N1"]) -> tuple[float, int]:
    """Depth as a share of the peak, and bars from that peak until it is regained or the path ends; (0, 0) if there is none."""
    peak = np.maximum.accumulate(equity)
    fall = 1 - equity / peak
    trough = int(np.argmax(fall))
    if fall[trough] <= 0:
        return 0.0, 0
    top = int(np.flatnonzero(equity[: trough + 1] == peak[trough])[-1])
    regained = np.flatnonzero(equity[trough:] >= peak[trough])
    end = trough + int(regained[0]) if len(regained) else len(equity) - 1
    return float(fall[trough]), end - top


def return_figures(returns: Float[np.ndarray, "N"], periods: float) -> dict[str, float | None]:
    """Volatility, Sharpe (also Lo's), Sortino, CVaR, Omega, tail ratio, hit rate, skew and kurtosis of returns per bar.

    periods: bars a year.
    """
    count, mean = len(returns), float(returns.mean())
    deviation = float(returns.std(ddof=1)) if count > 1 else None
    varies = deviation is not None and deviation > _ROUNDING
    sharpe = mean / deviation if deviation is not None and varies else None
    scale = lo_annualisation(returns, periods) if varies else None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    losses = -float(np.minimum(returns, 0).sum())
    worst, best = np.abs(np.percentile(returns, [100 * TAIL, 100 - 100 * TAIL]))
    moved = returns[returns != 0]
    centred = returns - mean
    spread = float(np.mean(centred**2))
    return {
        "volatility": deviation * math.sqrt(periods) if deviation is not None else None,
        "sharpe": sharpe * math.sqrt(periods) if sharpe is not None else None,
        "sharpe_lo": sharpe * scale if sharpe is not None and scale is not None else None,
        "sortino": mean / downside * math.sqrt(periods) if downside > 0 else None,
        "cvar_95": float(np.sort(returns)[: math.ceil(TAIL * count)].mean()),
        "omega": float(np.maximum(returns, 0).sum()) / losses if losses > 0 else None,
        "tail_ratio": float(best / worst) if worst > 0 else None,
        "hit_rate": float((moved > 0).mean()) if len(moved) else None,
        "skew": float(np.mean(centred**3)) / spread**1.5 if varies else None,
        "kurtosis": float(np.mean(centred**4)) / spread**2 if varies else None,
    }


def lo_annualisation(returns: Float[np.ndarray, "N"], periods: float) -> float | None:
    """What a Sharpe ratio per bar is multiplied by for one per year of q = `periods` bars, where returns are autocorrelated.

    q / sqrt(q + 2 sum_k (q - k) w_k rho_k), which is sqrt(q) where all rho_k are zero (Lo, "The statistics of Sharpe ratios",
    2002). Too few bars know the rho_k of all lags up to q - 1: k runs up to 4 (N / 100)^(2/9) (Newey and West, 1994), and
    w_k = 1 - k / (that + 1) keeps the sum above zero (Newey and West, 1987). None where rounding leaves nothing of it. `returns`
    must vary.
    """
    bars = len(returns)
    lags = min(int(4 * (bars / 100) ** (2 / 9)), bars - 1, math.ceil(periods) - 1)
    centred = returns - returns.mean()
    lag = np.arange(1, lags + 1)
    correlation = np.array([centred[k:] @ centred[:-k] for k in lag]) / (centred @ centred)
    variance = periods + 2 * float(np.sum((periods - lag) * (1 - lag / (lags + 1)) * correlation))
    return periods / math.sqrt(variance) if variance > _ROUNDING * periods else None


def relative_figures(
    returns: Float[np.ndarray, "N"], benchmark: Float[np.ndarray, "N"], periods: float
) -> dict[str, float | None]:
    """Information ratio, and alpha and beta of the regression of returns on the benchmark's."""
    figures: dict[str, float | None] = {"information_ratio": None, "alpha": None, "beta": None}
    if len(returns) < 2:
        return figures
    active = returns - benchmark
    if active.std(ddof=1) > _ROUNDING:
        figures["information_ratio"] = float(active.mean() / active.std(ddof=1)) * math.sqrt(periods)
    if benchmark.std(ddof=1) > _ROUNDING:
        beta = _beta(returns, benchmark)
        figures["beta"] = beta
        figures["alpha"] = float(returns.mean() - beta * benchmark.mean()) * periods
    return figures


def hedged(returns: Float[np.ndarray, "N"], benchmark: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Returns less beta times the benchmark's, by the regression of `relative_figures`: what the market's own luck does not explain.

    Their mean is alpha per bar, and mean over standard deviation is the appraisal ratio (Treynor and Black, 1973). They are the
    returns themselves where the benchmark does not vary. Takes at least two bars.
    """
    return returns - _beta(returns, benchmark) * benchmark if benchmark.std(ddof=1) > _ROUNDING else returns


def _beta(returns: Float[np.ndarray, "N"], benchmark: Float[np.ndarray, "N"]) -> float:
    return float(np.cov(returns, benchmark)[0, 1] / benchmark.var(ddof=1))


def monthly_returns(path: Path) -> dict[int, dict[int, float]]:
    """Return of every calendar month (UTC) with a bar, as {year: {month: return}}; a bar counts where it opens.

    The months compound to the path's total return.
    """
    months: dict[int, dict[int, float]] = {}
    growth = 1 + path.returns
    moments = path.timestamps[1:].astype("datetime64[s]").astype("datetime64[M]")
    starts = np.flatnonzero(np.append(True, moments[1:] != moments[:-1]))
    for month, value in zip(moments[starts], np.multiply.reduceat(growth, starts), strict=True):
        date: datetime.date = month.astype("datetime64[D]").item()
        months.setdefault(date.year, {})[date.month] = float(value - 1)
    return months

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

YEAR_SECONDS = 365 * 86_400
TAIL = 0.05
SCORE_ERRORS = 2.0
"""Standard errors that a score takes off mean log growth per bar. The best of many means would be a lucky one: where nothing can
be learnt, an early checkpoint that traded much and won by chance, before a late one that has learnt to keep still."""
_ROUNDING = 1e-12
"""A standard deviation below this is rounding, not variation."""


class Metric(NamedTuple):
    """unit: share (1 is all of it), share a year, share a bar, a year, bars, pure, log a bar, or orders."""

    unit: str
    description: str


METRICS: dict[str, Metric] = {
    "total_return": Metric("share", "Equity at the end over equity at the start, less one."),
    "cagr": Metric("share a year", "Yearly rate that compounds to the total return; none if too large for a number."),
    "volatility": Metric("share a year", "Standard deviation of returns per bar times the root of bars a year."),
    "sharpe": Metric("pure", "Mean over standard deviation of returns, annualised; no risk-free rate. None without variation."),
    "sortino": Metric("pure", "Mean over root mean square of negative returns, annualised. None without a negative return."),
    "calmar": Metric("pure", "CAGR over maximum drawdown. None without a drawdown."),
    "max_drawdown": Metric("share", "Deepest fall of equity below its peak so far, as a share of the peak."),
    "max_drawdown_bars": Metric("bars", "From the peak before the deepest fall until it is regained, or to the end."),
    "cvar_95": Metric("share a bar", "Mean return of the worst 5 % of bars."),
    "hit_rate": Metric("share", "Share of bars that gained among those in which equity moved. None if it never moved."),
    "exposure": Metric("share", "Mean share of equity in assets at the closes."),
    "turnover": Metric("a year", "Value bought and sold over equity before, summed, per year."),
    "fees_paid": Metric("share", "Fees over the equity before, summed: what they took in all, bar by bar."),
    "slippage_paid": Metric("share", "Half-spread and slippage over the equity before, summed."),
    "refused_orders": Metric("orders", "Orders planned that did not fill: no bar to fill in, or cash short."),
    "mean_log_growth": Metric("log a bar", "Log of equity's growth over the number of bars."),
    "information_ratio": Metric(
        "pure", "Mean over standard deviation of returns less equal weight's, annualised; none if equal."
    ),
    "alpha": Metric("share a year", "Mean return less beta times that of equal weight, times bars a year."),
    "beta": Metric("pure", "Covariance with equal weight's returns over their variance. None if those do not vary."),
    "skew": Metric("pure", "Third standardised moment of returns. None without variation."),
    "kurtosis": Metric("pure", "Fourth standardised moment of returns; a normal distribution has 3. None without variation."),
}
"""Every figure of `measure`, in order. All but refused_orders are None for a path without a step."""


def lower_bound(growth: Any, counted: Any, *, xp: Any) -> Any:
    """Mean of the entries of `growth` that count less SCORE_ERRORS standard errors: what chooses a checkpoint.

    growth (N,): log growth by bar. counted (N,): 1 where an entry counts, else 0. xp: `numpy` or `jax.numpy`.
    """
    number = xp.sum(counted)
    mean = xp.sum(growth * counted) / number
    deviation = xp.sqrt(xp.sum((growth - mean) ** 2 * counted) / number)
    return mean - SCORE_ERRORS * deviation / xp.sqrt(number)


def ratio(growth: Any, counted: Any, *, xp: Any) -> Any:
    """Mean over standard deviation of the entries of `growth` that count; 0 where they do not vary. Arguments as `lower_bound`."""
    number = xp.sum(counted)
    mean = xp.sum(growth * counted) / number
    deviation = xp.sqrt(xp.sum((growth - mean) ** 2 * counted) / number)
    return xp.where(deviation > 0, mean / xp.where(deviation > 0, deviation, 1), 0)


def ratio_lower_bound(growth: Any, counted: Any, *, xp: Any) -> Any:
    """`ratio` less SCORE_ERRORS of its standard errors, sqrt((1 + ratio^2 / 2) / N) (Lo 2002, independent returns)."""
    found = ratio(growth, counted, xp=xp)
    return found - SCORE_ERRORS * xp.sqrt((1 + found**2 / 2) / xp.sum(counted))


def bars_a_year(bar_seconds: int) -> float:
    """Bars of this length in a year of 365 days: 8,760 for an hour."""
    return YEAR_SECONDS / bar_seconds


def measure(path: Path, benchmark: Path | None) -> dict[str, float | None]:
    """The figures of METRICS for a path; against equal weight over the same rows, None where no benchmark is given.

    Standard deviations have N - 1 in the denominator, skew and kurtosis are those of the sample as a population.
    Raises ValueError if the benchmark covers other rows.
    """
    if benchmark is not None and not np.array_equal(benchmark.rows, path.rows):
        raise ValueError("path and benchmark cover different rows")
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    figures["refused_orders"] = float(path.refused.sum())
    if len(path) == 0:
        return figures
    returns, periods = path.returns, bars_a_year(path.bar_seconds)
    years = len(path) / periods
    figures |= growth_figures(path.equity, years)
    figures |= return_figures(returns, periods)
    figures |= {
        "exposure": float(path.weights[1:].sum(axis=1).mean()),
        "turnover": float((path.notional / path.equity[:-1]).sum() / years),
        "fees_paid": float((path.fees / path.equity[:-1]).sum()),
        "slippage_paid": float((path.slippage / path.equity[:-1]).sum()),
    }
    if benchmark is not None:
        figures |= relative_figures(returns, benchmark.returns, periods)
    return figures


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
    """Volatility, Sharpe, Sortino, CVaR, hit rate, skew and kurtosis of returns per bar, `periods` bars a year."""
    count, mean = len(returns), float(returns.mean())
    deviation = float(returns.std(ddof=1)) if count > 1 else None
    varies = deviation is not None and deviation > _ROUNDING
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    moved = returns[returns != 0]
    centred = returns - mean
    spread = float(np.mean(centred**2))
    return {
        "volatility": deviation * math.sqrt(periods) if deviation is not None else None,
        "sharpe": mean / deviation * math.sqrt(periods) if deviation is not None and varies else None,
        "sortino": mean / downside * math.sqrt(periods) if downside > 0 else None,
        "cvar_95": float(np.sort(returns)[: math.ceil(TAIL * count)].mean()),
        "hit_rate": float((moved > 0).mean()) if len(moved) else None,
        "skew": float(np.mean(centred**3)) / spread**1.5 if varies else None,
        "kurtosis": float(np.mean(centred**4)) / spread**2 if varies else None,
    }


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

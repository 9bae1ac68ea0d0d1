"""Every figure of an evaluation: its group, its unit and what it means."""

from __future__ import annotations

from typing import NamedTuple

GROWTH, RISK, SHAPE, TRADING = "growth", "risk", "shape of returns", "trading and costs"
AGAINST_EQUAL, AGAINST_HELD = "against equal weight rebalanced", "against one asset held, BTC where there is BTC"


class Metric(NamedTuple):
    """unit: share (1 is all of it), share a year, share a bar, share of notional, a year, bars, pure, log a bar, or orders."""

    group: str
    unit: str
    description: str


def _relative(group: str, other: str, suffix: str) -> dict[str, Metric]:
    return {
        f"information_ratio{suffix}": Metric(
            group, "pure", f"Mean over standard deviation of returns less {other}'s, annualised; none if equal."
        ),
        f"alpha{suffix}": Metric(
            group, "share a year", f"Mean return less beta times that of {other}, times bars a year; not compounded."
        ),
        f"beta{suffix}": Metric(
            group, "pure", f"Covariance with {other}'s returns over their variance. None if those do not vary."
        ),
    }


METRICS: dict[str, Metric] = {
    "total_return": Metric(GROWTH, "share", "Equity at the end over equity at the start, less one."),
    "cagr": Metric(GROWTH, "share a year", "Yearly rate that compounds to the total return; none if too large for a number."),
    "mean_log_growth": Metric(GROWTH, "log a bar", "Log of equity's growth over the number of bars."),
    "sharpe": Metric(
        GROWTH, "pure", "Mean over standard deviation of returns, annualised; no risk-free rate. None without variation."
    ),
    "sharpe_low": Metric(
        GROWTH, "pure", "Lower end of the Sharpe ratio's 95 % interval, by the stationary block bootstrap; of reports only."
    ),
    "sharpe_high": Metric(GROWTH, "pure", "Upper end of that interval. None where the returns are too few or vary too seldom."),
    "sharpe_lo": Metric(
        GROWTH,
        "pure",
        "Sharpe ratio annualised as autocorrelated returns ask for (Lo 2002): q / root(q + 2 sum (q - k) rho_k) in the place of "
        "root q, q bars a year, lags k up to 4 (N / 100)^(2/9) with Bartlett weights (Newey and West 1994).",
    ),
    "sortino": Metric(
        GROWTH, "pure", "Mean over root mean square of negative returns, annualised. None without a negative return."
    ),
    "calmar": Metric(GROWTH, "pure", "CAGR over maximum drawdown. None without a drawdown."),
    "volatility": Metric(RISK, "share a year", "Standard deviation of returns per bar times the root of bars a year."),
    "max_drawdown": Metric(RISK, "share", "Deepest fall of equity below its peak so far, as a share of the peak."),
    "max_drawdown_bars": Metric(RISK, "bars", "From the peak before the deepest fall until it is regained, or to the end."),
    "cvar_95": Metric(RISK, "share a bar", "Mean return of the worst 5 % of bars."),
    "omega": Metric(SHAPE, "pure", "Sum of gains over sum of losses, bar by bar: threshold 0. None without a loss."),
    "tail_ratio": Metric(
        SHAPE,
        "pure",
        "Size of the 95th percentile of returns over that of the 5th, each between neighbours. None if the latter is 0.",
    ),
    "skew": Metric(SHAPE, "pure", "Third standardised moment of returns. None without variation."),
    "kurtosis": Metric(
        SHAPE, "pure", "Fourth standardised moment of returns; a normal distribution has 3. None without variation."
    ),
    "hit_rate": Metric(SHAPE, "share", "Share of bars that gained among those in which equity moved. None if it never moved."),
    "exposure": Metric(TRADING, "share", "Mean share of equity in assets at the closes."),
    "turnover": Metric(TRADING, "a year", "Value bought and sold over equity before, summed, per year."),
    "fees_paid": Metric(TRADING, "share", "Fees over the equity before, summed: what they took in all, bar by bar."),
    "slippage_paid": Metric(TRADING, "share", "Half-spread and slippage over the equity before, summed."),
    "break_even_fee": Metric(
        TRADING,
        "share of notional",
        "Fee at which the same trades would have earned nothing, to first order: log growth and fees paid, over the value bought and "
        "sold over equity before. Half-spread and slippage stay as they were. None without a trade.",
    ),
    "refused_orders": Metric(TRADING, "orders", "Orders planned that did not fill: no bar to fill in, or cash short."),
    **_relative(AGAINST_EQUAL, "equal weight rebalanced", ""),
    **_relative(AGAINST_HELD, "the one asset held", "_held"),
}
"""Every figure of an evaluation, in order, those of a group in a row. All but refused_orders are None for a path without a step."""

"""Whether luck would explain a Sharpe ratio: of one strategy, and of the best of many that were tried.

Sharpe ratios are per bar, not annualised, with N - 1 in the standard deviation; skew and kurtosis are those of the sample as a
population, and a normal distribution has a kurtosis of 3. PSR: Bailey and Lopez de Prado, "The Sharpe ratio efficient frontier",
2012. DSR: Bailey and Lopez de Prado, "The deflated Sharpe ratio", 2014.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from cappuccino.errors import InputError
from cappuccino.evaluation.metrics import return_figures


class Moments(NamedTuple):
    """What a record of returns says about its Sharpe ratio; bars: how many returns."""

    sharpe: float
    bars: int
    skew: float
    kurtosis: float


def moments_of(returns: Float[np.ndarray, "N"]) -> Moments:
    """The moments of returns per bar. Raises InputError for fewer than two, for one that is not finite, and without variation."""
    _check_bars(len(returns))
    unfit = np.flatnonzero(~np.isfinite(returns))
    if len(unfit):
        raise InputError(f"return {unfit[0]} is {returns[unfit[0]]}; returns must be finite")
    figures = return_figures(returns.astype(np.float64), 1.0)
    sharpe, skew, kurtosis = (figures[name] for name in ("sharpe", "skew", "kurtosis"))
    if sharpe is None or skew is None or kurtosis is None:
        raise InputError(f"all {len(returns)} returns are {returns[0]:g}; a Sharpe ratio takes returns that vary")
    return Moments(sharpe, len(returns), skew, kurtosis)


def probabilistic_sharpe(sharpe: float, benchmark: float, bars: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above `benchmark`, given the one measured over so many bars (PSR, 2012).

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - s SR + (g - 1) / 4 SR^2)). Raises InputError for fewer than two bars, for a number
    that is not finite, and where the quantity under the root is not positive.
    """
    _check_bars(bars)
    _check_finite(benchmark=benchmark)
    return float(ndtr((sharpe - benchmark) * math.sqrt((bars - 1) / _variance(sharpe, skew, kurtosis))))


def expected_maximum_sharpe(sharpes: Float[np.ndarray, "C"]) -> float:
    """The best Sharpe ratio to expect of C trials of nothing whose ratios vary as these do (2014).

    sd(SR) ((1 - e) Phi^-1(1 - 1/C) + e Phi^-1(1 - 1/(C exp(1)))), e the constant of Euler and Mascheroni. sharpes: of every
    trial ever run, those that were pruned too; it holds for independent ones, and too much is expected of those that are alike.
    Raises InputError for fewer than two, and for one that is not finite.
    """
    trials = len(sharpes)
    if trials < 2:
        raise InputError(f"the number of trials is {trials}; the spread of Sharpe ratios takes at least 2")
    unfit = np.flatnonzero(~np.isfinite(sharpes))
    if len(unfit):
        raise InputError(f"the Sharpe ratio of trial {unfit[0]} is {sharpes[unfit[0]]}; it must be finite")
    quantiles = ndtri([1 - 1 / trials, 1 - 1 / (trials * math.e)])
    spread = np.std(sharpes.astype(np.float64), ddof=1)
    return float(spread * np.dot([1 - np.euler_gamma, np.euler_gamma], quantiles))


def deflated_sharpe(sharpe: float, bars: int, skew: float, kurtosis: float, sharpes: Float[np.ndarray, "C"]) -> float:
    """`probabilistic_sharpe` of the chosen trial against `expected_maximum_sharpe` of all of them (DSR, 2014); raises as these.

    Of returns: `deflated_sharpe(*moments_of(returns), sharpes)`.
    """
    return probabilistic_sharpe(sharpe, expected_maximum_sharpe(sharpes), bars, skew, kurtosis)


def minimum_track_record(sharpe: float, benchmark: float, skew: float, kurtosis: float, confidence: float = 0.95) -> float:
    """Bars that it takes for `probabilistic_sharpe` to reach `confidence`; infinite where the ratio is not above the benchmark.

    1 + (1 - s SR + (g - 1) / 4 SR^2) (z / (SR - SR*))^2 (2012). Raises InputError as `probabilistic_sharpe`, and for a confidence
    outside [0.5, 1).
    """
    if not 0.5 <= confidence < 1:
        raise InputError(f"the confidence is {confidence}; it must be at least 0.5 and below 1")
    _check_finite(benchmark=benchmark)
    variance = _variance(sharpe, skew, kurtosis)
    if sharpe <= benchmark:
        return math.inf
    return 1 + variance * (float(ndtri(confidence)) / (sharpe - benchmark)) ** 2


def _variance(sharpe: float, skew: float, kurtosis: float) -> float:
    """Of a Sharpe ratio's estimate, times N - 1.

    At least (1 - s SR / 2)^2, as a kurtosis is at least s^2 + 1, so that real returns can only have zero: those with two values.
    """
    _check_finite(sharpe=sharpe, skew=skew, kurtosis=kurtosis)
    found = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if found <= 0:
        raise InputError(
            f"a Sharpe ratio of {sharpe:g} a bar with a skew of {skew:g} and a kurtosis of {kurtosis:g} has a variance of "
            f"{found:g}; it must be above zero"
        )
    return found


def _check_bars(bars: int) -> None:
    if bars < 2:
        raise InputError(f"the number of bars is {bars}; a Sharpe ratio takes at least 2")


def _check_finite(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise InputError(f"{name} is {number}; it must be finite")

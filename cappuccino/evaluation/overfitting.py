"""Whether luck would explain a Sharpe ratio: of one strategy, and of the best of many that were tried.

Sharpe ratios are per bar, not annualised; a kurtosis is 3 for a normal distribution.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from cappuccino.errors import InputError


def probabilistic_sharpe(sharpe: float, benchmark: float, bars: int, skew: float, kurtosis: float) -> float:
    """Probability that the true Sharpe ratio is above `benchmark`, given the one measured over so many bars.

    Phi((SR - SR*) sqrt(n - 1) / sqrt(1 - s SR + (g - 1) / 4 SR^2)), Bailey and Lopez de Prado 2012. Raises InputError for fewer
    than two bars, and for moments that no ratio this large can have (the root's argument is not positive).
    """
    if bars < 2:
        raise InputError(f"a Sharpe ratio over {bars} bars says nothing; it takes at least 2")
    return float(norm.cdf((sharpe - benchmark) * math.sqrt((bars - 1) / _variance(sharpe, skew, kurtosis))))


def expected_maximum_sharpe(sharpes: Float[np.ndarray, "C"]) -> float:
    """The best Sharpe ratio that C trials of nothing would show whose ratios vary as these do.

    sd(SR) ((1 - e) Phi^-1(1 - 1/C) + e Phi^-1(1 - 1/(C exp(1)))) with e = 0.5772 (Euler and Mascheroni), Bailey and Lopez de
    Prado 2014. Raises InputError for fewer than two trials.
    """
    trials = len(sharpes)
    if trials < 2:
        raise InputError(f"the best of {trials} trials has no distribution; it takes at least 2")
    quantiles = norm.ppf([1 - 1 / trials, 1 - 1 / (trials * math.e)])
    return float(np.std(sharpes, ddof=1) * np.dot([1 - np.euler_gamma, np.euler_gamma], quantiles))


def deflated_sharpe(sharpe: float, bars: int, skew: float, kurtosis: float, sharpes: Float[np.ndarray, "C"]) -> float:
    """`probabilistic_sharpe` of the best trial against `expected_maximum_sharpe` of all that were tried (Bailey and Lopez de
    Prado 2014)."""
    return probabilistic_sharpe(sharpe, expected_maximum_sharpe(sharpes), bars, skew, kurtosis)


def minimum_track_record(sharpe: float, benchmark: float, skew: float, kurtosis: float, confidence: float = 0.95) -> float:
    """Bars that it takes for `probabilistic_sharpe` to reach `confidence`; infinite where the ratio is not above the benchmark.

    1 + (1 - s SR + (g - 1) / 4 SR^2) (z / (SR - SR*))^2, Bailey and Lopez de Prado 2012.
    """
    if sharpe <= benchmark:
        return math.inf
    return 1 + _variance(sharpe, skew, kurtosis) * (float(norm.ppf(confidence)) / (sharpe - benchmark)) ** 2


def _variance(sharpe: float, skew: float, kurtosis: float) -> float:
    found = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if found <= 0:
        raise InputError(f"no returns have a Sharpe ratio of {sharpe} a bar, a skew of {skew} and a kurtosis of {kurtosis}")
    return found

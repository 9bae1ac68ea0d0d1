"""The boundary is hardly ever crossed by chance, at no time, and not much wider than it has to be."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.optimize import brentq
from scipy.special import log_ndtr
from scipy.stats import norm

from cappuccino.registry.confidence_sequence import normal_mixture_bound

VARIANCE = st.floats(1e-8, 1e8)
ALPHA = st.floats(1e-6, 0.4)


def mixture_bound(variance: float, alpha: float, tightest: float) -> float:
    """Where the martingale, the mean of exp(l s - l^2 v / 2) over half-normal l of variance 1 / rho, is 1 / alpha."""
    level = -2 * np.log(2 * alpha)
    rho = tightest / (level + np.log(1 + level))

    def logarithm(s: float) -> float:
        at = s / np.sqrt(variance + rho)
        return np.log(2) + np.log(rho / (variance + rho)) / 2 + at**2 / 2 + log_ndtr(at) + np.log(alpha)

    return float(brentq(logarithm, -10 * np.sqrt(variance + rho), 40 * np.sqrt(variance + rho), xtol=1e-12 * np.sqrt(variance)))


@given(VARIANCE, ALPHA, VARIANCE)
def test_it_is_that_of_the_mixture_but_for_being_rounded_up(variance: float, alpha: float, tightest: float) -> None:
    exact, found = mixture_bound(variance, alpha, tightest), normal_mixture_bound(variance, alpha, tightest=tightest)
    assert exact <= found * (1 + 1e-9)
    if alpha <= 0.05:
        assert found <= 1.05 * exact


@given(VARIANCE, ALPHA, VARIANCE, st.floats(1e-3, 1e3))
def test_units_do_not_matter(variance: float, alpha: float, tightest: float, unit: float) -> None:
    scaled = normal_mixture_bound(unit**2 * variance, alpha, tightest=unit**2 * tightest)
    assert scaled == pytest.approx(unit * normal_mixture_bound(variance, alpha, tightest=tightest), rel=1e-9)


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_walks_that_are_looked_at_at_every_step_cross_it_as_seldom_as_is_said(phi: float) -> None:
    """And the bound of a single look is crossed by many of them."""
    walks, steps, alpha, first = 2_000, 3_000, 0.05, 100
    noise = np.random.default_rng(3).standard_normal((steps + 200, walks))
    for t in range(1, len(noise)):
        noise[t] += phi * noise[t - 1]
    sums = np.cumsum(noise[200:], axis=0)[first - 1 :]
    variance = np.arange(first, steps + 1) / (1 - phi) ** 2
    bound = [normal_mixture_bound(one, alpha, tightest=float(variance[0])) for one in variance]
    assert 0.005 < (sums > np.array(bound)[:, None]).any(axis=0).mean() < alpha
    assert (sums > norm.ppf(1 - alpha) * np.sqrt(variance)[:, None]).any(axis=0).mean() > 3 * alpha


def test_nothing_that_varies_does_not_stray() -> None:
    assert normal_mixture_bound(0.0, 0.01, tightest=0.0) == 0

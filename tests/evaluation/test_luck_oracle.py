"""Overfitting and the significance of Sharpe ratios are those of purgedcv where the definitions agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from purgedcv import (
    deflated_sharpe_ratio,
    min_track_record_length,
    probabilistic_sharpe_ratio,
    probability_of_backtest_overfitting,
)
from scipy.stats import kurtosis, skew

from cappuccino.evaluation.overfitting import pbo
from cappuccino.evaluation.sharpe import Moments, deflated_sharpe, minimum_track_record, moments_of, probabilistic_sharpe


@pytest.mark.parametrize(
    ("blocks", "configurations", "edge", "seed"), [(8, 5, 0.0, 0), (10, 12, 0.1, 1), (6, 2, 0.05, 2), (4, 30, 0.0, 3)]
)
def test_overfitting_is_theirs(blocks, configurations, edge, seed):
    """Where blocks divide the bars: of what is left over we drop the first bars, they make the first blocks longer."""
    rng = np.random.default_rng(seed)
    returns = rng.standard_t(5, (60 * blocks, configurations)) * 0.01
    returns[:, 0] += 0.01 * edge
    ours, theirs = pbo(returns, blocks), probability_of_backtest_overfitting(returns.T, n_splits=blocks)
    np.testing.assert_allclose(np.sort(ours.logits), np.sort(theirs.logits), atol=1e-12)
    assert np.mean(ours.logits < -1e-12) == theirs.pbo, "they count a rank below the median only"
    assert ours.pbo >= theirs.pbo
    assert ours.slope == pytest.approx(theirs.slope, rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_significance_is_theirs(seed):
    """By their moments: the standard deviation with N and unbiased skew and kurtosis, where ours has N - 1 and the sample's."""
    rng = np.random.default_rng(seed)
    returns = 0.0007 + 0.01 * rng.standard_t(4, 800)
    sharpes = rng.normal(0, 0.03, 40)
    found = Moments(
        returns.mean() / returns.std(),
        800,
        float(skew(returns, bias=False)),
        float(kurtosis(returns, fisher=False, bias=False)),
    )
    assert probabilistic_sharpe(found.sharpe, 0.01, *found[1:]) == pytest.approx(
        probabilistic_sharpe_ratio(returns, 0.01), rel=1e-9
    )
    spread = float(np.var(sharpes, ddof=1))
    assert deflated_sharpe(*found, sharpes) == pytest.approx(deflated_sharpe_ratio(returns, 40, spread), rel=1e-9)
    sharpe = abs(found.sharpe) + 0.02
    ours = minimum_track_record(sharpe, 0.0, found.skew, found.kurtosis)
    assert 1 + math.ceil(ours - 1) == min_track_record_length(sharpe, 0.0, 0.05, found.skew, found.kurtosis), "they round up"
    for mine, one in zip(moments_of(returns), found, strict=True):
        assert mine == pytest.approx(one, rel=0.02)

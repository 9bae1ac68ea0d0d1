"""How sure the main figures are: of the agent and of every baseline, each the mean over its paths, and of the agent against each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.bootstrap import (
    FEWEST,
    Interval,
    Statistic,
    active_growth,
    bootstrap_interval,
    information_ratio,
    mean_log_growth,
    sharpe_ratio,
)
from cappuccino.config.verdict import VerdictConfig
from cappuccino.evaluation.comparison import AGENT
from cappuccino.validation.crossed import Crossed
from cappuccino.validation.verdict import Verdict

DRAWS = 500
"""Resamples of each, fewer than the verdict takes, for there are many; at the very least what the confidence asks for."""
_ROUNDING = 1e-12
"""Returns that vary by less are those of an account that does nothing."""


class Intervals(NamedTuple):
    """Of one strategy, per bar. growth: log growth. sharpe: mean over standard deviation. lead: the agent's log growth beyond it.
    information: the agent's information ratio against it.

    None where nothing varies: of cash, and of the agent's lead over itself.
    """

    growth: Interval | None
    sharpe: Interval | None
    lead: Interval | None
    information: Interval | None


def intervals(crossed: Crossed, verdict: Verdict, rule: VerdictConfig) -> dict[str, Intervals]:
    """Of the agent and of every baseline, with the verdict's confidence; the lead over the verdict's benchmark is the verdict's.

    Growth is the mean of the paths' log growth, Sharpe ratios are of their mean returns.
    """
    agent = crossed.growth()
    found = {
        AGENT: Intervals(_of(np.expm1(agent), mean_log_growth, rule), _of(crossed.returns(), sharpe_ratio, rule), None, None)
    }
    for name, paths in crossed.baselines.items():
        growth = crossed.baseline_growth(name)
        own = np.mean([path.returns for path in paths], axis=0)
        found[name] = Intervals(
            _of(np.expm1(growth), mean_log_growth, rule),
            _of(own, sharpe_ratio, rule),
            verdict.active
            if name == verdict.benchmark
            else _of(np.expm1(np.stack([agent, growth], axis=1)), active_growth, rule),
            _of(np.stack([crossed.returns(), own], axis=1), information_ratio, rule),
        )
    return found


def _of(
    returns: Float[np.ndarray, "N *C"], statistic: Callable[[np.ndarray], Statistic], rule: VerdictConfig
) -> Interval | None:
    series = returns if returns.ndim == 1 else returns[:, 0] - returns[:, 1]
    if len(series) < FEWEST or float(np.std(series)) <= _ROUNDING:
        return None
    draws = max(DRAWS, math.ceil(2 / (1 - rule.confidence)))
    rng = np.random.default_rng(rule.seed)
    return bootstrap_interval(returns, statistic, rng=rng, draws=draws, confidence=rule.confidence)

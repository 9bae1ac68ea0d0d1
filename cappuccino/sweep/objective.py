"""What a trial is worth on its validation span. Whoever keeps out of the market is worth nothing at all: it comes last."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cappuccino.config.sweep import OBJECTIVES
from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.metrics import lower_bound, ratio, ratio_lower_bound
from cappuccino.market import Market

EXPOSURE_FLOOR = 0.01
"""Mean share of equity in assets below which a policy did nothing: its growth of zero would beat every honest loser's."""

BY_CHUNK = {"robust": "growth"}
"""The objective by which a trial is judged while it trains, where its own takes too long for that."""

_FIGURE = {
    "active": "active_ratio",
    "growth": "score",
    "mean_growth": "mean_log_growth",
    "sharpe": "sharpe",
    "robust": "robust_growth",
}
assert _FIGURE.keys() == OBJECTIVES.keys()


def objective_of(name: str, validation: Mapping[str, float], direction: str) -> float:
    """The objective `name` of validation figures (`cappuccino.training.lanes.Validation`, and for robust `robust_growth`); the worst
    value there is for a policy that did nothing."""
    if validation["exposure"] < EXPOSURE_FLOOR:
        return -math.inf if direction == "maximize" else math.inf
    return validation[_FIGURE[name]]


def validation_of(path: Path, market: Market) -> dict[str, float]:
    """What a lane says of its validation rows (`cappuccino.training.lanes.Validation`), of a path over any rows of `market`, float64."""
    close = np.asarray(market.close, np.float64)
    growth, equal = np.log1p(path.returns), np.log((close[path.rows + 1] / close[path.rows]).mean(axis=1))
    counted = np.ones(len(growth))
    figures = {
        "score": lower_bound(growth, counted, xp=np),
        "active_ratio": ratio_lower_bound(growth - equal, counted, xp=np),
        "sharpe": ratio(growth, counted, xp=np),
        "mean_log_growth": growth.mean(),
        "turnover": (path.notional / path.equity[:-1]).mean(),
        "exposure": path.weights[1:].sum(axis=1).mean(),
    }
    return {name: float(value) for name, value in figures.items()}

"""What a trial is worth on its validation span. Whoever keeps out of the market, or does just what it does, comes last."""

from __future__ import annotations

import math
from collections.abc import Mapping

from cappuccino.config.sweep import OBJECTIVES

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
    """The objective `name` of validation figures (`cappuccino.training.lanes.Validation`, and for robust `robust_growth`).

    The worst value there is for a policy that did nothing, and where growth beyond equal weights' counts for one that had none: a
    ratio to no deviation has no value.
    """
    passive = name == "active" and validation["active_deviation"] == 0
    if passive or validation["exposure"] < EXPOSURE_FLOOR:
        return -math.inf if direction == "maximize" else math.inf
    return validation[_FIGURE[name]]

"""Whether the best of a study's trials is more than the best of as many tries of nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from cappuccino.evaluation.overfitting import deflated_sharpe


class Significance(NamedTuple):
    """sharpe_a_year: of the best trial's validation returns. deflated: probability that it is above what luck gives the best of
    `trials`; None for fewer than two, or where it is undefined."""

    sharpe_a_year: float | None
    deflated: float | None
    trials: int


def significance_of(study: optuna.Study, best: FrozenTrial) -> Significance:
    """Counts every trial of the study that was validated, the pruned ones too."""
    sharpes = [trial.user_attrs.get("sharpe_per_bar") for trial in study.get_trials(deepcopy=False)]
    found = np.array([sharpe for sharpe in sharpes if sharpe is not None], float)
    figures = best.user_attrs
    sharpe, skew, kurtosis = (figures.get(name) for name in ("sharpe", "skew", "kurtosis"))
    if len(found) < 2 or sharpe is None or skew is None or kurtosis is None:
        return Significance(sharpe, None, len(found))
    per_bar = sharpe / math.sqrt(figures["bars_a_year"])
    return Significance(sharpe, deflated_sharpe(per_bar, figures["bars"], skew, kurtosis, found), len(found))

"""Whether the best of a study's trials is more than the best of as many tries of nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from cappuccino.evaluation.overfitting import deflated_sharpe, expected_maximum_sharpe

JUDGED = (TrialState.COMPLETE, TrialState.PRUNED)


class Significance(NamedTuple):
    """sharpe: of the best trial's validation returns. luck: of the best of as many trials of nothing. Both are annualised.

    deflated: probability that the true ratio is above `luck` (DSR). Neither is defined for fewer than two trials, nor for returns
    that do not vary. trials: how many were judged.
    """

    sharpe: float
    luck: float | None
    deflated: float | None
    trials: int


def significance_of(study: optuna.Study, best: FrozenTrial) -> Significance:
    """Counts every trial that was judged, complete or pruned, each by the Sharpe ratio of its best chunk's validation returns.

    One that kept out of the market counts, with zero. Failed trials have no returns to be chosen by and do not count, nor do lost
    ones, whose retries do. With several seeds, the figures of a trial are the means over seeds.
    """
    trials = study.get_trials(deepcopy=False, states=JUDGED)
    sharpes = np.array([one.user_attrs["sharpe_per_bar"] for one in trials if "sharpe_per_bar" in one.user_attrs], float)
    figures = best.user_attrs
    sharpe, year = figures["sharpe_per_bar"], math.sqrt(figures["bars_a_year"])
    if len(sharpes) < 2 or "skew" not in figures or "kurtosis" not in figures:
        return Significance(sharpe * year, None, None, len(sharpes))
    deflated = deflated_sharpe(sharpe, round(figures["bars"]), figures["skew"], figures["kurtosis"], sharpes)
    return Significance(sharpe * year, expected_maximum_sharpe(sharpes) * year, deflated, len(sharpes))

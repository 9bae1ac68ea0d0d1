"""Whether the best of a study's trials is more than the best of as many tries of nothing."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from cappuccino.evaluation.sharpe import deflated_sharpe, expected_maximum_sharpe

JUDGED = (TrialState.COMPLETE, TrialState.PRUNED)


class Significance(NamedTuple):
    """sharpe: of the best trial's validation returns. hedged: of the same, hedged against equal weights. luck: of the best of as many
    trials of nothing, hedged. All are annualised.

    deflated: probability that the true hedged ratio is above `luck` (DSR). Neither is defined for fewer than two trials, nor for
    returns that do not vary. trials: how many were judged.
    """

    sharpe: float
    hedged: float
    luck: float | None
    deflated: float | None
    trials: int


def tried_ratios(study: optuna.Study) -> dict[int, float]:
    """Hedged Sharpe ratios per bar of every trial that was judged, by its number."""
    trials = study.get_trials(deepcopy=False, states=JUDGED)
    return {one.number: float(one.user_attrs["hedged_sharpe"]) for one in trials if "hedged_sharpe" in one.user_attrs}


def significance_of(study: optuna.Study, best: FrozenTrial) -> Significance:
    """Counts every trial that was judged, complete or pruned, each by its best chunk's validation returns, hedged.

    Trials that all hold the market share its luck: their ratios hardly differ, from which the deflated ratio would conclude that
    nothing was tried, and a rise of the market would convince. Hedged, they have no luck but their own.

    One that kept out of the market counts, with zero. Failed trials have no returns to be chosen by and do not count, nor do lost
    ones, whose retries do. With several seeds, the figures of a trial are the means over seeds.
    """
    ratios = np.array(list(tried_ratios(study).values()))
    figures = best.user_attrs
    year = math.sqrt(figures["bars_a_year"])
    sharpe, ratio = figures.get("sharpe", 0.0), figures["hedged_sharpe"]
    if len(ratios) < 2 or "hedged_skew" not in figures:
        return Significance(sharpe, ratio * year, None, None, len(ratios))
    deflated = deflated_sharpe(ratio, round(figures["bars"]), figures["hedged_skew"], figures["hedged_kurtosis"], ratios)
    return Significance(sharpe, ratio * year, expected_maximum_sharpe(ratios) * year, deflated, len(ratios))

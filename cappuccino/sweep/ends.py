"""How the trials of a study end."""

from __future__ import annotations

import math

from optuna.trial import FrozenTrial, TrialState

from cappuccino.sweep.places import is_lost, is_surplus

ENDS = {
    "complete": "#0072b2",
    "did nothing": "#56b4e9",
    "pruned": "#e69f00",
    "failed": "#b3261e",
    "lost": "#7a7a7a",
    "surplus": "#bdbdbd",
    "running": "#009e73",
    "waiting": "#dcdcdc",
}
"""How a trial may have ended (`end_of`), and its colour."""


def end_of(trial: FrozenTrial) -> str:
    """How a trial has ended, one of ENDS: lost is a failure because its process died, which a retry makes good, surplus one
    that two processes added at one moment for one place."""
    if is_surplus(trial):
        return "surplus"
    if is_lost(trial):
        return "lost"
    if trial.state == TrialState.COMPLETE and trial.value is not None and math.isinf(trial.value):
        return "did nothing"
    return {TrialState.FAIL: "failed"}.get(trial.state, trial.state.name.lower())


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial has ended for good, in one of a study's places."""
    return trial.state.is_finished() and end_of(trial) not in ("lost", "surplus")

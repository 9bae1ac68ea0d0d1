"""The places of a study, and which of its trials each belongs to.

A study has `n_trials` places, numbered by the order in which their first trials were added. A trial whose process died is lost:
it fails, and one retry inherits its place and its parameters. The storage numbers trials in the order in which they are added
and never takes one away, so the place of a trial is the same for every process that looks, and a trial may be claimed if and
only if its place is below `n_trials`: no lock is needed to never run too many. Trials are added as they are claimed, since the
storage reads all that are unfinished again each time it is asked. Two processes that add one at the same moment may leave a
waiting trial beyond the last place, and one that repairs what another is about to finish a second retry: whoever next claims ends
those as surplus, which takes their places away; nobody ran them, and they count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from optuna.trial import FrozenTrial, TrialState

LOST, RETRY_OF, FAILED, SURPLUS = "lost", "retry_of", "failed", "surplus"
"""User attributes of trials: whether it was found without a process; the number of the trial that it repeats; a failure that no retry
makes good; one trial too many, that nobody ran."""

MOST_LOSSES = 3
"""Times that a place is lost before its trial counts as failed: one process may die of a reboot, another of its neighbour."""


def is_lost(trial: FrozenTrial) -> bool:
    """Whether it failed because its process died, and a retry has its place; not so the last of MOST_LOSSES times."""
    attributes = trial.user_attrs
    return trial.state == TrialState.FAIL and LOST in attributes and FAILED not in attributes


def is_surplus(trial: FrozenTrial) -> bool:
    """Whether it was one too many, which nobody ran."""
    return SURPLUS in trial.user_attrs


def places_of(trials: Iterable[FrozenTrial]) -> dict[int, int]:
    """The place of each trial, by their numbers. trials: all of a study, in order. A second retry of one trial has none, nor has one
    that was ended as surplus."""
    places, retried, taken = {}, set(), 0
    for trial in trials:
        if is_surplus(trial):
            continue
        parent = trial.user_attrs.get(RETRY_OF)
        if parent is None:
            places[trial.number], taken = taken, taken + 1
        elif parent in places and parent not in retried:
            retried.add(parent)
            places[trial.number] = places[parent]
    return places


def filled(trials: Iterable[FrozenTrial], places: Mapping[int, int]) -> int:
    """How many places have a trial that runs or has ended, lost ones aside. places: as `places_of` has them."""
    return sum(trial.number in places and trial.state != TrialState.WAITING and not is_lost(trial) for trial in trials)


def losses_before(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> int:
    """How often its place was lost before it was added. trials: all of the study, in order."""
    losses = 0
    while (parent := trial.user_attrs.get(RETRY_OF)) is not None:
        trial, losses = trials[parent], losses + 1
    return losses


def is_last_try(trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
    """Whether its place is lost for the last time if its process dies. trials: all of the study, in order."""
    return losses_before(trial, trials) >= MOST_LOSSES - 1

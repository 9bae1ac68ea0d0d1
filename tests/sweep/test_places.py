"""The places of a study by its trials alone."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from cappuccino.sweep.places import RETRY_OF, places_of


@given(st.lists(st.none() | st.integers(0, 30), max_size=31))
def test_a_place_belongs_to_one_line_of_retries(parents: Sequence[int | None]) -> None:
    trials = []
    for number, parent in enumerate(parents):
        repeats = None if parent is None or number == 0 else parent % number
        trial = create_trial(state=TrialState.WAITING, user_attrs={} if repeats is None else {RETRY_OF: repeats})
        trial.number = number
        trials.append(trial)
    places = places_of(trials)
    for known in range(len(trials)):
        assert places_of(trials[:known]).items() <= places.items(), "what is added later changes no place"
    for place in range(len(set(places.values()))):
        line = [trial for trial in trials if places.get(trial.number) == place]
        assert RETRY_OF not in line[0].user_attrs
        assert [trial.user_attrs[RETRY_OF] for trial in line[1:]] == [trial.number for trial in line[:-1]]

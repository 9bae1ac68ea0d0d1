"""Whose trials are taken over, when, and what becomes of them."""

from __future__ import annotations

import time

import pytest
from optuna.trial import TrialState
from study_cases import DEAD, ELSEWHERE, HERE, assert_done, claim_as, trials_of
from study_worker import open_at

from cappuccino.sweep.leases import Lease
from cappuccino.sweep.places import LOST, RETRY_OF, places_of
from cappuccino.sweep.study import CLAIM, LEASE, LOST_BY, LOST_WHY


@pytest.mark.parametrize(
    ("lease", "key", "taken"),
    [
        (Lease(DEAD, 1e12), LEASE, True),
        (Lease(DEAD, 1e12), CLAIM, True),
        (Lease(HERE, 0.0), LEASE, False),
        (Lease(HERE, 0.0), CLAIM, True),
        (Lease(HERE, 1e12), CLAIM, False),
        (Lease(ELSEWHERE, 1e12), LEASE, False),
        (Lease(ELSEWHERE, 1.0), LEASE, True),
        (Lease(ELSEWHERE, 1.0), CLAIM, True),
        (None, LEASE, False),
    ],
)
def test_whose_trials_are_taken_over(url: str, lease: Lease | None, key: str, taken: bool) -> None:
    study = open_at(url, 1)
    number = claim_as(study, lease, key=key)
    assert study.take_over() == ([number] if taken else [])
    assert study.take_over() == []
    retry = study.claim()
    assert (retry is not None) == taken
    if retry is not None:
        assert retry.user_attrs[RETRY_OF] == number
        assert retry.suggest_float("x", 0.0, 1.0) == trials_of(study)[number].params["x"]
        assert study.tell(retry, 1.0, TrialState.COMPLETE, {})
        assert_done(study, 1)


def test_another_hosts_trial_is_its_own_until_the_lease_runs_out(url: str) -> None:
    study = open_at(url, 1)
    until = time.time() + 3.0
    number = claim_as(study, Lease(ELSEWHERE, until))
    assert study.take_over() == []
    assert study.claim() is None
    time.sleep(max(0.0, until - time.time()) + 0.05)
    assert study.take_over() == [number]
    assert "lease of process" in trials_of(study)[number].user_attrs[LOST_WHY]


def test_a_trial_that_nobody_signed_is_taken_over_after_the_length_of_a_lease(url: str) -> None:
    study = open_at(url, 1, lease_seconds=2.0)
    number = claim_as(study, None)
    assert study.take_over() == []
    time.sleep(2.1)
    assert study.take_over() == [number]


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_what_was_taken_over_is_not_told_again(url: str, state: TrialState) -> None:
    study = open_at(url, 1)
    trial = study.claim()
    assert trial is not None
    assert study.renew([trial]) == []
    trial.set_user_attr(LEASE, Lease(ELSEWHERE, 0.0).to_json())
    assert open_at(url, 1).counted() == 0
    assert study.renew([trial]) == [trial]
    for attributes in ({}, {"figure": 1}):
        assert not study.tell(trial, 1.0 if state == TrialState.COMPLETE else None, state, attributes)
    retry = study.claim()
    assert retry is not None
    assert study.tell(retry, 1.0, TrialState.COMPLETE, {})
    assert not study.tell(retry, 2.0, TrialState.COMPLETE, {})
    assert_done(study, 1)
    assert [trial.value for trial in trials_of(study)] == [None, 1.0]


def test_a_lost_trial_whose_taker_died_before_the_retry_is_repaired(url: str) -> None:
    study = open_at(url, 3)
    for taker in (Lease(DEAD, 1e12), Lease(ELSEWHERE, 0.0), Lease(ELSEWHERE, 1e12)):
        trial = study.claim()
        assert trial is not None
        trial.suggest_float("x", 0.0, 1.0)
        trial.set_user_attr(LOST, True)
        trial.set_user_attr(LOST_BY, taker.to_json())
        study.study.tell(trial, state=TrialState.FAIL)
    assert study.counted() == 0
    assert study.take_over() == []
    retried = [trial.user_attrs[RETRY_OF] for trial in trials_of(study) if RETRY_OF in trial.user_attrs]
    assert retried == [0, 1], "the third's taker may still be about to"
    assert study.claim() is not None
    assert study.claim() is not None
    assert study.claim() is None


def test_of_a_lost_place_beyond_those_that_are_asked_for_no_retry_is_added(url: str) -> None:
    more, less = open_at(url, 2), open_at(url, 1)
    first = more.claim()
    assert first is not None
    claim_as(more, Lease(DEAD, 0.0))
    assert less.take_over() == [1]
    assert less.take_over() == []
    assert less.claim() is None
    assert len(trials_of(less)) == 2
    assert more.take_over() == []
    retry = more.claim()
    assert retry is not None
    assert places_of(trials_of(more))[retry.number] == 1

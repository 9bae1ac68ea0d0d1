"""A study takes no results of another search, and a refusal changes nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.trial import create_trial
from study_cases import DEAD, claim_as, content_of
from study_worker import IDENTITY, NAME, open_at

from cappuccino.errors import InputError
from cappuccino.sweep.leases import Lease
from cappuccino.sweep.storage import open_storage


def changed_identities() -> list[tuple[dict[str, Any], str]]:
    def space(high: float) -> dict[str, str]:
        return {"agent.lr": distribution_to_json(FloatDistribution(0.1, high))}

    return [
        ({"data": "other bars"}, 'data was "bars" and is "other bars"'),
        ({"objective": "return"}, 'objective was "score" and is "return"'),
        ({"configuration": {"agent": {"gamma": 0.95, "epochs": 1}, "seed": 1}}, "agent.gamma was 0.9 and is 0.95;"),
        ({"configuration": {"agent": {"gamma": 0.9, "epochs": 1}}}, "seed was 1 and is not there"),
        ({"space": space(2.0)}, "space.agent.lr.high was 1.0 and is 2.0"),
        ({"configuration": {str(k): k for k in range(9)}}, "and 9 more"),
    ]


@pytest.mark.parametrize(("change", "said"), changed_identities())
def test_another_search_is_refused_and_nothing_changes(url: str, change: dict[str, Any], said: str) -> None:
    study = open_at(url, 2)
    claim_as(study, Lease(DEAD, 0.0))
    before = content_of(url)
    with pytest.raises(InputError) as refused:
        open_at(url, 2, identity=dataclasses.replace(IDENTITY, **change))
    assert said in str(refused.value)
    assert "another name" in str(refused.value)
    assert content_of(url) == before
    assert open_at(url, 2).counted() == 0, "the same search goes on: the dead process's trial is taken over"


def test_another_direction_is_refused_and_nothing_changes(url: str) -> None:
    open_at(url, 2)
    before = content_of(url)
    with pytest.raises(InputError, match="is to maximize its objective, not to minimize it"):
        open_at(url, 2, direction="minimize")
    assert content_of(url) == before


def test_a_study_of_somebody_else_is_refused(url: str) -> None:
    other = optuna.create_study(study_name=NAME, storage=open_storage(url), direction="maximize")
    other.add_trial(create_trial(value=1.0))
    with pytest.raises(InputError, match="was not made by a sweep"):
        open_at(url, 2)

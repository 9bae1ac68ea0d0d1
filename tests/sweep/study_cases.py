"""Studies for tests: processes that search them, and what must hold of one that is done."""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from cappuccino.sweep.leases import Lease, this_process
from cappuccino.sweep.places import LOST, MOST_LOSSES, RETRY_OF, is_lost, is_surplus, places_of
from cappuccino.sweep.study import CLAIM, LEASE, LOST_WHY, SharedStudy

ROOT = pathlib.Path(__file__).parents[2]
WORKER = pathlib.Path(__file__).with_name("study_worker.py")
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
FILES = ("sqlite", "journal")

HERE = this_process()
DEAD = dataclasses.replace(HERE, started="an earlier process")
ELSEWHERE = dataclasses.replace(HERE, host="elsewhere")
"""The owners of leases: this process, one that has ended, and one that cannot be asked for."""


def url_in(folder: pathlib.Path, kind: str) -> str:
    return f"{kind}:///{folder / 'study'}"


def start(mode: str, url: str, *numbers: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(WORKER), mode, url, *map(str, numbers)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """The lines that a process said, which must have gone well and said nothing else."""
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return output.splitlines()


def content_of(url: str) -> Any:
    """All that is in a storage."""
    if url.startswith("journal"):
        return pathlib.Path(url.partition(":///")[2]).read_bytes()
    engine = sqlalchemy.create_engine(url)
    tables = sqlalchemy.MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        content = {table.name: sorted(map(str, connection.execute(table.select()))) for table in tables.sorted_tables}
    engine.dispose()
    return content


def trials_of(study: SharedStudy) -> list[FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


def claim_as(study: SharedStudy, lease: Lease | None, *, key: str = LEASE) -> int:
    """A running trial of another process: with its lease, with its claim alone, or with neither. Its number."""
    trial = study.claim()
    assert trial is not None
    trial.suggest_float("x", 0.0, 1.0)
    gone = Lease(DEAD, 0.0).to_json()
    trial.set_user_attr(CLAIM, None)
    trial.set_user_attr(LEASE, None)
    trial.set_user_attr("noise", gone)
    if lease is not None:
        trial.set_user_attr(key, lease.to_json())
    return trial.number


def assert_done(study: SharedStudy, n_trials: int) -> None:
    """All have ended as they should, and nothing is left to claim."""
    assert study.claim() is None
    assert_all_ended(trials_of(study), n_trials)
    assert study.counted() == n_trials
    assert study.waiting() == 0


def assert_all_ended(trials: Sequence[FrozenTrial], n_trials: int) -> None:
    """Each place was filled once, each lost trial has the one retry, with its parameters, and no place too many of them.

    trials: all of a study, in order.
    """
    places = places_of(trials)
    said = [(one.number, places.get(one.number), one.state.name, one.user_attrs) for one in trials]
    assert {trial.state for trial in trials} <= set(ENDED), said
    assert not any(one.params for one in trials if is_surplus(one)), "nobody ran it"
    trials = [one for one in trials if not is_surplus(one)]
    filled = collections.Counter(places[trial.number] for trial in trials if not is_lost(trial))
    assert filled == dict.fromkeys(range(n_trials), 1)
    retries = collections.Counter(trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs)
    assert retries == {trial.number: 1 for trial in trials if is_lost(trial)}
    deaths = collections.Counter(
        places[one.number] for one in trials if one.state == TrialState.FAIL and LOST in one.user_attrs
    )
    assert max(deaths.values(), default=0) <= MOST_LOSSES
    for place, count in deaths.items():
        final = [trial for trial in trials if places[trial.number] == place][-1]
        assert (final.user_attrs.get("reason") == f"its process died {MOST_LOSSES} times") == (count == MOST_LOSSES)
    by_number = {trial.number: trial for trial in trials}
    for trial in trials:
        if is_lost(trial):
            assert trial.user_attrs[LOST] is True
            assert trial.user_attrs[LOST_WHY]
        if (parent := trial.user_attrs.get(RETRY_OF)) is not None and by_number[parent].params:
            assert trial.system_attrs["fixed_params"] == by_number[parent].params
            assert trial.params == by_number[parent].params or LOST in trial.user_attrs

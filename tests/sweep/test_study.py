"""A study that processes share, and that is there again after any of them was killed."""

from __future__ import annotations

import json
import pathlib
import random
import signal
import time
from collections.abc import Callable

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial
from study_cases import DEAD, ENDED, assert_done, claim_as, finish, start, trials_of, url_in
from study_worker import DEADLY, POINTS, open_at

from cappuccino.errors import InputError
from cappuccino.sweep.leases import Lease
from cappuccino.sweep.places import FAILED, LOST, MOST_LOSSES, RETRY_OF, is_lost, is_surplus, places_of
from cappuccino.sweep.study import LEASE

pytestmark = pytest.mark.usefixtures("quiet")


def test_processes_that_share_a_new_study_do_each_trial_once(url: str) -> None:
    claimed = [line for process in [start("run", url, 40, 3) for _ in range(3)] for line in finish(process)]
    study = open_at(url, 40)
    assert study.counted() == 40
    assert sorted(places_of(trials_of(study))[int(line.split()[1])] for line in claimed) == list(range(40))
    assert len({line.split()[1] for line in claimed}) == len(claimed) == 40
    assert len({trial.user_attrs["told_by"] for trial in trials_of(study) if not is_surplus(trial)}) > 1
    # What is left are at most the trials that were added when all places were taken.
    left = [trial for trial in trials_of(study) if trial.state not in ENDED]
    assert {trial.state for trial in left} <= {TrialState.WAITING}
    assert len(left) <= 2


def test_killed_twice_and_run_again(url: str) -> None:
    for _ in range(2):
        process = start("run", url, 24, 3)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("claimed")
        time.sleep(random.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start("run", url, 24, 3))
    assert_done(open_at(url, 24), 24)


def test_killed_at_each_write_in_turn(url: str) -> None:
    """From the creation of the tables on; what one leaves undone, and what the next was about to repair, is made good.

    Where creating the tables is more writes than all that follows, nobody is killed after it: so a second time, for more trials.
    """
    n_trials = 5 if url.startswith("journal") else 2
    for total in (1, n_trials):
        said = finish(start("die-at-each-write", url, total, 2))
        assert int(said[-1].split()[1]) > 4
    study = open_at(url, n_trials)
    assert_done(study, n_trials)
    assert any(is_lost(trial) for trial in trials_of(study))


@pytest.mark.parametrize("processes", [1, 2])
def test_trials_that_kill_their_process_fail_and_take_no_other_with_them(url: str, processes: int) -> None:
    searching = [start("die-of-some", url, 6, 3) for _ in range(processes)]
    died = sum(int(finish(process)[-1].split()[1]) for process in searching)
    study = open_at(url, 6, points=POINTS[:6])
    assert_done(study, 6)
    ended = {trial.params["x"]: trial for trial in trials_of(study) if not is_lost(trial) and not is_surplus(trial)}
    assert {x for x, trial in ended.items() if LOST in trial.user_attrs and trial.state == TrialState.FAIL} == set(DEADLY)
    assert MOST_LOSSES <= died <= MOST_LOSSES * len(DEADLY)


def test_what_a_killed_writer_left_of_a_record_is_cut_off(tmp_path: pathlib.Path) -> None:
    url = url_in(tmp_path, "journal")
    open_at(url, 2)
    with (tmp_path / "study").open("ab") as file:
        file.write(b'{"op_code":5,"worker')
    study = open_at(url, 2)
    assert study.claim() is not None
    assert study.claim() is not None
    assert [json.loads(line) for line in (tmp_path / "study").read_text().splitlines()]
    assert open_at(url, 2).counted() == 2


def test_the_number_of_trials_is_the_studys(url: str) -> None:
    study = open_at(url, 3)
    assert (study.counted(), study.waiting()) == (0, 3)
    first, second, third = (study.claim() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert study.claim() is None
    assert study.tell(first, 0.5, TrialState.COMPLETE, {"figure": [1, 2]})
    assert study.tell(second, None, TrialState.FAIL, {})
    assert (study.counted(), study.waiting()) == (3, 0)
    assert open_at(url, 2).claim() is None
    more = open_at(url, 5)
    assert (more.counted(), more.waiting()) == (3, 2)
    assert more.claim() is not None
    assert study.claim() is None
    assert more.claim() is not None
    assert more.claim() is None
    assert trials_of(more)[0].user_attrs["figure"] == [1, 2]


def test_the_best_is_the_best_complete_trial(url: str) -> None:
    study = open_at(url, 3)
    assert study.best() is None
    for value in (0.5, 2.0, 1.0):
        trial = study.claim()
        assert trial is not None
        study.tell(trial, value, TrialState.COMPLETE, {})
    best = study.best()
    assert best is not None
    assert best.value == 2.0


def test_a_wrong_value_is_an_error_not_a_lost_trial(url: str) -> None:
    study = open_at(url, 1)
    trial = study.claim()
    assert trial is not None
    with pytest.raises(ValueError, match="not acceptable"):
        study.tell(trial, float("nan"), TrialState.COMPLETE, {})
    assert study.tell(trial, None, TrialState.FAIL, {})
    assert trials_of(study)[0].user_attrs[FAILED] is True


def test_a_last_try_comes_after_all_others_and_runs_alone(url: str) -> None:
    study = open_at(url, 3)
    for _ in range(MOST_LOSSES - 1):
        claim_as(study, Lease(DEAD, 0.0))
        assert len(study.take_over()) == 1
    others = [study.claim(), study.claim()]
    assert study.claim() is None
    assert (study.counted(), study.waiting()) == (2, 1)
    for trial in others:
        assert trial is not None
        assert places_of(trials_of(study))[trial.number] > 0
        assert study.claim() is None
        assert study.tell(trial, 0.0, TrialState.COMPLETE, {})
    last = study.claim()
    assert last is not None
    assert places_of(trials_of(study))[last.number] == 0
    more = open_at(url, 4)
    assert more.claim() is None
    last.set_user_attr(LEASE, Lease(DEAD, 0.0).to_json())
    assert more.take_over() == [last.number]
    assert more.take_over() == []
    assert (study.counted(), study.waiting()) == (3, 0)
    assert_done(study, 3)
    assert more.claim() is not None
    assert more.claim() is None


def test_failures_are_counted_whoever_had_them_and_losses_only_when_nothing_makes_them_good(url: str) -> None:
    study, other = open_at(url, 4), open_at(url, 4)
    for holder in (study, other):
        trial = holder.claim()
        assert trial is not None
        assert holder.tell(trial, None, TrialState.FAIL, {})
    done = study.claim()
    assert done is not None
    assert study.tell(done, 0.0, TrialState.COMPLETE, {})
    for losses in range(MOST_LOSSES):
        assert study.failed() == other.failed() == 2, f"after {losses} losses"
        claim_as(study, Lease(DEAD, 0.0))
        assert len(study.take_over()) == 1
    assert study.failed() == other.failed() == 3


def test_trials_too_many_are_ended_by_whoever_claims_next_and_take_no_place(url: str) -> None:
    study = open_at(url, 2)
    claim_as(study, Lease(DEAD, 0.0))
    assert study.take_over() == [0]
    study.study.enqueue_trial({"x": 0.5}, user_attrs={RETRY_OF: 0})
    for _ in range(3):
        study.study.add_trial(create_trial(state=TrialState.WAITING))
    for _ in range(2):
        trial = study.claim()
        assert trial is not None
        trial.suggest_float("x", 0.0, 1.0)
        assert study.tell(trial, 0.0, TrialState.COMPLETE, {})
    assert_done(study, 2)
    surplus = [one.number for one in trials_of(study) if is_surplus(one)]
    assert len(surplus) == 3, "two beyond the last place, and a second retry"
    more = open_at(url, 4)
    assert more.take_over() == []
    new = [more.claim(), more.claim()]
    assert more.claim() is None
    assert [places_of(trials_of(more))[one.number] for one in new if one is not None] == [2, 3]


@pytest.mark.parametrize("n_trials", [3, 10])
def test_a_grid_gives_each_point_once_whoever_dies(url: str, n_trials: int) -> None:
    points = [{"x": 0.5 * k, "kind": "ab"[k % 2]} for k in range(4)]
    study = open_at(url, n_trials, points=points)
    assert study.n_trials == min(n_trials, 4)
    while (trial := study.claim()) is not None:
        if trial.number == 1:
            trial.set_user_attr(LEASE, Lease(DEAD, 0.0).to_json())
            study.take_over()
            continue
        trial.suggest_float("x", 0.0, 2.0)
        trial.suggest_categorical("kind", ["a", "b"])
        study.tell(trial, 0.0, TrialState.COMPLETE, {})
    done = [trial.params for trial in trials_of(study) if trial.state == TrialState.COMPLETE]
    assert sorted(done, key=lambda params: params["x"]) == points[: study.n_trials]
    with pytest.raises(InputError, match="points was"):
        open_at(url, n_trials, points=points[:3])


def samplers() -> dict[str, Callable[[], optuna.samplers.BaseSampler]]:
    return {
        "random": lambda: optuna.samplers.RandomSampler(seed=1),
        "tpe": lambda: optuna.samplers.TPESampler(seed=1, constant_liar=True, n_startup_trials=4),
        "multivariate tpe": lambda: optuna.samplers.TPESampler(
            seed=1, constant_liar=True, multivariate=True, n_startup_trials=4
        ),
        "qmc": lambda: optuna.samplers.QMCSampler(seed=1, scramble=True, warn_independent_sampling=False),
        "nsgaii": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
    }


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", samplers())
def test_samplers_see_a_claimed_trial_as_one_that_was_asked_for(tmp_path: pathlib.Path, name: str) -> None:
    study = open_at(url_in(tmp_path, "journal"), 16, sampler=samplers()[name]())
    usual = optuna.create_study(sampler=samplers()[name](), direction="maximize")

    def claim() -> optuna.Trial:
        trial = study.claim()
        assert trial is not None
        return trial

    found = []
    for ask, tell in ((usual.ask, usual.tell), (claim, lambda trial, value: study.tell(trial, value, TrialState.COMPLETE, {}))):
        params = []
        for _ in range(8):
            pair = []
            for _ in range(2):  # two run side by side
                trial = ask()
                pair.append((trial, trial.suggest_float("x", 0.0, 1.0) + trial.suggest_float("lr", 1e-4, 1.0, log=True)))
            params += [trial.params for trial, _ in pair]
            for trial, value in pair:
                tell(trial, value)
        found.append(params)
    assert found[0] == found[1]


@settings(max_examples=12)
@given(data=st.data())
def test_whatever_several_processes_do_no_place_is_filled_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Three holders of a study in any order; a trial is lost when its lease is replaced by a dead process's."""
    url = url_in(tmp_path_factory.mktemp("shared"), "journal")
    sizes = [data.draw(st.integers(1, 5)) for _ in range(3)]
    holders = [open_at(url, size) for size in sizes]
    running: list[optuna.Trial] = []
    for _ in range(data.draw(st.integers(0, 15))):
        study = data.draw(st.sampled_from(holders))
        match data.draw(st.sampled_from(["claim", "claim", "tell", "lose", "take over"])):
            case "claim":
                before = study.counted()
                trial = study.claim()
                assert trial is None or before < study.n_trials
                running += [trial] if trial is not None else []
            case "tell" if running:
                trial = running.pop(data.draw(st.integers(0, len(running) - 1)))
                assert study.tell(trial, 0.0, TrialState.COMPLETE, {})
            case "lose" if running:
                trial = running.pop(data.draw(st.integers(0, len(running) - 1)))
                trial.set_user_attr(LEASE, Lease(DEAD, 0.0).to_json())
            case "take over":
                study.take_over()
        assert study.counted() <= max(sizes)
    last = open_at(url, max(sizes))
    for trial in running:
        assert last.tell(trial, 0.0, TrialState.COMPLETE, {})
    while (trial := last.claim()) is not None:
        last.tell(trial, 0.0, TrialState.COMPLETE, {})
    assert_done(last, max(sizes))

"""A search whose trials are judged on folds: all parts train, and their policies are judged on bars that they never saw."""

from __future__ import annotations

import pathlib

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState
from sweep import sweep_cases as cases

from cappuccino.config import compose
from cappuccino.config.composition import load_train_config, save_config
from cappuccino.lanes.engine import Markets
from cappuccino.sweep.parts import FoldSeed, parts_of
from cappuccino.sweep.returns import judge_returns, kept_of

BARS = 1400
FOLDS = ("validation=kfold_purged", "validation.groups=3", f"data.bars={BARS}")
CHUNKS = 4
SPACE = ("agent.learning_rate=tag(log, interval(1e-3, 1e-1))",)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("folds")
    words = (
        *SPACE,
        *FOLDS,
        "hydra.sweeper.seeds=2",
        "hydra.sweeper.pruner=asha",
        "hydra.sweeper.lanes=4",
        "hydra.sweeper.n_jobs=1",
    )
    cases.run(folder, *cases.search(*words, n_trials=8))
    return folder


def test_a_trial_is_told_chunk_by_chunk_then_fold_by_fold_and_its_value_is_the_mean_over_all(finished):
    trials = cases.study(finished).get_trials()
    ended = {state: [one for one in trials if one.state == state] for state in (TrialState.COMPLETE, TrialState.PRUNED)}
    assert len(ended[TrialState.COMPLETE]) + len(ended[TrialState.PRUNED]) == 8
    assert ended[TrialState.PRUNED], "successive halving stops most"
    for trial in ended[TrialState.COMPLETE]:
        assert list(trial.intermediate_values) == [*range(CHUNKS), CHUNKS + 1, CHUNKS + 2], "first two folds, then all"
        assert trial.value == trial.intermediate_values[CHUNKS + 2]
        assert [(one["fold"], one["seed"]) for one in trial.user_attrs["placed"]] == [
            (f, s) for f in range(3) for s in range(2)
        ]
        assert trial.user_attrs["env_steps"] == 6 * 512
    for trial in ended[TrialState.PRUNED]:
        assert trial.intermediate_values.keys() < {*range(CHUNKS), CHUNKS + 1, CHUNKS + 2}
        assert "hedged_sharpe" in trial.user_attrs


def test_returns_over_all_bars_that_folds_test_are_kept_of_whole_trials_alone(finished):
    study = cases.study(finished)
    folder = finished / "runs" / cases.STUDY
    complete = [one.number for one in study.get_trials() if one.state == TrialState.COMPLETE]
    assert kept_of(study) == complete
    assert sorted(int(path.stem) for path in (folder / "returns").iterdir()) == complete
    spec = Markets().data(compose("train", [*cases.SMALL, *FOLDS, "name=any"])).spec
    test_begins = 1190  # of 1,400 bars split 70:15:15
    for number in complete:
        kept = pd.read_parquet(folder / "returns" / f"{number}.parquet")
        assert len(kept) == test_begins - spec.warmup - 1, "a bar is returned on by the one before it"
    assert judge_returns(folder, complete).trials <= len(complete)


def test_the_best_comes_out_again_to_the_last_bit_though_lanes_were_shared(finished):
    best = cases.study(finished).best_trial
    lanes = [one["lane"] for one in best.user_attrs["placed"]]
    assert len(set(lanes)) < len(lanes)
    said = cases.run(finished, f"best={cases.STUDY}", "name=again")
    assert "to the last bit" in said
    assert "3 folds x 2 seeds" in said


def test_a_fold_that_diverges_fails_its_trial(tmp_path):
    space = ("hydra/sweeper/sampler=grid", "env.reward.scale=choice(50,1e38)", "hydra.sweeper.pruner=none")
    cases.run(tmp_path, *cases.search(*space, *FOLDS))
    ended = {trial.params["env.reward.scale"]: trial for trial in cases.study(tmp_path).get_trials()}
    assert ended[50].state == TrialState.COMPLETE
    assert ended[1e38].state == TrialState.FAIL
    assert "the training diverged (fold 0, seed 0" in ended[1e38].user_attrs["reason"]


def test_no_part_reads_what_its_fold_tests_and_each_bar_is_tested_once():
    config = compose("train", [*cases.SMALL, *FOLDS, "name=folds"])
    parts, crossing = parts_of(config, 2, Markets())
    assert crossing is not None
    assert list(parts) == [FoldSeed(fold, seed) for fold in range(3) for seed in range(2)]
    reach = config.env.episode_bars
    for place, part in parts.items():
        tested = {row for span in crossing.folds.folds[place.fold].test for row in range(span.start, span.stop)}
        for starts, ahead in ((part.training.starts, reach), (part.training.valid, 1)):
            read = {int(row) + k for row in np.asarray(starts.rows) for k in range(ahead + 1)}
            assert not read & tested
    rows = np.concatenate([crossing.tested.rows[fold][: crossing.tested.number[fold]] for fold in range(3)])
    assert len(np.unique(rows)) == len(rows)
    assert rows.max() + 1 < crossing.data.spans.test.start


def test_the_figures_of_a_fold_are_those_of_its_path():
    config = compose("train", [*cases.SMALL, *FOLDS, "name=folds"])
    parts, crossing = parts_of(config, 1, Markets())
    assert crossing is not None
    for place, part in parts.items():
        path, figures = crossing.test(place.fold, part.training, part.training.weights)
        assert figures["mean_log_growth"] == pytest.approx(np.log1p(path.returns).mean(), rel=1e-3, abs=1e-7)
        assert figures["exposure"] == pytest.approx(path.weights[1:].sum(axis=1).mean(), rel=1e-4)
        assert figures["turnover"] == pytest.approx((path.notional / path.equity[:-1]).mean(), rel=1e-3)


def test_folds_of_a_configuration_are_saved_and_read_again(tmp_path):
    config = compose("train", [*cases.SMALL, "validation=cpcv", "validation.groups=4", "name=folds"])
    save_config(config, tmp_path / "config.yaml")
    assert load_train_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("validation=cpcv",), "a run is judged on its validation span"),
        (("-m", "seed=0,1", "validation=cpcv"), "Folds are for a search"),
        (("-m", "sweep=ppo", "validation=cpcv", "validation.groups=40"), "has no bar to test"),
        (("-m", "validation.groups=int(interval(3, 6))", "validation=cpcv"), "judged on the same bars"),
        (("-m", "sweep=ppo", "validation=folds"), "it must be one of cpcv, holdout, kfold_purged, walk_forward"),
    ],
)
def test_bad_input_is_refused_before_anything_trains(words, said, tmp_path):
    assert said in cases.run(tmp_path, *words, code=2)
    assert not (tmp_path / "runs" / "studies.db").exists()

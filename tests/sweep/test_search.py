"""A search from the command line: it ends with a report and a best trial that comes out again to the last bit."""

from __future__ import annotations

import dataclasses
import pathlib
import signal

import numpy as np
import pytest
import sweep_cases as cases
from omegaconf import OmegaConf
from optuna.trial import TrialState

from cappuccino.training.metrics_log import read_rows
from cappuccino.training.run import Run

SPACE = ("agent.learning_rate=tag(log, interval(1e-4, 1e-1))", "agent.gamma=interval(0.5, 0.9)")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, str]:
    """A finished study, and what the command printed."""
    folder = tmp_path_factory.mktemp("search")
    return folder, cases.run(folder, *cases.search(*SPACE, "hydra.sweeper.seeds=2", "hydra.sweeper.pruner=none"))


def test_a_search_ends_with_a_report_and_a_record(finished):
    folder, said = finished
    home = folder / "runs" / cases.STUDY
    page = (home / "report.html").read_text()
    assert all(title in page for title in ("History", "Importance", "Slices", "Parallel coordinates", "Contours", "Timeline"))
    assert page.count("plotly.js v") <= 1
    record = OmegaConf.load(home / "best.yaml")
    best = cases.study(folder).best_trial
    assert (record.trial, record.value) == (best.number, best.value)
    assert f"the best is trial {best.number}" in said
    assert "deflated Sharpe ratio is" in said


def test_every_trial_has_its_figures_and_its_folders(finished):
    folder, _ = finished
    trials = cases.study(folder).get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    for trial in trials:
        assert {"hedged_sharpe", "env_steps", "bars", "turnover", "placed", "configuration"} <= trial.user_attrs.keys()
        assert trial.user_attrs["env_steps"] == 2 * 4 * 128
        assert sorted(trial.intermediate_values) == [0, 1, 2, 3]
        for seed in (0, 1):
            run = Run.find(f"{cases.STUDY}/{trial.number}/seed-{seed}", str(folder / "runs"))
            assert run.config.seed == seed
            assert run.config.agent.learning_rate == trial.params["agent.learning_rate"]
            assert len(read_rows(run.folder / "metrics.jsonl")) == 4
            restored = run.best()
            scores = [row["validation/score"] for row in read_rows(run.folder / "metrics.jsonl")]
            assert restored.update == int(np.argmax(scores)) + 1


def test_the_best_trial_trains_again_to_the_last_bit(finished):
    folder, _ = finished
    said = cases.run(folder, f"best={cases.STUDY}", "name=again")
    assert "to the last bit" in said
    names = (f"{cases.STUDY}/{cases.study(folder).best_trial.number}/seed-0", "again/seed-0")
    first, again = (Run.find(name, str(folder / "runs")) for name in names)
    assert first.best().update == again.best().update
    for name, array in first.best().arrays.items():
        np.testing.assert_array_equal(array, again.best().arrays[name])


def test_repeating_the_command_adds_nothing_and_a_larger_total_the_rest(finished):
    folder, _ = finished
    words = (*SPACE, "hydra.sweeper.seeds=2", "hydra.sweeper.pruner=none")
    cases.run(folder, *cases.search(*words))
    assert len(cases.study(folder).get_trials()) == 6
    cases.run(folder, *cases.search(*words, n_trials=8))
    assert len(cases.study(folder).get_trials()) == 8
    refused = cases.run(folder, *cases.search(*words, "agent.clip=0.1"), code=2)
    assert "agent.clip was 0.2 and is 0.1" in refused
    assert "hydra.sweeper.seeds" not in refused


def test_a_kill_at_any_moment_loses_nothing(tmp_path):
    words = cases.search(*SPACE, n_trials=10)
    for lines in (3, 6):
        process = cases.start(tmp_path, *words)
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    cases.run(tmp_path, *words)
    trials = cases.study(tmp_path).get_trials()
    lost = [trial for trial in trials if trial.user_attrs.get("lost") and trial.state == TrialState.FAIL]
    assert all(trial.state.is_finished() for trial in trials)
    assert len(trials) - len(lost) == 10


def test_a_storage_that_goes_away_in_the_middle_of_a_study_ends_it_and_loses_nothing(tmp_path):
    words, runs = cases.search(*SPACE, n_trials=10), tmp_path / "runs"
    process = cases.start(tmp_path, *words)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("trial 3"):
        assert process.poll() is None
    files = [path for path in runs.iterdir() if path.name.startswith("studies.db")]
    for path in files:
        path.rename(tmp_path / path.name)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    (line,) = err.splitlines()
    assert "studies.db is gone" in line
    assert not any(path.exists() for path in files)
    for path in files:
        (tmp_path / path.name).rename(path)
    told = sum(trial.state.is_finished() for trial in cases.study(tmp_path).get_trials())
    assert told > 0
    cases.run(tmp_path, *words)
    trials = cases.study(tmp_path).get_trials()
    assert all(trial.state.is_finished() for trial in trials)
    assert len([trial for trial in trials if not trial.user_attrs.get("lost")]) == 10


def test_two_processes_share_a_study(tmp_path):
    same = ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1")  # and nevertheless no trial twice
    words = cases.search(*SPACE, *same, n_trials=12)
    both = [cases.start(tmp_path, *words) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    trials = cases.ended(tmp_path)
    assert len(trials) == 12
    assert len({tuple(trial.params.items()) for trial in trials}) == 12
    begun = [{line.split()[1] for line in out.splitlines() if line.startswith("trial ")} for out, _ in said]
    assert begun[0] & begun[1] == set()
    assert begun[0] | begun[1] == {str(number) for number in range(12)}


def test_a_trial_that_diverges_fails_and_leaves_the_others_as_they_are(tmp_path):
    found = {}
    for name, scales in {"with": "50,1e38,100,200", "without": "50,100,200"}.items():
        space = ("hydra/sweeper/sampler=grid", f"env.reward.scale=choice({scales})", "hydra.sweeper.pruner=none")
        cases.run(tmp_path, "-m", f"hydra.sweeper.study_name={name}", *space)
        found[name] = {trial.params["env.reward.scale"]: trial for trial in cases.study(tmp_path, name).get_trials()}
    failed = found["with"].pop(1e38)
    assert failed.state == TrialState.FAIL
    assert "the training diverged (seed 0)" in failed.user_attrs["reason"]
    assert {scale: trial.value for scale, trial in found["with"].items()} == {
        scale: trial.value for scale, trial in found["without"].items()
    }
    assert "max_failure_rate is 0.2" in cases.run(
        tmp_path,
        *("-m", "hydra.sweeper.study_name=strict", "hydra.sweeper.max_failure_rate=0.2", "hydra/sweeper/sampler=grid"),
        "env.reward.scale=choice(50,1e38,100,200)",
        code=2,
    )


def test_a_multirun_of_lists_is_what_separate_runs_are_up_to_rounding(tmp_path):
    said = cases.run(tmp_path, "-m", "seed=0,1", "name=both")
    assert "both/0/report.html" in said
    cases.run(tmp_path, "seed=1", "name=alone")
    lane, alone = (Run.find(name, str(tmp_path / "runs")) for name in ("both/1", "alone"))
    assert dataclasses.replace(lane.config, name="alone") == alone.config
    first, other = (read_rows(run.folder / "metrics.jsonl")[0] for run in (lane, alone))
    for name in ("steps/reward", "steps/turnover", "loss/minibatch/gradient_norm", "validation/score"):
        assert first[name] == pytest.approx(other[name], rel=1e-3), name
    for run in (lane, alone):
        assert (run.folder / "report.html").exists()
        assert (run.folder / "summary.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("agent.learning_rat=interval(1e-4, 1e-2)",), "did you mean agent.learning_rate?"),
        (("agent.gamma=interval(0.5, 1.5)",), "agent.gamma is 1.5; it must be in (0, 1]"),
        (("agent.gamma=interval(0.9, 0.5)",), "the first below the second"),
        (("sweep=ppo", "seed=0,1,2"), "hydra.sweeper.seeds=3"),
        (("data.seed=int(interval(0, 9))",), "data.seed cannot be searched"),
        (("sweep=ppo", "hydra/sweeper/sampler=grid"), "has no steps for a grid"),
        (
            ("agent.gamma=0.5,0.9", "agent.clip=interval(0.1, 0.2)", "hydra/sweeper/sampler=qmc"),
            "QMCSampler cannot handle agent.gamma",
        ),
        (("sweep=ppo", "hydra.sweeper.storage=sqlite:////proc/none.db"), "the storage sqlite:////proc/none.db cannot be used"),
        (("sweep=ppo", "hydra.sweeper.objective=profit"), "it must be one of active, growth, mean_growth, sharpe, robust"),
        (("sweep=ppo", "hydra.sweeper.pruner=hyper"), "it must be one of median, asha, none"),
        (("sweep=ppo", "hydra.sweeper.direction=[maximize,minimize]"), "a trial has one objective"),
        (("sweep=ppo", "hydra.sweeper.n_trails=3"), "n_trails"),
        (("sweep=everything",), "it must be one of apg, costs_robust, features, full, network, ppo, reward"),
    ],
)
def test_bad_input_is_refused_before_anything_trains(words, said, tmp_path):
    refused = cases.run(tmp_path, "-m", *words, code=2)
    assert said in refused
    assert not (tmp_path / "runs" / "studies.db").exists()


def test_an_unknown_study_has_no_best_trial(tmp_path):
    assert "there is no study of that name" in cases.run(tmp_path, "best=nothing", code=2)


@pytest.mark.parametrize(
    "word", ["sweep=ppo", "hydra.sweeper.n_trials=3", "hydra/sweeper/sampler=random", "hydra/launcher=ray"]
)
def test_what_only_a_multirun_reads_asks_for_one(word, tmp_path):
    assert f"{word} is for a multirun; give -m too" in cases.run(tmp_path, word, code=2)

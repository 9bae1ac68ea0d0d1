"""Workers on a real Ray cluster of this machine share a study, and what cannot be is said before anything trains."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Iterator

import pytest
import sweep_cases as cases
from optuna.trial import TrialState
from ray_cluster import LOOPBACK, READY_S, local_cluster

from cappuccino.config.sweep import RayConfig
from cappuccino.errors import InputError
from cappuccino.sweep.worker import Began, Ended, run_worker
from cappuccino.sweep.workers import check_storage, room_on

pytest.importorskip("ray", reason="ray is not installed")

SPACE = ("agent.learning_rate=tag(log, interval(1e-4, 1e-1))", "agent.gamma=interval(0.5, 0.9)", "hydra.sweeper.pruner=none")


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with local_cluster() as address:
        yield address


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LOOPBACK.items():
        monkeypatch.setenv(name, value)


def search(address: str, *words: str, n_trials: int = 8, workers: int = 2) -> tuple[str, ...]:
    launcher = ("hydra/launcher=ray", f"hydra.launcher.address={address}", f"hydra.launcher.workers={workers}")
    return cases.search(*SPACE, *launcher, *words, n_trials=n_trials)


def test_two_workers_share_a_study(cluster, tmp_path):
    process = cases.start(tmp_path, *search(cluster))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    trials = cases.ended(tmp_path)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 8
    assert len({tuple(trial.params.items()) for trial in trials}) == 8
    lines = [line.split() for line in out.splitlines() if line.startswith("worker ")]
    told = [(int(words[1]), int(words[3])) for words in lines if words[2] == "trial"]
    assert sorted(trial for _, trial in told) == list(range(8))
    for worker in ("0", "1"):
        ends = [words[4:] for words in lines if words[1:3] == [worker, "on"]]
        assert ends == [["begins"], ["has", "ended"]]
    home = tmp_path / "runs" / cases.STUDY
    assert (home / "best.yaml").exists()
    assert (home / "report.html").exists()
    assert "the best is trial" in out
    assert "RAY" not in err.upper(), err


def test_a_worker_that_is_killed_is_named_and_the_other_does_its_trials(cluster, tmp_path):
    process = cases.start(tmp_path, *search(cluster, n_trials=4))
    victim = first_worker_in(tmp_path)
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.count("failed with exit code -9") == 1
    assert out.count("has ended") == 1
    assert len(cases.study(tmp_path).get_trials(states=(TrialState.COMPLETE,))) == 4


def test_where_all_workers_die_the_command_fails(cluster, tmp_path):
    process = cases.start(tmp_path, *search(cluster, workers=1))
    os.kill(first_worker_in(tmp_path), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "all of hydra.launcher.workers=1 failed; the first failed with exit code -9" in err


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_workers_end_with_the_command(sent, code, cluster, tmp_path):
    process = cases.start(tmp_path, *search(cluster, n_trials=200))
    try:
        first_worker_in(tmp_path)
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    until = time.monotonic() + 30
    while workers_in(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.1)


def first_worker_in(folder: pathlib.Path) -> int:
    until = time.monotonic() + READY_S
    while not (found := workers_in(folder)):
        assert time.monotonic() < until
        time.sleep(0.05)
    return min(found)


def workers_in(folder: pathlib.Path) -> set[int]:
    """The processes of workers whose current directory this is."""
    found = set()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            mine = (process / "cwd").readlink() == folder and b"cappuccino.sweep.worker" in (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        found |= {int(process.name)} if mine else set()
    return found


def test_a_worker_says_what_its_process_said_and_how_it_ended(tmp_path):
    began, said, ended = run_worker(["agent.clip=high"], str(tmp_path), str(tmp_path), 1, 0)
    assert isinstance(began, Began)
    assert "agent.clip" in said
    assert ended == Ended(2, said)


def test_a_worker_that_does_not_see_the_folder_of_the_study_does_not_train(tmp_path):
    _, ended = run_worker([], str(tmp_path), str(tmp_path / "elsewhere"), 1, 0)
    assert ended.code is None
    assert f"does not see {tmp_path / 'elsewhere'}" in ended.said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("hydra.launcher.cpus=3",),
            "a worker takes 3 cores and 0 GPUs (hydra.launcher.cpus and gpus), but the nodes of the cluster have 2",
        ),
        (("device=cuda",), "hydra.launcher.gpus is 0; it must be at least 1"),
        (("hydra.launcher.address=127.0.0.1:1",), "no cluster is reached there"),
    ],
)
def test_bad_input_is_refused_before_anything_trains(words, said, cluster, tmp_path):
    refused = cases.run(tmp_path, *search(cluster, *words), code=2)
    assert said in refused
    assert not (tmp_path / "runs" / "studies.db").exists()


def test_lists_are_no_search_for_workers(tmp_path):
    assert "is for a search" in cases.run(tmp_path, "-m", "seed=0,1", "hydra/launcher=ray", code=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": 0}, "hydra.launcher.workers is 0; it must be at least 1"),
        ({"gpus": -1}, "hydra.launcher.gpus is -1; it must be at least 0"),
        ({"address": "ray://somewhere:10001"}, "it must be auto or HOST:PORT"),
        ({"address": "local"}, "it must be auto or HOST:PORT"),
    ],
)
def test_what_is_no_cluster_and_no_worker_is_refused(changes, said):
    with pytest.raises(InputError) as caught:
        RayConfig(**{"address": "auto", "workers": 1, "cpus": 1, "gpus": 0, **changes}).check()
    assert said in str(caught.value)


def test_files_are_no_storage_for_several_hosts():
    with pytest.raises(InputError, match=r"several hosts \(one, two\), which cannot lock a file safely"):
        check_storage("sqlite:///runs/studies.db", {"two", "one"})
    check_storage("sqlite:///runs/studies.db", {"one"})
    check_storage("postgresql+psycopg://user:secret@host/name", {"one", "two"})


def test_the_room_is_that_of_whole_workers_on_one_node_each():
    nodes = [{"CPU": 5.0, "GPU": 1.0}, {"CPU": 5.0}, {}]
    assert room_on(nodes, RayConfig("auto", 4, 2, 0)) == 4
    assert room_on(nodes, RayConfig("auto", 4, 2, 1)) == 1
    assert room_on(nodes, RayConfig("auto", 4, 6, 0)) == 0

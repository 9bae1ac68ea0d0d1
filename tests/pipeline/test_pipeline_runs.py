"""The pipeline on what is really there: damaged files, and traders of its own in processes of their own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from small_artifact import SMALL, make_artifact

from cappuccino import write_ahead
from cappuccino.cli import INPUT_ERROR, main
from cappuccino.config import compose
from cappuccino.deployment import UNTRIED
from cappuccino.pipeline import launching, work
from cappuccino.pipeline.looking import Looker, look_at_bars
from cappuccino.pipeline.places import ChampionName, Places
from cappuccino.pipeline.plan import Settings, plan
from cappuccino.pipeline.steps import Report, StartExchange
from cappuccino.registry.registry import Registry, Trial
from cappuccino.sweep import storage
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders

PROGRAM = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
TRIALS = [Trial(number, "complete", 0.1, {}) for number in range(16)]
WORDS = [*SMALL, "poll_s=0.1"]


def run(runs: pathlib.Path, *words: str) -> int:
    return main(["pipeline", "run", *WORDS, f"runs_dir={runs}", *words])


@pytest.fixture
def runs(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """With a study that has ended, and nothing else. Whatever a test leaves running is ended."""
    folder = tmp_path / "runs"
    with contextlib.closing(Registry(folder)) as registry:
        registry.add_study("pipeline", objective="active", direction="maximize", trials=TRIALS)
    yield folder
    for lock in (Places(folder).own / "launched").glob("*.lock"):
        owner = launching.holder(lock)
        if owner is not None:
            os.kill(owner.pid, signal.SIGTERM)


def candidate(runs: pathlib.Path, name: str, seed: int, study: str | None) -> str:
    """An artifact of which causality is proved."""
    folder = make_artifact(runs, name, seed)
    with contextlib.closing(Registry(runs)) as registry:
        registry.store.put(folder)
        (checksum,) = [one.checksum for one in registry.entries() if one.name == name]
        registry.record(checksum, "causality", {"passed": True, "said": "nothing does"})
    if study is not None:
        with contextlib.closing(sqlite3.connect(runs / "registry" / "registry.sqlite")) as db, db:
            db.execute("UPDATE artifacts SET study = ? WHERE checksum = ?", (study, checksum))
    return checksum


def states(runs: pathlib.Path) -> dict[str, str]:
    with contextlib.closing(Registry(runs)) as registry:
        return {entry.checksum: entry.state for entry in registry.entries()}


def test_a_dry_run_says_what_would_be_done_and_does_nothing(runs: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    before = sorted(path for path in runs.rglob("*") if path.is_file() and not path.name.startswith("registry.sqlite"))
    assert run(runs, "dry_run=true") == 0
    assert "would       validate the best trial of study pipeline" in terminal.readouterr().out
    after = sorted(path for path in runs.rglob("*") if path.is_file() and not path.name.startswith("registry.sqlite"))
    assert [path for path in after if path not in before] == [runs / "pipeline" / name for name in ("lock", "pipeline.log")]


def test_a_registry_that_is_damaged_is_said_in_one_line(runs: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    checksum = candidate(runs, "one", 0, "pipeline")
    path = runs / "registry" / "registry.sqlite"
    whole = path.read_bytes()
    path.write_bytes(b"not a database " * 1_000)
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    assert run(runs) == INPUT_ERROR
    (line,) = [one for one in terminal.readouterr().err.splitlines() if one]
    assert "registry.sqlite cannot be used" in line
    path.write_bytes(whole)
    assert states(runs) == {checksum: "candidate"}


def test_an_artifact_that_is_missing_is_not_promoted(
    runs: pathlib.Path, terminal: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "AGAIN_S", 0.1)
    checksum = candidate(runs, "one", 0, "pipeline")
    folder = runs / "registry" / "artifacts" / checksum
    folder.rename(runs / "moved")
    assert run(runs) == INPUT_ERROR
    assert f"artifact {checksum[:12]} is not in" in terminal.readouterr().err
    assert states(runs) == {checksum: "candidate"}
    (runs / "moved").rename(folder)
    # What is not known says nothing of its worth: it is not promoted, and not given up.
    assert run(runs) == INPUT_ERROR
    assert "deflated is not known" in terminal.readouterr().err
    assert states(runs) == {checksum: "candidate"}
    with contextlib.closing(Registry(runs)) as registry:
        figures = {"deflated": 0.2, "trials": 16, "pbo": 0.5, "information_low": None, "growth_by_fees": {"1.5": -1e-4}}
        registry.record(checksum, "validation", {**figures, "growth": None, "last_bar": 0})
    assert run(runs) == 0
    assert "deflated is 0.200 over 16 trials, asked is at least 0.95; pbo is 0.500" in terminal.readouterr().out
    assert states(runs) == {checksum: "retired"}


def test_a_storage_that_is_damaged_locked_or_of_another_study_is_said(
    tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    path = runs / "studies.db"
    path.write_bytes(b"not a database " * 1_000)
    assert run(runs) == INPUT_ERROR
    assert "studies.db cannot be used: file is not a database" in terminal.readouterr().err
    path.unlink()
    storage.open_storage(f"sqlite:///{path}")
    for module in (storage, write_ahead):
        monkeypatch.setattr(module, "BUSY_S", 0.1)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("BEGIN EXCLUSIVE")
        assert run(runs) == INPUT_ERROR
    assert "studies.db cannot be used: database is locked" in terminal.readouterr().err
    assert states(runs) == {}


@pytest.mark.parametrize("code", sorted(UNTRIED))
def test_what_was_left_to_a_person_is_tried_again_once_the_command_is_given_again(runs: pathlib.Path, code: int) -> None:
    checksum = candidate(runs, "one", 0, None)
    config, places = compose("pipeline", [*WORDS, f"runs_dir={runs}"]), Places(runs)
    name = ChampionName(1, 1, checksum[:12])
    lock = places.launched(str(name))
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (0, 0))  # it was started long ago
    with contextlib.closing(Registry(runs)) as registry:
        for state in ("validated", "shadow", "champion"):
            registry.change(checksum, state, "for the test")
        bars = look_at_bars(config)

        def planned(looker: Looker) -> list[str]:
            seen = looker.look(bars, is_busy=False, failed_steps=frozenset(), reported=frozenset())
            steps = plan(seen, Settings(config.shadow_bars, is_local=True))
            return [type(step).__name__ for step in steps if isinstance(step, Report | StartExchange)]

        first = Looker(config, places, registry)
        registry.end_deployment(registry.begin_deployment(checksum, str(name)), code)
        assert planned(first) == ["Report"]
        assert planned(first) == ["Report"]
        again = Looker(config, places, registry)
        assert planned(again) == ["StartExchange"]
        registry.end_deployment(registry.begin_deployment(checksum, str(name)), code)
        assert planned(again) == ["Report"]


def test_a_second_pipeline_is_refused(runs: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    lock = runs / "pipeline" / "lock"
    lock.parent.mkdir()
    with lock.open("w") as file:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)
        assert run(runs, "dry_run=true") == INPUT_ERROR
    assert "a pipeline runs in" in terminal.readouterr().err


@pytest.mark.slow
def test_a_champion_that_loses_is_rolled_back_and_its_predecessor_goes_on_with_what_it_held(runs: pathlib.Path) -> None:
    """Policies with random opinions lose their fees. The pipeline is killed on the way; a trader that is killed goes on.

    What it may lose is asked by the last of three pipelines only: how far it has come when it is killed is a matter of load.
    """
    first, second = (candidate(runs, name, seed, None) for seed, name in enumerate(("one", "two")))
    with contextlib.closing(Registry(runs)) as registry:
        registry.add_study(
            "pipeline", objective="active", direction="maximize", trials=[Trial(k, "pruned", None, {}) for k in range(16)]
        )
        for checksum in (first, second):
            for state in ("validated", "shadow", "champion"):
                registry.change(checksum, state, "for the test")
    words = ["pipeline", "run", *WORDS, f"runs_dir={runs}", "gates.live_stops=null"]
    words.append("trade.allow_outside=[relative_volume_168,volatility_24_168]")

    def begin(drawdown: str) -> subprocess.Popen[bytes]:
        with (runs / "out.txt").open("ab") as output:
            root = pathlib.Path(__file__).parents[2]
            environment = {**os.environ, "PYTHONPATH": str(root)}
            return subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *words, f"gates.live_drawdown={drawdown}"],
                stdout=output,
                stderr=output,
                env=environment,
                cwd=root,
            )

    names = [f"champion-1-{place}-{checksum[:12]}" for place, checksum in ((1, second), (2, first))]
    journal, lock = runs / "traders" / names[0] / "journal.sqlite", Places(runs).launched(names[0])
    process, kills, marks = begin("null"), 0, 5
    end = time.monotonic() + 180
    while process.poll() is None and time.monotonic() < end:
        if kills < 2 and journal.exists() and len(read_marks(journal)) > marks:
            owner = launching.holder(lock)
            process.kill()
            process.wait()
            assert owner is not None
            assert launching.holder(lock) == owner  # it outlives the pipeline
            if kills == 0:
                os.kill(owner.pid, signal.SIGKILL)
            kills, marks = kills + 1, len(read_marks(journal)) + 2
            process = begin("null" if kills == 1 else "0.03")
        time.sleep(0.2)
    text = (runs / "out.txt").read_text()
    assert process.returncode == 0, text
    assert "rolled back" in text
    assert states(runs) == {first: "retired", second: "retired"}  # the predecessor lost too, and has none
    with contextlib.closing(Registry(runs)) as registry:
        ends = [(one.trader, one.exit_code) for one in registry.deployments()]
        refused = {name for change in registry.changes(second) for name, gate in change.figures.items() if not gate["holds"]}
    assert ends == [(names[0], None), (names[0], 0), (names[1], 4)]
    assert "live_drawdown" in refused
    old, new = (runs / "traders" / name / "journal.sqlite" for name in names)
    decided = [[row["bar"] for row in read_decisions(path) if row["phase"] != "none"] for path in (old, new)]
    assert decided[1][0] > decided[0][-1], read_decisions(old)[-1]
    assert sum(read_decisions(new)[0]["weights"]) > 0.5  # in assets, without a purchase of its own
    assert {row["side"] for row in read_orders(new) if row["sequence"] > 0} == {"sell"}  # everything was sold
    assert [lock.name for lock in (Places(runs).own / "launched").glob("*.lock") if launching.holder(lock)] == []

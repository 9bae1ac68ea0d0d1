"""The registry keeps every change, has one champion at most, and never a part of an artifact or of a transaction."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import pathlib
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
from entries import artifact_at
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cappuccino.artifact.manifest import MANIFEST_NAME, POLICY_NAME, checksum, read_manifest
from cappuccino.errors import InputError
from cappuccino.registry import schema
from cappuccino.registry.registry import Registry, Trial
from cappuccino.registry.states import NEXT, STATES, State

NUMBER = 4


@pytest.fixture
def registry(tmp_path: pathlib.Path) -> Iterator[Registry]:
    with contextlib.closing(Registry(tmp_path / "runs", itertools.count(1.0).__next__)) as opened:
        yield opened


def added(registry: Registry, folder: pathlib.Path, number: int = 0) -> str:
    return registry.add(artifact_at(folder / f"artifact-{number}", number), name=f"run-{number}", study="s", trial=number)


class States(RuleBasedStateMachine):
    """Any changes in any order, some of them by another process that opened the same file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runs = pathlib.Path(self.folder.name)
        self.registry = Registry(self.runs, itertools.count(1.0).__next__)
        self.states: list[State] = []
        self.checksums: list[str] = []
        self.moves: list[tuple[int, State | None, State]] = []
        self.line: list[int] = []
        """The champion, and behind it those that may come back, the last one at the end."""

    @initialize()
    def some_artifacts(self) -> None:
        for number in range(NUMBER):
            self.checksums.append(added(self.registry, self.runs, number))
            self.states.append("candidate")
            self.moves.append((number, None, "candidate"))

    @rule(number=st.integers(0, NUMBER - 1), after=st.sampled_from(STATES))
    def change(self, number: int, after: State) -> None:
        before = self.states[number]
        was_champion = any(one == number and state == "champion" for one, _, state in self.moves)
        if after not in NEXT[before] or (before == "retired" and not was_champion):
            with pytest.raises(InputError, match=r"from there it may become|was never champion"):
                self.registry.change(self.checksums[number], after, "a test")
            return
        self.registry.change(self.checksums[number], after, "a test", {"sharpe": 1.5})
        if before == "champion":
            self.line.remove(number)
        if after == "champion":
            self.line = [*(self.line[: self.line.index(number)] if number in self.line else self.line), number]
            for other, state in enumerate(self.states):
                if state == "champion":
                    self.states[other] = "retired"
                    self.moves.append((other, "champion", "retired"))
        self.states[number] = after
        self.moves.append((number, before, after))

    @rule()
    def roll_back(self) -> None:
        predecessor = self.registry.predecessor()
        if "champion" not in self.states or predecessor is None:
            with pytest.raises(InputError, match=r"no champion to roll back|has no predecessor"):
                self.registry.roll_back("it fails")
            return
        old, new = (self.checksums.index(one) for one in self.registry.roll_back("it fails"))
        assert new == self.checksums.index(predecessor.checksum)
        assert (self.states[old], self.states[new]) == ("champion", "retired")
        self.moves += [(old, "champion", "retired"), (new, "retired", "champion")]
        self.states[old], self.states[new] = "retired", "champion"
        assert self.line.pop() == old
        assert self.line[-1] == new

    @rule()
    def open_again(self) -> None:
        self.registry.close()
        self.registry = Registry(self.runs, itertools.count(1.0).__next__)

    @invariant()
    def it_is_as_the_model_has_it(self) -> None:
        found = {entry.checksum: entry.state for entry in self.registry.entries()}
        assert found == dict(zip(self.checksums, self.states, strict=True))
        assert self.states.count("champion") <= 1
        before = self.line[:-1] if "champion" in self.states else self.line
        predecessor = self.registry.predecessor()
        assert (None if predecessor is None else self.checksums.index(predecessor.checksum)) == (before[-1] if before else None)
        moves = [(self.checksums.index(one.checksum), one.before, one.after) for one in self.registry.changes()]
        assert moves == self.moves

    def teardown(self) -> None:
        self.registry.close()
        self.folder.cleanup()


States.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestStates = States.TestCase


def reign(registry: Registry, checksum: str) -> None:
    for state in ("validated", "shadow", "champion"):
        registry.change(checksum, state, "a test")


def test_a_roll_back_goes_to_the_one_before_and_the_one_before_that(registry: Registry, tmp_path: pathlib.Path) -> None:
    first, second, third = (added(registry, tmp_path, number) for number in range(3))
    for one in (first, second, third):
        reign(registry, one)
    assert registry.roll_back("drawdown", {"drawdown": 0.4}) == (third, second)
    assert registry.roll_back("again") == (second, first)
    with pytest.raises(InputError, match="the champion has no predecessor"):
        registry.roll_back("and again")
    champion = registry.champion()
    assert champion is not None
    assert champion.checksum == first
    assert registry.changes(second)[-1].reason == "again"
    assert registry.changes(third)[-1].figures == {"drawdown": 0.4}


def test_one_that_was_retired_for_what_it_did_is_no_predecessor(registry: Registry, tmp_path: pathlib.Path) -> None:
    first, second = (added(registry, tmp_path, number) for number in range(2))
    reign(registry, first)
    registry.change(first, "retired", "drawdown", {"drawdown": {"holds": False}})
    assert registry.predecessor() is None
    reign(registry, second)
    with pytest.raises(InputError, match="the champion has no predecessor"):
        registry.roll_back("it fails as well")
    assert registry.champion() == registry.entry(second)


def test_an_artifact_is_kept_once_and_never_overwritten(registry: Registry, tmp_path: pathlib.Path) -> None:
    one = added(registry, tmp_path)
    assert one == checksum(read_manifest(tmp_path / "artifact-0" / MANIFEST_NAME))
    kept = registry.store.folder(one)
    written = (kept / POLICY_NAME).stat().st_mtime_ns
    registry.change(one, "validated", "a test")
    assert registry.add(tmp_path / "artifact-0", name="again") == one
    assert (kept / POLICY_NAME).stat().st_mtime_ns == written
    assert [(entry.name, entry.state) for entry in registry.entries()] == [("run-0", "validated")]

    (tmp_path / "artifact-0" / POLICY_NAME).write_bytes(b"other")
    with pytest.raises(InputError, match="does not match its checksum"):
        registry.add(tmp_path / "artifact-0", name="changed")
    (kept / POLICY_NAME).write_bytes(b"other")
    shutil.rmtree(tmp_path / "artifact-0")
    with pytest.raises(InputError, match="does not match its checksum"):
        added(registry, tmp_path)
    assert len(registry.entries()) == 1


def test_figures_are_kept_and_the_latest_of_a_kind_count(registry: Registry, tmp_path: pathlib.Path) -> None:
    one, other = added(registry, tmp_path, 0), added(registry, tmp_path, 1)
    registry.record(one, "validation", {"deflated": 0.5})
    registry.record(one, "causality", {"passed": True})
    registry.record(one, "validation", {"deflated": 0.9})
    registry.record(other, "validation", {"deflated": 0.1})
    assert registry.entry(one).figures == {"validation": {"deflated": 0.9}, "causality": {"passed": True}}
    assert [entry.figures["validation"] for entry in registry.entries()] == [{"deflated": 0.9}, {"deflated": 0.1}]
    with pytest.raises(InputError, match="figures of shadow cannot be written down"):
        registry.record(one, "shadow", {"growth": float("nan")})
    with pytest.raises(InputError, match="is not in the registry"):
        registry.record("0" * 64, "validation", {})
    assert "shadow" not in registry.entry(one).figures


def test_an_artifact_is_named_by_the_beginning_of_its_checksum(registry: Registry, tmp_path: pathlib.Path) -> None:
    one = added(registry, tmp_path)
    assert registry.find(one[:8]) == registry.find(one) == one
    for name in (one[:3], "%%%%", "zzzz", ""):
        with pytest.raises(InputError, match=r"names . artifacts of the registry"):
            registry.find(name)


def test_a_study_is_as_it_was_told_last(registry: Registry) -> None:
    for number in (2, 3):
        trials = [Trial(k, "COMPLETE", k / 2, {"agent.clip": 0.1 * k}) for k in range(number)]
        registry.add_study("ppo", objective="sharpe", direction="maximize", trials=trials)
    registry.add_study("empty", objective="sharpe", direction="maximize", trials=[])
    assert registry.studies() == {"ppo": 3, "empty": 0}


def test_deployments_and_pruning(registry: Registry, tmp_path: pathlib.Path) -> None:
    names = [added(registry, tmp_path, number) for number in range(5)]
    for one in names[:3]:
        reign(registry, one)
    for one in names[3:]:
        registry.change(one, "retired", "not wanted")
    number = registry.begin_deployment(names[3], "shadow-3")
    registry.end_deployment(registry.begin_deployment(names[4], "shadow-4"), 3)
    assert [(one.trader, one.exit_code) for one in registry.deployments()] == [("shadow-3", None), ("shadow-4", 3)]
    # 0 and 1 made room for the champion, 2; 1 may come back; 3 still trades.
    assert set(registry.prune(keep=1)) == {names[0]}
    assert set(registry.prune(keep=0)) == {names[4]}
    registry.end_deployment(number, 0)
    assert set(registry.prune(keep=0)) == {names[3]}
    assert registry.prune(keep=0) == {}
    assert len(registry.entries()) == 5
    with pytest.raises(InputError, match="was pruned"):
        registry.store.folder(names[0])
    assert registry.store.folder(names[1]).is_dir()


def _not_a_database(path: pathlib.Path) -> None:
    path.write_bytes(b"nothing of SQLite's " * 100)


def _cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _other_schema(path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")


def _no_table(path: pathlib.Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE changes")


def _another_program(path: pathlib.Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE other (x)")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_not_a_database, "cannot be used: file is not a database"),
        (_cut, "cannot be used: database disk image is malformed"),
        (_other_schema, "has schema 9; this version reads 1"),
        (_no_table, "has no table changes: it is damaged"),
        (_another_program, "has schema 0; this version reads 1"),
    ],
)
def test_a_damaged_registry_is_refused_and_left_as_it_is(
    damage: Callable[[pathlib.Path], None], message: str, tmp_path: pathlib.Path
) -> None:
    with contextlib.closing(Registry(tmp_path)) as registry:
        path = registry.path
        added(registry, tmp_path)
    damage(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match=message):
        Registry(tmp_path).entries()
    assert path.read_bytes() == content


def test_a_registry_that_is_locked_or_gone_changes_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "BUSY_S", 0.2)
    with contextlib.closing(Registry(tmp_path)) as registry:
        one = added(registry, tmp_path)
        with contextlib.closing(sqlite3.connect(registry.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(InputError, match="database is locked"):
                registry.change(one, "validated", "a test")
            other.execute("ROLLBACK")
        assert registry.entry(one).state == "candidate"
        shutil.rmtree(registry.path.parent)
        with pytest.raises(InputError, match="is gone"):
            registry.change(one, "validated", "a test")
        assert not registry.path.exists()


def _add_all(runs: pathlib.Path, folders: list[pathlib.Path]) -> None:
    with contextlib.closing(Registry(runs)) as registry:
        for folder in folders:
            registry.add(folder, name=folder.name)


def test_several_processes_fill_one_registry(tmp_path: pathlib.Path) -> None:
    """Each adds all, beginning with another one: all are there once."""
    folders = [artifact_at(tmp_path / f"artifact-{number}", number) for number in range(12)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_all, args=(tmp_path / "runs", folders[k:] + folders[:k])) for k in range(0, 12, 4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    with contextlib.closing(Registry(tmp_path / "runs")) as registry:
        assert len(registry.entries()) == len(registry.changes()) == 12
        kept = sorted(path.name for path in registry.store.folder(registry.entries()[0].checksum).parent.iterdir())
        assert kept == sorted(entry.checksum for entry in registry.entries())


def test_a_kill_while_artifacts_are_added_leaves_no_half(tmp_path: pathlib.Path) -> None:
    folders = [artifact_at(tmp_path / f"artifact-{number}", number) for number in range(200)]
    context = multiprocessing.get_context("fork")
    for _ in range(5):
        process = context.Process(target=_add_all, args=(tmp_path / "runs", folders))
        process.start()
        time.sleep(0.15)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with contextlib.closing(Registry(tmp_path / "runs")) as registry:
        known = registry.entries()
        assert len(registry.changes()) == len(known) < 200
        for entry in known:
            assert checksum(read_manifest(registry.store.folder(entry.checksum) / MANIFEST_NAME)) == entry.checksum
        _add_all(tmp_path / "runs", folders)
        assert len(registry.entries()) == 200

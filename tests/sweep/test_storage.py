"""Storages that cannot be had, addresses that hold a password, and what a database takes at once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import pathlib
import signal
import sqlite3
import subprocess
import threading

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from sqlalchemy import event
from study_cases import FILES, assert_done, start, trials_of, url_in
from study_worker import open_at

from cappuccino import write_ahead
from cappuccino.errors import InputError
from cappuccino.sweep.storage import shown_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "postgresql+psycopg://me:***@127.0.0.1:1/db"),
        ("postgresql+psycopg://me@127.0.0.1:1/db?password=secret", "postgresql+psycopg://me@127.0.0.1:1/db"),
        ("mysql://me:secret@there/db", "it must be sqlite:///FILE"),
        ("sqlite://", "it must be sqlite:///FILE"),
        ("sqlite:///:memory:", "it must be sqlite:///FILE"),
        ("journal:///", "it must be sqlite:///FILE"),
        ("studies.db", "it must be sqlite:///FILE"),
        ("me:secret@there/db", "it must be sqlite:///FILE"),
        ("postgresql+psycopg://me:sec@secret@127.0.0.1:1/db", "a password's @ is written %40"),
        ("postgresql+psycopg://me:secret?secret@127.0.0.1:1/db", "and its ? %3F"),
        ("postgresql+psycopg://me:secret@127.0.0.1:port/db", "me:***@127.0.0.1:port/db; it must be sqlite:///FILE"),
        ("postgresql+psycopg://127.0.0.1:1/db?password=sec@secret", "postgresql+psycopg://...; it must be"),
        ("sqlite:////dev/null/study.db", "sqlite:////dev/null/study.db cannot be used"),
        ("journal:////dev/null/study.log", "journal:////dev/null/study.log cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_had_is_named_without_its_password(url: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        open_at(url, 2)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@given(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.from_regex(r"S[A-Z0-9:%]{3,9}", fullmatch=True))
def test_a_password_is_never_shown(user: str, password: str) -> None:
    assert shown_url(f"postgresql+psycopg://{user}:{password}@host/name") == f"postgresql+psycopg://{user}:***@host/name"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", [b"no database\n", b"[1]\n", b'{"op_code": 99}\n', b"\x00\xff\n"])
def test_a_file_of_something_else_is_refused(tmp_path: pathlib.Path, kind: str, content: bytes) -> None:
    (tmp_path / "study").write_bytes(content)
    with pytest.raises(InputError, match="cannot be used"):
        open_at(url_in(tmp_path, kind), 2)
    assert (tmp_path / "study").read_bytes() == content


def test_a_path_may_have_braces(tmp_path: pathlib.Path) -> None:
    open_at(url_in(tmp_path / "{a}{", "sqlite"), 1)
    assert (tmp_path / "{a}{" / "study").is_file()


def journal_mode(file: pathlib.Path) -> str:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def test_a_database_is_written_ahead_on_one_machine_only(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, here = url_in(tmp_path, "sqlite"), write_ahead._file_system(tmp_path / "study")
    for n_trials, (local, mode) in enumerate([(set(), "delete"), ({here}, "wal"), ({here}, "wal")], start=1):
        monkeypatch.setattr(write_ahead, "_LOCAL", local)
        study = open_at(url, n_trials)
        trial = study.claim()
        assert trial is not None
        assert study.tell(trial, 1.0, TrialState.COMPLETE, {"figure": n_trials})
        assert journal_mode(tmp_path / "study") == mode
        assert_done(study, n_trials)
    assert [trial.user_attrs["figure"] for trial in trials_of(open_at(url, 3))] == [1, 2, 3]


def test_the_file_system_is_that_of_the_mount(tmp_path: pathlib.Path) -> None:
    for folder in (tmp_path, pathlib.Path("/proc"), pathlib.Path("/dev/shm")):
        said = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True, check=True).stdout.split()
        assert write_ahead._file_system(folder / "study") == said[-1]


@pytest.mark.parametrize("before", ["nothing", "a study"])
def test_many_open_a_file_at_the_same_moment(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    """A new one, and one that was begun with SQLite's usual journal and is open elsewhere."""
    url, several = url_in(tmp_path, "sqlite"), 6
    if before == "a study":
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(write_ahead, "_LOCAL", set())
            held = open_at(url, several)
        assert journal_mode(tmp_path / "study") == "delete"
        assert held.counted() == 0
    together = threading.Barrier(several)

    def one(_: int) -> None:
        together.wait()
        study = open_at(url, several)
        trial = study.claim()
        assert trial is not None
        assert study.tell(trial, 1.0, TrialState.COMPLETE, {"figure": 1})

    with concurrent.futures.ThreadPoolExecutor(several) as pool:
        list(pool.map(one, range(several)))
    study = open_at(url, several)
    assert study.counted() == several
    assert journal_mode(tmp_path / "study") == "wal"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("what", ["removed", "replaced"])
def test_a_file_that_goes_away_under_a_study_ends_it_and_comes_back_whole(tmp_path: pathlib.Path, kind: str, what: str) -> None:
    url, elsewhere = url_in(tmp_path, kind), tmp_path / "elsewhere"
    study = open_at(url, 4)
    for value in (1.0, 2.0):
        trial = study.claim()
        assert trial is not None
        assert study.tell(trial, value, TrialState.COMPLETE, {})
    running = study.claim()
    assert running is not None
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    elsewhere.mkdir()
    for path in files:
        path.rename(elsewhere / path.name)
    if what == "replaced":
        open_at(url_in(tmp_path / "other", kind), 1)
        for path in (tmp_path / "other").iterdir():
            path.rename(tmp_path / path.name)
    before = sorted(path.name for path in tmp_path.iterdir())
    for use in (study.claim, study.counted, lambda: study.tell(running, 3.0, TrialState.COMPLETE, {})):
        with pytest.raises(InputError, match=r"study is gone: .*(was removed|is another file).*put it back"):
            use()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    for path in files:
        (elsewhere / path.name).rename(path)
    assert [trial.value for trial in trials_of(open_at(url, 4))] == [1.0, 2.0, None]
    assert study.tell(running, 3.0, TrialState.COMPLETE, {})


def test_what_a_killed_process_had_told_is_there(tmp_path: pathlib.Path) -> None:
    url = url_in(tmp_path, "sqlite")
    process = start("run", url, 60, 1)
    assert process.stdout is not None
    claimed = [int(process.stdout.readline().split()[1]) for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "study-wal").stat().st_size > 0
    told = [trial.number for trial in trials_of(open_at(url, 60)) if trial.state in (TrialState.COMPLETE, TrialState.FAIL)]
    assert set(claimed[:-1]) <= set(told), "a trial is claimed after the one before it has been told"


def test_a_trial_ends_with_its_attributes_or_not_at_all(tmp_path: pathlib.Path) -> None:
    study = open_at(url_in(tmp_path, "sqlite"), 1)
    trial = study.claim()
    assert trial is not None

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE trials"):
            raise RuntimeError("the state is written last")

    event.listen(sqlalchemy.Engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(RuntimeError, match="written last"):
            study.tell(trial, 1.0, TrialState.COMPLETE, {"figure": 1})
    finally:
        event.remove(sqlalchemy.Engine, "before_cursor_execute", fail)
    (found,) = trials_of(study)
    assert found.state == TrialState.RUNNING
    assert "figure" not in found.user_attrs
    assert study.tell(trial, 2.0, TrialState.COMPLETE, {"figure": 2})
    assert trials_of(study)[0].user_attrs["figure"] == 2
    assert_done(study, 1)

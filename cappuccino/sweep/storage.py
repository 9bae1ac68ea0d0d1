"""The storages that a study may be in, by their URLs: SQLite, a journal, PostgreSQL."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pathlib
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy import event, exc, orm

from cappuccino.errors import InputError
from cappuccino.write_ahead import BUSY_S, write_ahead

_CONNECT_S = 10
_RECONNECT_S = 0.5
_CREATE_TRIES = 20
_NONE = "none"
_THERE_ALREADY = {"42P07", "42710", "23505"}
"""PostgreSQL's codes of a table, a type or a row that another process has just made."""
_SET_ATTRIBUTE = sqlalchemy.text(
    "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:trial, :key, :value) "
    "ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json"
)


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """The storage at `sqlite:///FILE`, `journal:///FILE` or `postgresql+psycopg://...`. Raises InputError if it cannot be had."""
    kind, _, path = url.partition(":///")
    parsed = _parsed(url)
    try:
        if kind == "journal" and path:
            return _open_journal(url, pathlib.Path(path))
        file = parsed.database or ""
        if parsed.drivername == "sqlite" and parsed.host is None and file not in ("", ":memory:"):
            pathlib.Path(file).absolute().parent.mkdir(parents=True, exist_ok=True)
            write_ahead(pathlib.Path(file))
            make = functools.partial(optuna.storages.RDBStorage, engine_kwargs={"connect_args": {"timeout": BUSY_S}})
            storage = _one_at_a_time(_open_database(url, make))
            _check_always(storage, _OpenedFile(url, pathlib.Path(file)))
            return optuna.storages.get_storage(storage)
        if parsed.drivername == "postgresql+psycopg" and _is_plain(url):
            return optuna.storages.get_storage(_wait_for_the_server(_open_database(url, _PostgreSQL)))
    except ImportError as error:
        raise InputError(
            f"{shown_url(url)} needs a driver that is not installed: pip install 'cappuccino[postgres]'"
        ) from error
    except (exc.SQLAlchemyError, sqlite3.Error, OSError, StorageInternalError, RuntimeError, ValueError, KeyError) as error:
        raise InputError(unusable(url, error)) from error
    raise InputError(
        f"the storage is {shown_url(url)}; it must be sqlite:///FILE, journal:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME, "
        "in which a password's @ is written %40, and its ? %3F"
    )


def shown_url(url: str) -> str:
    """A storage's address without its password, and without what follows a question mark, where another may be."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "no URL" if "@" in url else url
    if not _is_plain(url):
        return f"{scheme}://..."
    access, at, place = rest.partition("?")[0].rpartition("@")
    user, colon, _ = access.partition(":")
    return f"{scheme}{separator}{user}{colon and ':***'}{at}{place}"


def unusable(url: str, error: Exception) -> str:
    """That a storage cannot be used and why, in one line without its password."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ is not None else error
    text = " ".join(str(getattr(cause, "orig", None) or cause).split())
    written = url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    parsed = _parsed(url)
    for password in (written, parsed.password, parsed.query.get("password")):
        text = text.replace(str(password), "***") if password else text
    return f"the storage {shown_url(url)} cannot be used: {text}"


@contextlib.contextmanager
def one_transaction(storage: optuna.storages.BaseStorage) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
    """Let a database take what is written within at once, or nothing of it where an exception leaves; a journal takes it bit by bit.

    Yields what sets user attributes of the trial with an identifier; it raises UpdateFinishedTrialError if that has ended. Optuna
    makes a transaction of every attribute. To be used by one thread at a time.
    """

    def set_attributes(trial_id: int, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            storage.set_trial_user_attr(trial_id, key, value)

    database = getattr(storage, "_backend", None)  # behind Optuna's cache
    if not isinstance(database, optuna.storages.RDBStorage):
        yield set_attributes
        return
    sessions = database.scoped_session
    with database.engine.begin() as connection:

        def set_at_once(trial_id: int, attributes: Mapping[str, Any]) -> None:
            (key, value), *rest = attributes.items()
            storage.set_trial_user_attr(trial_id, key, value)  # Optuna sees to it that the trial has not ended
            if rest:
                rows = [{"trial": trial_id, "key": key, "value": json.dumps(value)} for key, value in rest]
                connection.execute(_SET_ATTRIBUTE, rows)

        maker = orm.sessionmaker(bind=connection, join_transaction_mode="rollback_only")
        database.scoped_session = orm.scoped_session(maker)
        try:
            yield set_at_once
        finally:
            database.scoped_session = sessions


@contextlib.contextmanager
def failures_said(url: str) -> Iterator[None]:
    """Raises InputError where the storage fails on the way, as when its server goes away in the middle of a transaction."""
    try:
        yield
    except (exc.SQLAlchemyError, StorageInternalError) as error:
        raise InputError(f"{unusable(url, error)}; what has ended is kept: give the command again") from error


def _is_plain(url: str) -> bool:
    """Whether it is beyond doubt what of it is a password: one with @ or ? in it must have them quoted."""
    rest = url.partition("://")[2]
    return rest.startswith("/") or ("@" not in rest.partition("?")[2] and rest.count("@") <= 1)


def _parsed(url: str) -> sqlalchemy.URL:
    try:
        return sqlalchemy.make_url(url)
    except (exc.ArgumentError, ValueError):  # the latter of a port that is no number
        return sqlalchemy.URL.create(_NONE)


def _open_database(url: str, make: Callable[[str], optuna.storages.RDBStorage]) -> optuna.storages.RDBStorage:
    literal = url.replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template
    for tries_left in reversed(range(_CREATE_TRIES)):
        try:
            return make(literal)
        except (exc.OperationalError, exc.ProgrammingError, exc.IntegrityError, StorageInternalError) as error:
            said = f"{error} {error.__cause__}".lower()
            code = getattr(getattr(error, "orig", None), "sqlstate", None)
            there_already = code in _THERE_ALREADY if code else "already exists" in said or "unique" in said
            if tries_left == 0 or not there_already:
                raise
            time.sleep(0.1)  # another process creates the tables at this moment
    raise AssertionError("unreachable")


def _one_at_a_time(storage: optuna.storages.RDBStorage) -> optuna.storages.RDBStorage:
    """Let each transaction on SQLite begin with the write lock.

    Optuna reads a trial's state and then writes it, on the strength of a row lock that SQLite does not have, in a transaction
    that only begins with the write: two processes could both claim a trial.
    """

    @event.listens_for(storage.engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            connection.execute("PRAGMA synchronous=NORMAL")

    @event.listens_for(storage.engine, "begin")
    def take_the_lock(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    storage.remove_session()
    storage.engine.dispose()
    return storage


class _OpenedFile:
    """A storage's file as it was opened: one that was removed takes what its processes write, and loses it when they end."""

    def __init__(self, url: str, path: pathlib.Path) -> None:
        self._url, self._path = url, path.absolute()
        self._opened = self._seen()

    def check(self) -> None:
        """Raises InputError where another file is in its place, or none."""
        seen = self._seen()
        if seen is None or seen != self._opened:
            what = "was removed" if seen is None else "is another file than the one that was opened"
            raise InputError(
                f"the storage {shown_url(self._url)} is gone: {self._path} {what}; put it back, and give the command again"
            )

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def _check_always(storage: optuna.storages.RDBStorage, file: _OpenedFile) -> None:
    """Before each transaction, and before a new connection would make the file anew."""

    @event.listens_for(storage.engine, "do_connect")
    def connect(*_: Any) -> None:
        file.check()

    @event.listens_for(storage.engine, "begin")
    def begin(_: Any) -> None:
        file.check()


class _PostgreSQL(optuna.storages.RDBStorage):
    """Writes a trial's attribute under the lock of its row.

    Optuna reads whether the trial has ended and then writes: another process could end it between the two, and those that read
    it there, and keep what has ended, would never see the attribute. Numbers are given to trials under the lock of the study's
    row, after which the others must be read anew: transactions are READ COMMITTED, whatever the server's default is.
    """

    def __init__(self, url: str) -> None:
        connect_args = {"connect_timeout": _CONNECT_S}
        kwargs = {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "connect_args": connect_args}
        super().__init__(url, engine_kwargs=kwargs)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        session = self.scoped_session()
        try:
            session.execute(sqlalchemy.text("SELECT FROM trials WHERE trial_id = :id FOR UPDATE"), {"id": trial_id})
        except exc.SQLAlchemyError as error:
            session.rollback()
            raise StorageInternalError(str(error)) from error
        super().set_trial_user_attr(trial_id, key, value)


def _wait_for_the_server(storage: optuna.storages.RDBStorage) -> optuna.storages.RDBStorage:
    """Let a connection that a restart of the server has cut be made anew, once the server is there again."""

    @event.listens_for(storage.engine, "do_connect")
    def connect(dialect: Any, _record: Any, arguments: Any, keywords: Any) -> Any:
        until = time.monotonic() + BUSY_S
        while True:
            try:
                return dialect.connect(*arguments, **keywords)
            except dialect.loaded_dbapi.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(_RECONNECT_S)

    return storage


def _open_journal(url: str, path: pathlib.Path) -> optuna.storages.JournalStorage:
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("ab+") as file:
            file.seek(0)
            if (first := file.readline()).endswith(b"\n"):
                json.loads(first)["op_code"]  # a single line that is no record Optuna reads without a word, and appends to it
        return optuna.storages.JournalStorage(_JournalFile(url, path))
    except (AttributeError, TypeError, AssertionError) as error:
        raise ValueError("it is not a journal of Optuna") from error


class _JournalFile(JournalFileBackend):
    """One whose file must stay where it is."""

    def __init__(self, url: str, path: pathlib.Path) -> None:
        super().__init__(str(path), lock_obj=_JournalLock(str(path)))
        self._file = _OpenedFile(url, path)

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        self._file.check()
        yield from super().read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._file.check()
        super().append_logs(logs)


class _JournalLock(JournalFileOpenLock):
    """A lock on the journal that falls with its process; Optuna's own holds everybody up for 30 s when one is killed.

    What a writer that was killed left of a record is cut off.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path, self._held = path, -1

    def acquire(self) -> bool:
        file = os.open(self._path, os.O_RDWR)
        fcntl.flock(file, fcntl.LOCK_EX)
        content = os.fstat(file).st_size
        while content and os.pread(file, 1, content - 1) != b"\n":
            content -= 1
        os.ftruncate(file, content)
        self._held = file
        return True

    def release(self) -> None:
        os.close(self._held)

"""The registry's tables, and its file opened: SQLite, every transaction with the write lock from its begin on."""

from __future__ import annotations

import pathlib
import sqlite3
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Column, Float, ForeignKey, Integer, MetaData, Table, Text, event, exc

from cappuccino.errors import InputError
from cappuccino.write_ahead import BUSY_S, write_ahead

SCHEMA_VERSION = 1

metadata = MetaData()

studies = Table(
    "studies",
    metadata,
    Column("name", Text, primary_key=True),
    Column("objective", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("at", Float, nullable=False),
)
trials = Table(
    "trials",
    metadata,
    Column("study", Text, ForeignKey("studies.name"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("value", Float),
    Column("parameters", Text, nullable=False),
)
artifacts = Table(
    "artifacts",
    metadata,
    Column("checksum", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("study", Text),
    Column("trial", Integer),
    Column("at", Float, nullable=False),
    Column("state", Text, nullable=False),
)
changes = Table(
    "changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("checksum", Text, ForeignKey("artifacts.checksum"), nullable=False),
    Column("at", Float, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("figures", Text, nullable=False),
)
figures = Table(
    "figures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("checksum", Text, ForeignKey("artifacts.checksum"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("figures", Text, nullable=False),
)
deployments = Table(
    "deployments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("checksum", Text, ForeignKey("artifacts.checksum"), nullable=False),
    Column("trader", Text, nullable=False),
    Column("began", Float, nullable=False),
    Column("ended", Float),
    Column("exit_code", Integer),
)


def open_engine(path: pathlib.Path) -> sqlalchemy.Engine:
    """The registry in a file, made if it is not there. Raises InputError where it cannot be had or has another schema."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.begin() as connection:
            version, tables = _found(connection)
        if _is_new(version, tables):
            engine.dispose()
            write_ahead(path)
            with engine.begin() as connection:
                if _is_new(*_found(connection)):
                    metadata.create_all(connection)
                    connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
                version, tables = _found(connection)
    except (exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise InputError(unusable(path, error)) from None
    _check(path, version, tables)
    return engine


def open_to_read(path: pathlib.Path) -> sqlalchemy.Engine:
    """The registry in a file, to be read beside those that write, whom it never waits for nor holds up. Raises InputError where there
    is none, or it has another schema."""
    if not path.is_file():
        raise InputError(f"there is no registry {path} yet")
    engine = sqlalchemy.create_engine(f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true")
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    event.listen(engine, "connect", _leave_transactions_to_us)
    try:
        with engine.begin() as connection:
            version, tables = _found(connection)
    except (exc.DatabaseError, sqlite3.DatabaseError) as error:
        raise InputError(unusable(path, error)) from None
    _check(path, version, tables)
    return engine


def _check(path: pathlib.Path, version: int, tables: set[str]) -> None:
    if version != SCHEMA_VERSION:
        raise InputError(f"the registry {path} has schema {version}; this version reads {SCHEMA_VERSION}")
    missing = sorted(set(metadata.tables) - tables)
    if missing:
        raise InputError(f"the registry {path} has no table {missing[0]}: it is damaged; restore a copy")


def _found(connection: sqlalchemy.Connection) -> tuple[int, set[str]]:
    """The schema's version, and the tables' names."""
    names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
    return connection.exec_driver_sql("PRAGMA user_version").scalar_one(), set(names)


def _is_new(version: int, tables: set[str]) -> bool:
    return version == 0 and not tables


def unusable(path: pathlib.Path, error: Exception) -> str:
    """That the registry cannot be used, and why."""
    return f"the registry {path} cannot be used: {getattr(error, 'orig', None) or error}"


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")

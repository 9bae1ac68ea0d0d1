"""A trader's folder: one process at a time, and its log."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import structlog

from cappuccino.errors import Refusal

JOURNAL_NAME = "journal.sqlite"
DRY_JOURNAL_NAME = "dry.sqlite"
LOG_NAME = "trader.log"
LOCK_NAME = "lock"


@runtime_checkable
class Log(Protocol):
    """Where the trader writes what happened: an event's name and its values."""

    def info(self, event: str, **values: Any) -> Any: ...

    def warning(self, event: str, **values: Any) -> Any: ...

    def error(self, event: str, **values: Any) -> Any: ...


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """The folder, made if need be, for this process alone; the lock falls with the process, however it ends.

    Raises Refusal if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_NAME).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"a trader runs in {folder} already: stop it first, or give this one another trade.name") from None
        yield


@contextlib.contextmanager
def open_log(folder: pathlib.Path) -> Iterator[Log]:
    """A log of JSON lines, appended to `trader.log` and flushed line by line."""
    with (folder / LOG_NAME).open("a", encoding="utf-8") as file:
        yield structlog.wrap_logger(
            structlog.WriteLogger(file),
            wrapper_class=structlog.make_filtering_bound_logger("info"),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
        ).bind()

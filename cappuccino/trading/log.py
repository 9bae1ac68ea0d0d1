"""Logs of JSON lines."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import pathlib
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol, runtime_checkable

import structlog

from cappuccino.trading.folder import LOG_NAME


@runtime_checkable
class Log(Protocol):
    """Where the trader writes what happened: an event's name and its values."""

    def info(self, event: str, **values: Any) -> Any: ...

    def warning(self, event: str, **values: Any) -> Any: ...

    def error(self, event: str, **values: Any) -> Any: ...


def json_log(lines: Any) -> Log:
    """A log that gives finished lines, each with its level and time, to a structlog logger."""
    return structlog.wrap_logger(
        lines,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
    ).bind()


@contextlib.contextmanager
def open_log(folder: pathlib.Path, *, size_mb: float | int = 10, kept: int = 10) -> Iterator[Log]:
    """A log of JSON lines, appended to `trader.log` and flushed line by line; threads may share it.

    One that a line would make longer than `size_mb` megabytes is first renamed `trader.log.1`, older ones up to `kept`.
    """
    handler = logging.handlers.RotatingFileHandler(
        folder / LOG_NAME, maxBytes=max(1, round(size_mb * 1e6)), backupCount=kept, encoding="utf-8"
    )
    with contextlib.closing(handler):
        yield json_log(_Lines(handler))


class _Lines:
    """A structlog logger that writes finished lines to a handler, and raises what the handler would print and forget."""

    def __init__(self, handler: logging.Handler) -> None:
        self._handler = handler
        handler.handleError = _raise  # pyright: ignore[reportAttributeAccessIssue]

    def msg(self, message: str) -> None:
        self._handler.handle(logging.makeLogRecord({"msg": message}))

    log = debug = info = warning = error = critical = msg


def _raise(record: logging.LogRecord) -> NoReturn:
    del record
    raise

"""A trader's folder: what lies in it, and one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import pathlib
import time
from collections.abc import Iterator
from typing import TextIO

from cappuccino.errors import Refusal
from cappuccino.process import Process, this_process

JOURNAL_NAME = "journal.sqlite"
DRY_JOURNAL_NAME = "dry.sqlite"
CONFIG_NAME = "trade.yaml"
LOG_NAME = "trader.log"
LOCK_NAME = "lock"
UNANSWERED_NAME = "unanswered"
"""There while the venue does not answer at the start, and somebody was told."""
LOOK_S = 0.2
"""Seconds that a lock is waited for."""
ACCOUNTS = ".accounts"
"""Beside the traders' folders: one lock for each account."""


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """The folder, made if need be, for this process alone; the lock falls with the process, however it ends.

    Raises Refusal if another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder / LOCK_NAME, f"a trader runs in {folder} already: stop it first, or give this one another trade.name"):
        yield


@contextlib.contextmanager
def account_locked(folder: pathlib.Path, account: str) -> Iterator[None]:
    """The account for the trader of this folder alone, among all traders whose folders lie beside it.

    Raises Refusal if another one has it.
    """
    locks = folder.parent / ACCOUNTS
    locks.mkdir(exist_ok=True)
    with _held(locks / f"{account}.lock", f"another trader beside {folder} trades account {account}: one account, one trader"):
        yield


@contextlib.contextmanager
def _held(path: pathlib.Path, refusal: str) -> Iterator[None]:
    with path.open("a+") as file:
        if not _taken(file):
            raise Refusal(f"{refusal} (process {_pid(file)})")
        file.truncate(0)
        pid, started = this_process()
        file.write(f"{pid} {started}\n")
        file.flush()
        yield


def _taken(file: TextIO) -> bool:
    """Take the lock of a file; False if another process has it. One that looks (`running`) has it for an instant."""
    until = time.monotonic() + LOOK_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(LOOK_S / 10)
        else:
            return True


def running(folder: pathlib.Path) -> int | None:
    """The process that trades in the folder; None if none does."""
    found = holder(folder)
    return None if found is None else found.pid


def holder(folder: pathlib.Path) -> Process | None:
    """The process that trades in the folder, with what sets it apart from a later one of its number; None if none does."""
    path = folder / LOCK_NAME
    if not path.exists():
        return None
    with path.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, started = _written(file).partition(" ")
            return Process(int(pid or 0), started)
    return None


def _pid(file: TextIO) -> str:
    return _written(file).partition(" ")[0]


def _written(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip()

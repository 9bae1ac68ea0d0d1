"""Processes that outlive the pipeline or are waited for after it was killed: each holds a lock from before it runs to its end.

The lock (`flock`) is taken before the process is made, which inherits it: there is no moment at which a pipeline that is killed leaves a
process that the next one could not see, nor one at which it sees a process that is not there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from cappuccino.process import Process, started

_PROGRAM = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"


@contextlib.contextmanager
def _taken(lock: pathlib.Path) -> Iterator[TextIO | None]:
    """The lock; None where another process has it. It stays with those that inherit it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file


def launch(words: Sequence[str], lock: pathlib.Path, log: pathlib.Path) -> subprocess.Popen[bytes] | None:
    """Run `cappuccino` with these words in a session of its own, what it prints appended to `log`. None if the lock is held."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with _taken(lock) as file, log.open("ab") as output:
        if file is None:
            return None
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(file.fileno(),),
            start_new_session=True,
            env={**os.environ, "COLUMNS": "160"},
        )
        file.truncate(0)
        file.write(f"{child.pid} {started(child.pid) or ''}\n")
        return child


def holder(lock: pathlib.Path) -> Process | None:
    """The process that was launched with a lock and still holds it; its number is 0 where it is not known yet."""
    if not lock.exists():
        return None
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, since = file.read().strip().partition(" ")
            return Process(int(pid or 0), since)
    return None

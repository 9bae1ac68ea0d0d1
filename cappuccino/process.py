"""A process told apart from a later one with the same number, and whether it still runs."""

from __future__ import annotations

import os
import pathlib
import subprocess
from typing import NamedTuple

_PROC = pathlib.Path("/proc")


class Process(NamedTuple):
    """A process of this machine. started: when, in the system's own words; it sets it apart from a reused pid."""

    pid: int
    started: str


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(pid, started(pid) or "")


def is_alive(process: Process) -> bool:
    """Whether it runs. One that has ended but was not yet waited for does not."""
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is there, and another user's
    now = started(process.pid)
    return now is None or now == process.started


def started(pid: int) -> str | None:
    """When a process started, in the system's own words; "" if it has ended but was not yet waited for; None if unknown."""
    if (_PROC / "self/stat").exists():
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return "" if fields[0] in "ZX" else fields[19]
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None

"""SQLite files that several processes of one machine share, written ahead."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import time

BUSY_S = 60.0
"""For how long a database that others use, or a server that restarts, is waited for."""
_MOUNTS = pathlib.Path("/proc/self/mountinfo")
_LOCAL = {"ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"}
"""File systems of one machine alone, whose processes can all map a file into memory."""


def write_ahead(file: pathlib.Path) -> None:
    """Let SQLite write ahead, for good, where all that may share the file are on one machine.

    A commit then does not wait for the disk: a process that is killed has lost nothing, a machine without power the last commits.
    It takes memory that all processes map; over a network it would damage the file (https://sqlite.org/wal.html).
    """
    if _file_system(file) not in _LOCAL:
        return
    until = time.monotonic() + BUSY_S
    with contextlib.closing(sqlite3.connect(file, timeout=BUSY_S)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.05)  # SQLite does not wait here where another process asks for the same at this moment


def _file_system(path: pathlib.Path) -> str | None:
    """What kind of file system the folder of `path` is on, like ext4; None where that cannot be told."""
    if not _MOUNTS.exists():
        return None
    device = path.absolute().parent.stat().st_dev
    mounts = (line.split(" ") for line in _MOUNTS.read_text().splitlines())
    kinds = {fields[2]: fields[fields.index("-") + 1] for fields in mounts}
    return kinds.get(f"{os.major(device)}:{os.minor(device)}")

"""The guide's way to copy a database that is in use: whole, and with all that was there when it began."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shlex
import sqlite3
import subprocess
import sys
import threading

from blocks import blocks

from cappuccino.write_ahead import write_ahead


def copies() -> list[str]:
    """The program in the guide's block that copies, with its arguments left out."""
    (program,) = {line for block in blocks("docs/operate.md") for line in block.code.splitlines() if "VACUUM INTO" in line}
    return [sys.executable, *shlex.split(re.sub(r"\$.*", "", program))[1:]]


def test_a_database_is_copied_whole_while_it_is_written(tmp_path: pathlib.Path) -> None:
    file, stop, wrote = tmp_path / "runs.sqlite", threading.Event(), [0]
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE bars (number INTEGER PRIMARY KEY, twice INTEGER)")
    write_ahead(file)

    def write() -> None:
        with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
            while not stop.is_set():
                database.execute("INSERT INTO bars VALUES (?, ?)", (wrote[0], 2 * wrote[0]))
                wrote[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            before, copy = wrote[0], tmp_path / f"copy-{number}.sqlite"
            subprocess.run([*copies(), str(file), str(copy)], check=True)
            with contextlib.closing(sqlite3.connect(copy)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                rows = database.execute("SELECT number, twice FROM bars ORDER BY number").fetchall()
            assert rows == [(k, 2 * k) for k in range(len(rows))]
            assert before <= len(rows) <= wrote[0] + 1
    finally:
        stop.set()
        writer.join()
    assert wrote[0] > before > 0

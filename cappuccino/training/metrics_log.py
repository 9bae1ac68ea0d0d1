"""The log of a training: one JSON line per update, and the same numbers as TensorBoard events.

The JSON lines are the truth. They are on disk before the checkpoint that follows them; a resumed training cuts them back to its
checkpoint and writes TensorBoard's events anew from them, so that no row is ever doubled or missing in either.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import tensorboardX

from cappuccino.errors import InputError

Row = Mapping[str, float]


def read_rows(path: pathlib.Path) -> list[dict[str, float]]:
    """The rows of a log; a last line cut short by a kill is left out. Raises InputError for any other line that is no row."""
    content = path.read_bytes() if path.exists() else b""
    rows = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path} line {number} is not JSON: {error}") from error
        if not (isinstance(row, dict) and {"update", "env_steps"} <= row.keys()):
            raise InputError(f"{path} line {number} is no row of a training's log: it has no update and env_steps")
        rows.append(row)
    return rows


class MetricsLog:
    """Rows of scalars by update in `metrics.jsonl` and `tensorboard/` of a run's folder.

    Opening it for a training that has done `update` updates drops the rows behind that one. Raises InputError if rows up to it
    are missing.
    """

    def __init__(self, folder: pathlib.Path, update: int):
        self._path = folder / "metrics.jsonl"
        kept = [row for row in read_rows(self._path) if row["update"] <= update]
        if [row["update"] for row in kept] != list(range(1, update + 1)):
            raise InputError(f"{self._path} has {len(kept)} rows up to update {update}; it was changed since the checkpoint")
        cut = self._path.with_suffix(".jsonl.tmp")
        cut.write_text("".join(json.dumps(row) + "\n" for row in kept))
        cut.replace(self._path)
        if (folder / "tensorboard").exists():
            shutil.rmtree(folder / "tensorboard")
        self._events = tensorboardX.SummaryWriter(str(folder / "tensorboard"), flush_secs=10)
        self._file = self._path.open("a")
        for row in kept:
            self._event(row)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._events.close()

    def _event(self, row: Row) -> None:
        for name, value in row.items():
            if name not in ("update", "env_steps"):
                self._events.add_scalar(name, value, int(row["env_steps"]))

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows; returns when the JSON lines are on disk."""
        self._file.write("".join(json.dumps(dict(row)) + "\n" for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())
        for row in rows:
            self._event(row)

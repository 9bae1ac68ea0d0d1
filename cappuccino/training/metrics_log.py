"""The log of a training: one JSON line per update, and the same numbers as TensorBoard events.

The JSON lines are the truth. They are on disk before the checkpoint that follows them; a resumed training cuts them back to its
checkpoint and writes TensorBoard's events anew from them, so that no row is ever doubled or missing in either.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence

from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter

from cappuccino.errors import InputError

Row = Mapping[str, float]

_FILE_VERSION = "brain.Event:2"
"""How a file of TensorBoard's events begins."""


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
        (folder / "tensorboard").mkdir()
        self._events = RecordWriter((folder / "tensorboard" / f"events.out.tfevents.{int(time.time())}").open("wb"))
        self._events.write(Event(wall_time=time.time(), file_version=_FILE_VERSION).SerializeToString())
        self._file = self._path.open("a")
        self._write_events(kept)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._events.close()

    def _write_events(self, rows: Sequence[Row]) -> None:
        for row in rows:
            values = [
                Summary.Value(tag=name, simple_value=value)
                for name, value in row.items()
                if name not in ("update", "env_steps")
            ]
            event = Event(wall_time=time.time(), step=int(row["env_steps"]), summary=Summary(value=values))
            self._events.write(event.SerializeToString())
        self._events.flush()

    def write(self, rows: Sequence[Row]) -> None:
        """Append rows; returns when the JSON lines are on disk."""
        self._file.write("".join(json.dumps(dict(row)) + "\n" for row in rows))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._write_events(rows)

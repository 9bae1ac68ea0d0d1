"""A worker of a search on its node: the command in a process of its own, and what that prints.

`run_worker` runs in a process of the cluster's, this file as a program in the worker's, which ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TAIL = 3
"""Lines that are kept to say why a worker failed."""


class Began(NamedTuple):
    """A worker has its place."""

    host: str


class Ended(NamedTuple):
    """code: the process's exit code, None if it was not started. said: its last lines, or why not."""

    code: int | None
    said: str


def run_worker(words: Sequence[str], folder: str, shared: str, cpus: int, gpus: int) -> Iterator[Began | str | Ended]:
    """Run `cappuccino train` with these words in `folder`; its lines as they come. shared: a folder that must be there too."""
    host = socket.gethostname()
    yield Began(host)
    for needed in (folder, shared):
        if not pathlib.Path(needed).is_dir():
            yield Ended(None, f"{host} does not see {needed}; runs and data have to be on a file system that all nodes share")
            return
    process = subprocess.Popen(
        [sys.executable, "-m", "cappuccino.sweep.worker"],
        cwd=folder,
        env={**os.environ, **_environment(cpus, gpus)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, and what it printed says why
        process.stdin.write(f"{json.dumps(list(words))}\n")
    tail: deque[str] = deque(maxlen=_TAIL)
    for line in process.stdout:
        tail.append(line.strip())
        yield line.rstrip()
    yield Ended(process.wait(), " ".join(tail))


def _environment(cpus: int, gpus: int) -> dict[str, str]:
    """What keeps a worker to its share of a node. XLA takes the size of its thread pools from NPROC."""
    found = [str(pathlib.Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    share = {"NPROC": str(cpus), "PYTHONPATH": os.pathsep.join(path for path in found if path)}
    return share if gpus else {**share, "JAX_PLATFORMS": "cpu"}


def _end_with_input() -> None:
    """Wait until whoever started this process has ended: trials that nobody waits for any more are not trained on."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """The command, whose words are one line of JSON on standard input: there may be a password in them."""
    from cappuccino.cli import main as command

    words = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    return command(["train", *words])


if __name__ == "__main__":
    sys.exit(main())

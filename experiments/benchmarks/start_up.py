"""`python train.py` from its start to the end of the first update, written to the log: cold and warm compilation cache.

A process of its own each time, with a cache folder of its own; the default configuration, in chunks of one update; the validation and
log of that update included. PyTorch, where it is installed, adds the 3 s in which TensorBoard's writer imports it.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from cappuccino.bench.interface import Benchmark, Row

TRAIN = pathlib.Path(__file__).parents[2] / "train.py"
REPEATS = 5
LIMIT_S = 300
SMALL = ("data.bars=1500", "env.clocks=8", "training.rollout_steps=16", "env.episode_bars=16")


def seconds_to_first_row(cache: pathlib.Path, runs: pathlib.Path, name: str, words: tuple[str, ...]) -> float:
    """From the start of the process until the log has its first row."""
    log, printed = runs / name / "metrics.jsonl", runs / f"{name}.txt"
    command = [sys.executable, str(TRAIN), f"runs_dir={runs}", f"name={name}", "training.updates_per_chunk=1", *words]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    runs.mkdir(exist_ok=True)
    began = time.perf_counter()
    with printed.open("w") as out, subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            while not (log.is_file() and log.stat().st_size):
                if process.poll() is not None or time.perf_counter() - began > LIMIT_S:
                    raise RuntimeError(f"{' '.join(command)} had no update after {LIMIT_S} s or ended: {printed.read_text()}")
                time.sleep(0.01)
            return time.perf_counter() - began
        finally:
            process.kill()


def measure(small: bool) -> Iterator[Row]:
    words = SMALL if small else ()
    cold, warm = [], []
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        for repeat in range(REPEATS):
            cache = home / f"cache{repeat}"
            cold.append(seconds_to_first_row(cache, home / "runs", f"cold{repeat}", words))
            warm.append(seconds_to_first_row(cache, home / "runs", f"warm{repeat}", words))
    for name, seconds, must, aim in (("cold", cold, 20, 12), ("warm", warm, 10, 7)):
        yield Row(f"to the first update, {name} cache", tuple(seconds), must=must, aim=aim, higher_is_better=False, unit="s")


BENCHMARK = Benchmark(
    question="How long does python train.py take from its start to the end of the first update?",
    measure=measure,
)

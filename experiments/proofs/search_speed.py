"""Thirty-two trials of the default space as lanes, against the same trials one at a time and as a process each.

    python experiments/proofs/search_speed.py [--trials 32] [--env-steps 360000]

All sides train the same configurations: those that the lanes' study drew at random, without a pruner. They are
  lanes          python train.py -m sweep=ppo
  one at a time  the faster of that with hydra.sweeper.lanes=1, and of a process that runs `cappuccino train` for each in turn
  processes      the faster of `python train.py` for each in turn, and of as many at a time as there are cores
once with an empty compilation cache and once with a full one. What trials came to is the best validation score in their logs:
the same training rounds otherwise in another program, so that only the mean over trials is compared, within pairs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import optuna

ROOT = pathlib.Path(__file__).resolve().parents[2]
IN_TURN = """
import json, sys
from cappuccino.cli import main
for words in json.load(sys.stdin):
    if main(["train", *words]):
        sys.exit(1)
"""
MARKET = ("experiment=planted", "data.seed=400", "network.lookback=5", "training.updates_per_chunk=11")
"""A chunk of 11 updates is 360,448 env steps, so that a trial of 360,000 is not rounded up to more."""
BARS = {"one at a time": 1.5, "processes": 3.0}
AIMS = {"one at a time": 2.5, "processes": 6.0}


Work = Callable[[pathlib.Path, pathlib.Path], None]
"""Trains the trials: takes the folders of runs and of compiled programs."""


class Sides:
    """The ways to train the same trials. configurations: of each, overrides; known once the lanes have trained."""

    def __init__(self, trials: int, env_steps: int) -> None:
        self.trials = trials
        self.common = (*MARKET, f"training.env_steps={env_steps}")
        self.search = ("-m", "sweep=ppo", *self.common, f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.pruner=none")
        self.search += ("hydra/sweeper/sampler=random", "hydra.sweeper.sampler.seed=1", "hydra.sweeper.study_name=study")
        self.configurations: list[list[str]] = []

    def ways(self) -> dict[tuple[str, str], Work]:
        """By side and way, the lanes first."""
        return {
            ("lanes", ""): self.lanes,
            ("one at a time", "one lane"): self.one_lane,
            ("one at a time", "one process"): self.one_process,
            ("processes", "in turn"): functools.partial(self.processes, 1),
            ("processes", "at once"): functools.partial(self.processes, os.cpu_count() or 1),
        }

    def lanes(self, runs: pathlib.Path, cache: pathlib.Path) -> None:
        run([sys.executable, "train.py", *self.search, f"runs_dir={runs}"], cache)
        if not self.configurations:
            study = optuna.load_study(study_name="study", storage=f"sqlite:///{runs / 'studies.db'}")
            self.configurations = [[f"{name}={value!r}" for name, value in trial.params.items()] for trial in study.trials]

    def one_lane(self, runs: pathlib.Path, cache: pathlib.Path) -> None:
        run([sys.executable, "train.py", *self.search, "hydra.sweeper.lanes=1", f"runs_dir={runs}"], cache)

    def one_process(self, runs: pathlib.Path, cache: pathlib.Path) -> None:
        run([sys.executable, "-c", IN_TURN], cache, json.dumps([self.words(runs, number) for number in range(self.trials)]))

    def processes(self, at_a_time: int, runs: pathlib.Path, cache: pathlib.Path) -> None:
        with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
            commands = ([sys.executable, "train.py", *self.words(runs, number)] for number in range(self.trials))
            list(pool.map(lambda command: run(command, cache), commands))

    def words(self, runs: pathlib.Path, number: int) -> list[str]:
        return [*self.common, *self.configurations[number], f"runs_dir={runs}", f"name=study/{number}"]


def run(command: Sequence[str], cache: pathlib.Path, given: str | None = None) -> None:
    """Raises RuntimeError with the end of what the command said if it failed."""
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    done = subprocess.run(command, cwd=ROOT, env=environment, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def scores(runs: pathlib.Path, trials: int) -> np.ndarray:
    """The best validation score of each trial, in 1e-4 of log growth a bar."""
    found = []
    for number in range(trials):
        rows = [json.loads(line) for line in (runs / "study" / str(number) / "metrics.jsonl").read_text().splitlines()]
        found.append(max(row["validation/score"] for row in rows if "validation/score" in row))
    return 1e4 * np.array(found)


def compare(sides: Sides, folder: pathlib.Path, cache: str) -> bool:
    """Time every way, print it, and say whether lanes are as fast as they have to be and come to the same."""
    print(f"{cache} compilation cache")
    seconds, found = {}, {}
    for (side, way), work in sides.ways().items():
        place = "-".join(f"{side} {way}".split())
        runs = folder / cache / place
        begun = time.monotonic()
        work(runs, folder / "programs" / place)
        seconds[side, way] = time.monotonic() - begun
        found[side, way] = scores(runs, sides.trials)
        print(f"  {side:<15}{way:<13}{seconds[side, way]:>7.1f} s", flush=True)
    good = True
    for side, bar in BARS.items():
        ratio = min(value for (one, _), value in seconds.items() if one == side) / seconds["lanes", ""]
        good &= ratio >= bar
        print(f"  lanes over {side:<14}{ratio:>5.2f} x, at least {bar} (aim {AIMS[side]}): {_verdict(ratio >= bar)}")
    lanes = found.pop(("lanes", ""))
    for (side, way), values in found.items():
        apart = lanes - values
        error = float(np.std(apart, ddof=1) / np.sqrt(len(apart)))
        agree = abs(apart.mean()) <= 2 * error or not apart.any()
        good &= bool(agree)
        print(
            f"  mean of the trials' best scores: lanes {lanes.mean():.3f}, {side} {way} {values.mean():.3f}; within pairs "
            f"{apart.mean():+.3f} +- {error:.3f}: {'agree' if agree else 'DIFFERENT'}"
        )
    return good


def _verdict(reached: bool) -> str:
    return "reached" if reached else "FALLS SHORT"


def main(argv: Sequence[str]) -> int:
    """0 if the bars are reached, cold and warm, and the means agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--env-steps", type=int, default=360_000)
    given = parser.parse_args(argv)
    sides = Sides(given.trials, given.env_steps)
    print(f"{given.trials} trials of {given.env_steps:,} env steps: python train.py {' '.join(sides.search)}")
    with tempfile.TemporaryDirectory() as folder:
        good = [compare(sides, pathlib.Path(folder), cache) for cache in ("cold", "warm")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

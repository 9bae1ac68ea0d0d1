"""Kill a training with SIGKILL again and again, resume it every time, and compare it with one that was left alone.

    python experiments/proofs/kills.py [--kills 20] [--seed 0] [--folder FOLDER]

One training runs undisturbed. A second one, the same command, is killed `--kills` times: once before there is any checkpoint,
then by turns at random moments of start-up and training, and while a checkpoint is being written (its temporary folder is
there, and is still there when the process is dead). Every time the same command with resume=true goes on. At the end both runs
must agree bit for bit: all arrays of the last and of the best checkpoint, which checkpoints are kept, every row of
metrics.jsonl, and every TensorBoard event's tag, step and value. The exit code is 0 if they do.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from cappuccino.training.checkpoints import Checkpoints, digest
from cappuccino.training.metrics_log import read_rows

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAINING = (
    "experiment=planted",
    "data.bars=1500",
    "data.train_end=null",
    "data.valid_end=null",
    "network=mlp",
    "network.lookback=4",
    "network.hidden=[16]",
    "network.head=[16]",
    "env.clocks=8",
    "env.accounts=4",
    "env.episode_bars=64",
    "training.rollout_steps=32",
    "training.updates_per_chunk=1",
    "agent.epochs=1",
    "agent.minibatches=2",
    "device=cpu",
)
STEPS_PER_UPDATE = 8 * 4 * 32
UPDATES_PER_KILL = 5
WRITING = "*.orbax-checkpoint-tmp*"
PATIENCE = 600.0


@dataclasses.dataclass(frozen=True)
class Kill:
    """One kill: seconds after the process began, whether it left a checkpoint half-written, the latest whole one it left."""

    aim: str
    seconds: float
    writing: bool
    left: int | None


class Proof:
    """The two trainings, side by side in one folder with a compilation cache of their own."""

    def __init__(self, folder: pathlib.Path, updates: int, random_numbers: random.Random):
        self.folder, self.updates, self.random = folder, updates, random_numbers
        self.startup = PATIENCE
        self.environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache"), "JAX_PLATFORMS": "cpu"}

    def start(self, name: str, *, resume: bool) -> subprocess.Popen:
        words = [*TRAINING, f"training.env_steps={self.updates * STEPS_PER_UPDATE}", f"runs_dir={self.folder}", f"name={name}"]
        with (self.folder / f"{name}.txt").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *words, f"resume={str(resume).lower()}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=ROOT,
            )

    def finish(self, process: subprocess.Popen, name: str) -> None:
        """Wait for a training to end well. Raises RuntimeError with the end of its output if it does not."""
        if process.wait() != 0:
            output = (self.folder / f"{name}.txt").read_text()
            raise RuntimeError(f"{name} ended with exit code {process.returncode}:\n{output[-2000:]}")

    def latest(self, name: str) -> int | None:
        """Number of the latest whole checkpoint, from the folders' names alone."""
        folder = self.folder / name / "checkpoints"
        numbers = [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()] if folder.is_dir() else []
        return max(numbers, default=None)

    def half_written(self, name: str) -> set[tuple[int, int]]:
        """The checkpoints that are not whole, by what tells one that a kill left from a new one of the same name."""
        found = [path.stat() for path in (self.folder / name / "checkpoints").glob(WRITING)]
        return {(status.st_ino, status.st_mtime_ns) for status in found}

    def leave_alone(self, name: str) -> float:
        """Run a training from beginning to end; seconds that it took. Notes how long the first checkpoint took."""
        begun = time.monotonic()
        process = self.start(name, resume=False)
        self._await(process, name, lambda: self.latest(name) is not None)
        self.startup = time.monotonic() - begun
        self.finish(process, name)
        return time.monotonic() - begun

    def kill(self, name: str, aim: str) -> Kill:
        """Start or resume the training `name`, and kill it: `early`, at `any` moment, or while `writing` a checkpoint.

        Any moment: up to when the first checkpoint is due, and a third beyond; or soon after the third checkpoint.
        """
        config, left = self.folder / name / "config.yaml", self.half_written(name)
        begun = time.monotonic()
        process = self.start(name, resume=config.exists())
        try:
            self._await(process, name, config.exists)
            before, checkpoints = self.latest(name) or 0, self.folder / name / "checkpoints"
            wait = self.random.uniform(0, self.startup * 4 / 3)
            target = before + self.random.randrange(3)
            if aim == "any":
                self._await(process, name, lambda: time.monotonic() - begun > wait or (self.latest(name) or 0) >= before + 3)
                time.sleep(self.random.uniform(0, 0.2))
            elif aim == "writing":
                self._await(process, name, lambda: (self.latest(name) or 0) > before)
                self.startup = time.monotonic() - begun
                self._await(process, name, lambda: (self.latest(name) or 0) > target and any(checkpoints.glob(WRITING)))
                time.sleep(self.random.uniform(0, 0.01))
            if process.poll() is not None:
                self.finish(process, name)
                raise RuntimeError(f"{name} was over before it was killed; it needs more updates")
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        return Kill(aim, time.monotonic() - begun, bool(self.half_written(name) - left), self.latest(name))

    def _await(self, process: subprocess.Popen, name: str, condition: Callable[[], bool]) -> None:
        patience = time.monotonic() + PATIENCE
        while not condition():
            if process.poll() is not None:
                self.finish(process, name)
                raise RuntimeError(f"{name} was over before the moment that was waited for; it needs more updates")
            if time.monotonic() > patience:
                raise RuntimeError(f"{name} has not come to the moment that was waited for within {PATIENCE:.0f} s")
            time.sleep(0.001)


def compare(left_alone: pathlib.Path, killed: pathlib.Path) -> list[str]:
    """In what two runs differ; empty if they agree bit for bit."""

    def contents(folder: pathlib.Path) -> dict[str, object]:
        with Checkpoints(folder / "checkpoints") as checkpoints:
            latest, best = checkpoints.latest(), checkpoints.best()
            if latest is None or best is None:
                raise RuntimeError(f"{folder} has no checkpoint")
            digests = {f"arrays of checkpoint {n}": digest(checkpoints.restore(n).arrays) for n in {latest, best}}
        rows = read_rows(folder / "metrics.jsonl")
        return {
            "latest and best checkpoint": (latest, best),
            "checkpoints kept": sorted(entry.name for entry in (folder / "checkpoints").iterdir()),
            "updates in metrics.jsonl": [row["update"] for row in rows],
            "rows of metrics.jsonl": [{name: float(value).hex() for name, value in row.items()} for row in rows],
            "TensorBoard events": events(folder / "tensorboard"),
            **digests,
        }

    one, other = contents(left_alone), contents(killed)
    return [name for name in one | other if one.get(name) != other.get(name)]


def events(folder: pathlib.Path) -> list[tuple[str, int, float]]:
    """(tag, step, value) of all events in a folder of TensorBoard files, in order."""
    found = []
    for file in sorted(folder.iterdir()):
        for event in EventFileLoader(str(file)).Load():
            found += [(value.tag, event.step, value.tensor.float_val[0]) for value in event.summary.value]
    return sorted(found)


def aims(kills: int, random_numbers: random.Random) -> list[str]:
    """One kill before the first checkpoint; at least half of the others while a checkpoint is being written."""
    rest = ["writing", "any"] * kills
    rest = rest[: kills - 1]
    random_numbers.shuffle(rest)
    return ["early", *rest]


def prove(kills: int, seed: int, folder: pathlib.Path) -> int:
    """Run the proof in an empty folder and print it; 0 if the runs agree and enough kills hit a checkpoint being written."""
    random_numbers = random.Random(seed)
    proof = Proof(folder, updates=kills * UPDATES_PER_KILL + 10, random_numbers=random_numbers)
    seconds = proof.leave_alone("left_alone")
    print(f"A training of {proof.updates} updates, a checkpoint after each, left alone: {seconds:.1f} s,")
    print(f"{proof.startup:.1f} s of them until the first checkpoint. The same, killed {kills} times (seed {seed}):\n")
    print(
        f"{'kill':>4}  {'aimed at':<9}{'after':>9}  {'checkpoint half-written':<24}{'latest whole':>13}  {'resumed from':>13}"
    )

    hits = 0
    for number, aim in enumerate(aims(kills, random_numbers), start=1):
        origin = proof.latest("killed")
        kill = proof.kill("killed", aim)
        hits += kill.writing
        print(
            f"{number:>4}  {kill.aim:<9}{kill.seconds:>7.2f} s  {'yes' if kill.writing else 'no':<24}{_place(kill.left):>13}  "
            f"{_place(origin):>13}",
            flush=True,
        )
    proof.finish(proof.start("killed", resume=True), "killed")

    different = compare(folder / "left_alone", folder / "killed")
    wanted = min(5, kills // 2)
    print()
    if different:
        print(f"FAILED: the runs differ in {'; '.join(different)}")
        return 1
    if hits < wanted:
        print(f"FAILED: {hits} kills hit a checkpoint being written, {wanted} were wanted; choose another --seed")
        return 1
    print(
        f"PASSED: after {kills} kills, {hits} of them while a checkpoint was being written, all arrays, {proof.updates} rows "
        "of metrics.jsonl and all TensorBoard events are bit for bit those of the run left alone"
    )
    return 0


def _place(update: int | None) -> str:
    return "the start" if update is None else f"update {update}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many (at least 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the kills' moments")
    parser.add_argument("--folder", type=pathlib.Path, help="empty folder to work in and keep; a temporary one otherwise")
    given = parser.parse_args(argv)
    if given.kills < 2:
        parser.error(f"--kills is {given.kills}; it must be at least 2")
    if given.folder is None:
        with tempfile.TemporaryDirectory() as folder:
            return prove(given.kills, given.seed, pathlib.Path(folder))
    given.folder.mkdir(parents=True, exist_ok=True)
    if any(given.folder.iterdir()):
        parser.error(f"--folder {given.folder} is not empty")
    return prove(given.kills, given.seed, given.folder.resolve())


if __name__ == "__main__":
    sys.exit(main())

"""Searches run as a user runs them, in a process of their own, and one that is small enough for a test."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import optuna
from optuna.trial import FrozenTrial

from cappuccino.sweep.ends import counts
from cappuccino.sweep.storage import open_storage

ROOT = pathlib.Path(__file__).parents[2]
STUDY = "small"
SMALL = (
    "experiment=planted",
    "data.bars=700",
    "data.train_end=null",
    "data.valid_end=null",
    "network=mlp",
    "network.lookback=1",
    "network.hidden=[8]",
    "network.head=[8]",
    "env.clocks=4",
    "env.accounts=2",
    "env.episode_bars=16",
    "training.rollout_steps=16",
    "training.updates_per_chunk=1",
    "training.env_steps=512",
    "agent.epochs=1",
    "agent.minibatches=2",
)


def begin(folder: pathlib.Path, *words: str) -> subprocess.Popen[str]:
    """`python train.py` with these words in a folder."""
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended_well(process: subprocess.Popen[str]) -> str:
    """What it printed. Raises RuntimeError with the end of what it said if it failed."""
    out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} ended with {process.returncode}: {err[-2000:]}")
    return out


def start(folder: pathlib.Path, *words: str) -> subprocess.Popen[str]:
    return begin(folder, *SMALL, *words)


def search(*words: str, n_trials: int = 6) -> tuple[str, ...]:
    """The command line of a study named STUDY."""
    return ("-m", f"hydra.sweeper.study_name={STUDY}", f"hydra.sweeper.n_trials={n_trials}", *words)


def run(folder: pathlib.Path, *words: str, code: int = 0) -> str:
    """What the command printed. Its exit code has to be `code`; of a failure, what it said on stderr."""
    process = start(folder, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return " ".join((err if code else out).split())


def study(folder: pathlib.Path, name: str = STUDY) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(f"sqlite:///{folder / 'runs' / 'studies.db'}"))


def ended(folder: pathlib.Path) -> list[FrozenTrial]:
    """The trials of STUDY that count: two processes that look for one at once may both add one, and one of those is nobody's."""
    return [trial for trial in study(folder).get_trials() if counts(trial)]

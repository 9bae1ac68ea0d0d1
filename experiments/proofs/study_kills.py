"""Kill a study with SIGKILL twice at random moments and repeat its command, again and again with other moments.

    python experiments/proofs/study_kills.py [--rounds 5] [--trials 64] [--env-steps 131072] [--seed 0]

A study is first left alone, for how long it takes; the others are killed after up to half of that, twice, and then finished. Of each
must be true in the end: every trial is in a final state; of the `--trials` places each was filled once, by no trial twice; what was
lost with a process was repeated once, with its parameters; every complete trial has its folder, with a checkpoint that is whole.
"""

from __future__ import annotations

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

import optuna
from omegaconf import OmegaConf
from optuna.trial import TrialState

from cappuccino.errors import InputError
from cappuccino.sweep.ends import end_of
from cappuccino.sweep.places import RETRY_OF
from cappuccino.training.run import Run

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "sweep"))
from study_cases import assert_all_ended
from sweep_cases import STUDY, begin, ended_well, search
from sweep_cases import study as study_in

KILLS = 2


def killed(folder: pathlib.Path, words: Sequence[str], seconds: float) -> str:
    """Kill the search after so many seconds; how the trials stood then. Raises RuntimeError if it was over."""
    process = begin(folder, *words)
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    else:
        raise RuntimeError(f"the study ended, with {process.returncode}, before it was killed after {seconds:.1f} s")
    if not (folder / "runs" / "studies.db").exists():
        return f"{seconds:.1f} s, no study yet"
    try:
        trials = study_in(folder).get_trials()
    except KeyError:
        return f"{seconds:.1f} s, no study yet"
    counts = Counter(trial.state for trial in trials)
    over = sum(count for state, count in counts.items() if state.is_finished())
    return f"{seconds:.1f} s, {over} over and {counts[TrialState.RUNNING]} running"


def faults(study: optuna.Study, n_trials: int, folder: pathlib.Path) -> list[str]:
    """What is wrong with a study that is done, in words."""
    found = []
    try:
        assert_all_ended(study.get_trials(), n_trials)
    except AssertionError as error:
        found.append(f"not all ended as they should: {error}")
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    drawn = Counter(tuple(trial.params.items()) for trial in complete)
    found += [f"{count} trials completed {dict(params)}" for params, count in drawn.items() if count > 1]
    for trial in complete:
        try:
            Run.find(f"{STUDY}/{trial.number}", str(folder / "runs")).best()
        except InputError as error:
            found.append(str(error))
    record = OmegaConf.load(folder / "runs" / STUDY / "best.yaml")
    if record.value != study.best_value:
        found.append(f"best.yaml has {record.value}, the study {study.best_value}")
    return found


def main(argv: Sequence[str]) -> int:
    """0 if no study lost or repeated anything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--env-steps", type=int, default=131_072)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args(argv)
    words = search("sweep=ppo", "experiment=planted", f"training.env_steps={given.env_steps}", n_trials=given.trials)
    print(f"python train.py {' '.join(words)}", flush=True)
    moments, bad, alone = random.Random(given.seed), 0, 0.0
    with tempfile.TemporaryDirectory() as base:
        for number in range(given.rounds + 1):
            folder = pathlib.Path(base) / str(number)
            folder.mkdir()
            killings = [killed(folder, words, moments.uniform(0, alone / 2)) for _ in range(KILLS if number else 0)]
            begun = time.monotonic()
            ended_well(begin(folder, *words))
            took = time.monotonic() - begun
            alone = alone or took
            study = study_in(folder)
            wrong = faults(study, given.trials, folder)
            bad += bool(wrong)
            trials = study.get_trials()
            counts = ", ".join(f"{count} {end}" for end, count in Counter(end_of(trial) for trial in trials).items())
            retries = sum(RETRY_OF in trial.user_attrs for trial in trials)
            head = f"killed after {'; after '.join(killings)}" if killings else "left alone"
            print(f"  {head}; {took:.1f} s to the end: {counts}; {retries} repeated: {'; '.join(wrong) or 'good'}", flush=True)
    print(
        f"{given.rounds} studies of {given.trials} trials, each killed {KILLS} times: all trials are final, none was completed twice, "
        f"none is lost: {'holds' if not bad else f'FAILS in {bad}'}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

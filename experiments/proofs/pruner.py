"""What a pruner saves and what it costs: five pairs of studies of the default space, with a pruner and with none.

    python experiments/proofs/pruner.py [--studies 5] [--trials 64] [--env-steps 360000] [--seeds 3] [--pruner asha]

Both of a pair search the same market from the same first trials. Their best trials are trained again in full with seeds that
neither study saw, and judged on the test span, which no choice was made on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import numpy as np
import optuna

from cappuccino.cli import main as cappuccino

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ("experiment=planted", "env.clocks=16")
FIRST_DATA_SEED, FIRST_SEED = 600, 1000
MOST_STEPS = 0.6


def run(*words: str) -> None:
    """`python train.py` with these words. Raises RuntimeError with the end of what it said if it failed."""
    command = [sys.executable, "train.py", *words]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


def searched(number: int, pruner: str, runs: str, trials: int, words: Sequence[str]) -> optuna.Study:
    """A study of that number's market."""
    name = f"{pruner}-{number}"
    settings = {"study_name": name, "n_trials": trials, "pruner": pruner, "sampler.seed": number}
    run("-m", "sweep=ppo", *words, f"runs_dir={runs}", *(f"hydra.sweeper.{key}={value}" for key, value in settings.items()))
    return optuna.load_study(study_name=name, storage=f"sqlite:///{runs}/studies.db")


def held_out(study: optuna.Study, runs: str, seeds: int, words: Sequence[str]) -> np.ndarray:
    """Log growth a bar on the test span, in 1e-4, of the best trial trained again with each seed."""
    name, numbers = f"again-{study.study_name}", range(FIRST_SEED, FIRST_SEED + seeds)
    values = (f"{key}={value!r}" for key, value in study.best_params.items())
    run("-m", *words, *values, f"seed={','.join(map(str, numbers))}", f"name={name}", f"runs_dir={runs}")
    found = []
    for number in range(seeds):
        with contextlib.redirect_stdout(io.StringIO()):
            if cappuccino(["backtest", f"run={name}/{number}", "span=test", f"runs_dir={runs}"]):
                raise RuntimeError(f"the backtest of {name}/{number} failed")
        summary = json.loads((pathlib.Path(runs) / name / str(number) / "backtest-test.json").read_text())
        found.append(1e4 * summary["metrics"]["agent"]["mean_log_growth"])
    return np.array(found)


def main(argv: Sequence[str]) -> int:
    """0 if the pruned studies took at most MOST_STEPS of the steps and their best is no worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=5)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--env-steps", type=int, default=360_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pruner", choices=("asha", "median"), default="asha")
    given = parser.parse_args(argv)
    pruner = given.pruner
    print(
        f"python train.py -m sweep=ppo {' '.join(COMMON)} training.env_steps={given.env_steps} data.seed=D, {given.trials} trials"
    )
    shares, apart, errors = [], [], []
    with tempfile.TemporaryDirectory() as runs:
        for number in range(given.studies):
            words = (*COMMON, f"data.seed={FIRST_DATA_SEED + number}", f"training.env_steps={given.env_steps}")
            studies = {name: searched(number, name, runs, given.trials, words) for name in ("none", pruner)}
            steps = {name: sum(trial.user_attrs["env_steps"] for trial in one.trials) for name, one in studies.items()}
            growth = {name: held_out(one, runs, given.seeds, words) for name, one in studies.items()}
            pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in studies[pruner].trials)
            shares.append(steps[pruner] / steps["none"])
            apart.append(growth[pruner].mean() - growth["none"].mean())
            errors.append(np.sqrt(sum(values.var(ddof=1) / len(values) for values in growth.values())))
            print(
                f"  market {FIRST_DATA_SEED + number}: {pruned} of {given.trials} pruned, {steps[pruner]:,} of {steps['none']:,} env "
                f"steps, {shares[-1]:.2f}; best again, 1e-4 of log growth a bar held out: {pruner} {growth[pruner].mean():.2f}, "
                f"none {growth['none'].mean():.2f}, apart {apart[-1]:+.2f} +- {errors[-1]:.2f}",
                flush=True,
            )
    share, mean, error = float(np.mean(shares)), float(np.mean(apart)), float(np.sqrt(np.sum(np.square(errors)))) / len(errors)
    fewer, no_worse = share <= MOST_STEPS, mean >= -error
    print(
        f"env steps with the pruner: {share:.2f} of those without, at most {MOST_STEPS}: {'reached' if fewer else 'FALLS SHORT'}"
    )
    print(
        f"best trial, trained again in full: {mean:+.2f} +- {error:.2f} (standard error over seeds) of 1e-4 a bar, no worse than one "
        f"standard error: {'reached' if no_worse else 'FALLS SHORT'}"
    )
    return 0 if fewer and no_worse else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

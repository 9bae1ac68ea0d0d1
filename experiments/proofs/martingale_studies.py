"""Studies where nothing can be learnt: of the best trial's deflated Sharpe ratio at least 19 of 20 must stay below 0.95.

    python experiments/proofs/martingale_studies.py [--studies 20] [--trials 16] [--env-steps 131072]

Prices are martingales. Trades cost nothing, or keeping still, which is then best, would leave no Sharpe ratio to judge.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

import optuna

from cappuccino.sweep.significance import significance_of

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMON = ("data.kind=martingale", "data.bars=8000", "costs=free", "hydra.sweeper.objective=mean_growth")
FIRST_DATA_SEED = 600
CONVINCED, ALLOWED = 0.95, 0.05


def main(argv: Sequence[str]) -> int:
    """0 if no more than one study in twenty would convince."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--env-steps", type=int, default=131_072)
    given = parser.parse_args(argv)
    words = (*COMMON, f"training.env_steps={given.env_steps}", f"hydra.sweeper.n_trials={given.trials}")
    print(f"python train.py -m sweep=ppo {' '.join(words)} data.seed=D")
    convincing = 0
    with tempfile.TemporaryDirectory() as runs:
        for seed in range(FIRST_DATA_SEED, FIRST_DATA_SEED + given.studies):
            own = (f"data.seed={seed}", f"hydra.sweeper.study_name=market-{seed}", f"hydra.sweeper.sampler.seed={seed}")
            command = [sys.executable, "train.py", "-m", "sweep=ppo", *words, *own, f"runs_dir={runs}"]
            done = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
            said = " ".join(done.stdout.split())
            if done.returncode or "deflated Sharpe ratio" not in said or "Its Sharpe ratio is" not in said:
                raise RuntimeError(
                    f"{' '.join(command)} ended with {done.returncode} and said: {said[-1000:]} {done.stderr[-1000:]}"
                )
            study = optuna.load_study(study_name=f"market-{seed}", storage=f"sqlite:///{runs}/studies.db")
            found = significance_of(study, study.best_trial)
            assert found.deflated is not None
            convincing += found.deflated >= CONVINCED
            print(
                f"  market {seed}: Sharpe ratio a year {found.sharpe:.2f}, hedged {found.hedged:.2f}, of luck {found.luck:.2f}, "
                f"deflated {found.deflated:.3f}",
                flush=True,
            )
    good = convincing <= ALLOWED * given.studies
    print(
        f"{convincing} of {given.studies} at least {CONVINCED}, at most {ALLOWED:.0%}: {'reached' if good else 'FALLS SHORT'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

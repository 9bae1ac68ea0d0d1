"""One trial in eight diverges on purpose: it fails and is reported, and the others come to what they come to without it.

    python experiments/proofs/diverging.py [--rates 8] [--env-steps 131072]

A grid of learning rates and of eight scales of the reward, with one of which nothing is finite, is searched; then the same grid
without that scale. Values, what was reported on the way and all figures must agree to the last bit.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "sweep"))
from sweep_cases import STUDY, begin, ended_well, search
from sweep_cases import study as study_in

SCALE, RATE = "env.reward.scale", "agent.learning_rate"
FINITE, DIVERGING = (10, 20, 50, 100, 200, 500, 1000), 1e38
OWN = {"lease", "claim", "identity", "placed"}
"""Attributes that say who ran a trial and in which lane."""


def searched(folder: pathlib.Path, words: Sequence[str], scales: Sequence[float]) -> tuple[list[FrozenTrial], str]:
    """The trials of the grid, and what the search said."""
    folder.mkdir()
    choices = ",".join(map(str, scales))
    said = ended_well(begin(folder, *words, f"{SCALE}=choice({choices})"))
    return study_in(folder).get_trials(), " ".join(said.split())


def result(trial: FrozenTrial) -> tuple[Any, ...]:
    """All that a trial came to."""
    figures = {name: value for name, value in trial.user_attrs.items() if name not in OWN}
    return trial.state, trial.value, trial.intermediate_values, figures


def main(argv: Sequence[str]) -> int:
    """0 if the diverging trials failed and changed nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, default=8, help="learning rates: trials are eight times as many")
    parser.add_argument("--env-steps", type=int, default=131_072)
    given = parser.parse_args(argv)
    rates = ",".join(f"{3e-4 * 1.5**k:.6f}" for k in range(given.rates))
    fixed = ("experiment=planted", f"training.env_steps={given.env_steps}", "hydra.sweeper.pruner=none")
    grid = ("hydra/sweeper/sampler=grid", f"{RATE}=choice({rates})")
    words = search(*fixed, *grid, n_trials=8 * given.rates)
    print(f"python train.py {' '.join(words)} {SCALE}=choice(...)", flush=True)
    with tempfile.TemporaryDirectory() as base:
        trials, said = searched(pathlib.Path(base) / "with", words, (*FINITE, DIVERGING))
        alone, _ = searched(pathlib.Path(base) / "without", words, FINITE)
        page = (pathlib.Path(base) / "with" / "runs" / STUDY / "report.html").read_text()
    diverged = [trial for trial in trials if trial.params[SCALE] == DIVERGING]
    others = {(trial.params[SCALE], trial.params[RATE]): trial for trial in trials if trial.params[SCALE] != DIVERGING}
    expected = {(trial.params[SCALE], trial.params[RATE]): trial for trial in alone}
    reasons = [trial.user_attrs.get("reason", "") for trial in diverged]
    found = {
        f"{len(diverged)} of {len(trials)} trials, one in eight, failed because they diverged": 8 * len(diverged) == len(trials)
        and all(trial.state == TrialState.FAIL for trial in diverged)
        and all("the training diverged" in reason for reason in reasons),
        "the search and its report say so": f"and {len(diverged)} failed" in said and f"and {len(diverged)} failed" in page,
        f"the other {len(others)} came to the same to the last bit as without them": others.keys() == expected.keys()
        and all(trial.state == TrialState.COMPLETE for trial in expected.values())
        and all(result(trial) == result(expected[key]) for key, trial in others.items()),
    }
    for requirement, holds in found.items():
        print(f"  {requirement}: {'holds' if holds else 'FAILS'}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

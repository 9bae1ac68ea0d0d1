"""A search of the default space from its command to the best trial trained again, to the last bit, from another directory too.

    python experiments/proofs/search.py [--trials 64] [--set training.env_steps=131072 ...]

Without --set it is `python train.py -m sweep=ppo hydra.sweeper.n_trials=64` on the synthetic market and nothing else, in an empty
folder. The best trial is trained again there, and in another empty folder by the path of its study.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence

import numpy as np
import optuna
from omegaconf import OmegaConf

from cappuccino.sweep.ends import end_of
from cappuccino.sweep.storage import open_storage
from cappuccino.training.run import Run

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "sweep"))
from study_cases import assert_all_ended
from sweep_cases import begin, ended_well

FIGURES = ("History", "Importance", "Slices", "Parallel coordinates", "Contours", "Timeline")


def same_arrays(first: Run, again: Run) -> bool:
    """Whether the best checkpoints of two runs are of one update and equal to the last bit."""
    one, other = first.best(), again.best()
    same = one.arrays.keys() == other.arrays.keys() and one.update == other.update
    return same and all(np.array_equal(array, other.arrays[name]) for name, array in one.arrays.items())


def main(argv: Sequence[str]) -> int:
    """0 if the study ends with its report and its record, and the record gives the best trial again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--set", nargs="*", default=[], help="further words of the search's command")
    given = parser.parse_args(argv)
    words = ("-m", "sweep=ppo", f"hydra.sweeper.n_trials={given.trials}", *given.set)
    print(f"python train.py {' '.join(words)}", flush=True)
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as elsewhere:
        begun = time.monotonic()
        said = " ".join(ended_well(begin(pathlib.Path(here), *words)).split())
        seconds = time.monotonic() - begun
        storage = open_storage(f"sqlite:///{here}/runs/studies.db")
        (name,) = optuna.get_all_study_names(storage)
        study = optuna.load_study(study_name=name, storage=storage)
        trials, best, home = study.get_trials(), study.best_trial, pathlib.Path(here) / "runs" / name
        assert_all_ended(trials, given.trials)
        counts = ", ".join(f"{count} {end}" for end, count in Counter(end_of(trial) for trial in trials).items())
        print(f"  {name}: {counts}, in {seconds:.0f} s; best is trial {best.number} with {best.value!r}", flush=True)
        page, record = (home / "report.html").read_text(), OmegaConf.load(home / "best.yaml")
        found = {
            f"report.html shows {', '.join(FIGURES)}": all(figure in page for figure in FIGURES),
            "what luck would have done is said of the best": f"the best is trial {best.number}" in said
            and "deflated Sharpe ratio is" in said,
            "best.yaml is of the best trial": (record.trial, record.value) == (best.number, best.value),
        }
        stored = Run.find(str(home / str(best.number)), "")
        for folder, by, where in ((here, name, "its own folder"), (elsewhere, str(home), "another folder")):
            again = ended_well(begin(pathlib.Path(folder), f"best={by}", "name=again"))
            same = f"{best.value!r}: that of trial" in again and same_arrays(
                stored, Run.find("again", str(pathlib.Path(folder) / "runs"))
            )
            found[f"python train.py best=... in {where} gives the objective and all parameters to the last bit"] = same
    for requirement, holds in found.items():
        print(f"  {requirement}: {'holds' if holds else 'FAILS'}")
    return 0 if all(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What a study found: the best trial's record, its report and the study's, and whether luck would explain it."""

from __future__ import annotations

import pathlib

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from cappuccino.config.sweep import OBJECTIVES, SweeperConfig
from cappuccino.sweep.best import write_best
from cappuccino.sweep.report import write_study_report
from cappuccino.sweep.significance import Significance, significance_of
from cappuccino.sweep.study import SharedStudy

CONVINCING = 0.95


def conclude(shared: SharedStudy, settings: SweeperConfig, folder: pathlib.Path, console: Console) -> None:
    """Write `best.yaml` and `report.html` of a study and say in a sentence what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    best = shared.best()
    found = None if best is None or not _did_something(best) else significance_of(shared.study, best)
    said = verdict(shared.study, best, found)
    facts = {
        "Study": f"{shared.study.study_name}, {shared.counted()} of {shared.n_trials} trials begun or ended",
        "Objective": f"{settings.objective}: {OBJECTIVES[settings.objective]}, on the validation span, after costs",
        "Sampler": type(shared.study.sampler).__name__,
        "Pruner": settings.pruner,
        "Seeds of each trial": str(settings.seeds),
    }
    if found is not None:
        deflated = "undefined" if found.deflated is None else f"{found.deflated:.3f}, over {found.trials} trials"
        facts |= {"Sharpe ratio of the best, a year": f"{found.sharpe_a_year:.2f}", "Deflated Sharpe ratio": deflated}
    write_study_report(shared.study, folder / "report.html", facts, said)
    console.print(said, highlight=False)
    if best is not None and _did_something(best):
        write_best(best, shared.study, settings, folder)
        console.print(
            f"best        {folder / 'best.yaml'}; train it again with: python train.py best={shared.study.study_name}"
        )
    console.print(f"report      {folder / 'report.html'}")


def verdict(study: optuna.Study, best: FrozenTrial | None, found: Significance | None) -> str:
    """One sentence; the deflated ratio says how probable it is that the best of so many is better than the best of as many tries
    of nothing."""
    ended = [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]
    pruned = sum(trial.state == TrialState.PRUNED for trial in ended)
    failed = sum(trial.state == TrialState.FAIL for trial in ended)
    counts = f"Of {len(ended)} trials {pruned} were pruned and {failed} failed"
    if best is None:
        return f"{counts}; none was completed."
    if found is None:
        return f"{counts}; none of the others did anything."
    head = (
        f"{counts}; the best is trial {best.number}, with an objective of {best.value:.4g} and a Sharpe ratio of "
        f"{found.sharpe_a_year:.2f} a year"
    )
    if found.deflated is None:
        return f"{head}, of too few trials to say what luck would have done."
    enough = "more than luck would explain" if found.deflated >= CONVINCING else "which luck would explain"
    return (
        f"{head} on the span that chose it; its deflated Sharpe ratio is {found.deflated:.2f}, {enough} "
        f"({CONVINCING} would convince)."
    )


def _did_something(trial: FrozenTrial) -> bool:
    return trial.value is not None and abs(trial.value) != float("inf")

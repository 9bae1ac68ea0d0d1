"""What a study found: the best trial's record, its report and the study's, and whether luck would explain it."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections import Counter

import optuna
from optuna.trial import FrozenTrial
from rich.console import Console

from cappuccino.config.sweep import OBJECTIVES, SweeperConfig
from cappuccino.config.validation import ValidationConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.report import UNDEFINED, signed
from cappuccino.registry.registry import Registry, Trial
from cappuccino.sweep.best import write_best
from cappuccino.sweep.ends import end_of
from cappuccino.sweep.report import write_study_report
from cappuccino.sweep.returns import judge_returns, kept_of
from cappuccino.sweep.significance import Significance, significance_of
from cappuccino.sweep.study import SharedStudy

CONVINCING = 0.95
MOST_OVERFIT = 0.1
"""Probability of backtest overfitting above which a choice is to be rejected."""


def conclude(
    shared: SharedStudy, settings: SweeperConfig, validation: ValidationConfig | None, runs_dir: str, console: Console
) -> None:
    """Write `best.yaml` and `report.html` of a study, put it into the registry, and say in a sentence what came of it.

    validation: None on a hold-out.
    """
    folder = pathlib.Path(runs_dir) / shared.study.study_name
    folder.mkdir(parents=True, exist_ok=True)
    best = shared.best()
    found = None if best is None or not _did_something(best) else significance_of(shared.study, best)
    said = verdict(shared.study, best, found)
    facts = {}
    if found is not None:
        facts = {
            "Sharpe ratio of the best, a year, raw": signed(f"{found.sharpe:.2f}"),
            "Hedged against equal weights": signed(f"{found.hedged:.2f}"),
            f"Of the best of {found.trials} tries of nothing, hedged": UNDEFINED if found.luck is None else f"{found.luck:.2f}",
            "Deflated Sharpe ratio": UNDEFINED
            if found.deflated is None
            else f"{found.deflated:.2f}; {CONVINCING} would convince",
        }
    facts |= _overfitting(shared.study, folder)
    judged_on = "the validation span" if validation is None else f"the bars that {validation.name} tests, block by block"
    facts |= {
        "Objective": f"{settings.objective}: {OBJECTIVES[settings.objective]}, on {judged_on}, after costs",
        "Trials": f"{shared.counted()} of {shared.n_trials} begun or ended, {settings.seeds} seed{'s' * (settings.seeds > 1)} each",
        "Sampler and pruner": f"{type(shared.study.sampler).__name__}, {settings.pruner}",
    }
    _register(shared.study, settings, runs_dir)
    write_study_report(shared.study, folder / "report.html", facts, said)
    console.print(said, highlight=False)
    if best is not None and _did_something(best):
        write_best(best, shared.study, settings, folder)
        console.print(
            f"best        {folder / 'best.yaml'}; train it again with: python train.py best={shared.study.study_name}"
        )
    console.print(f"report      {folder / 'report.html'}")


def _register(study: optuna.Study, settings: SweeperConfig, runs_dir: str) -> None:
    """Put the study as it is now into the registry."""
    trials = [
        Trial(
            one.number, end_of(one), one.value if one.value is not None and math.isfinite(one.value) else None, dict(one.params)
        )
        for one in study.get_trials(deepcopy=False)
    ]
    with contextlib.closing(Registry(runs_dir)) as registry:
        registry.add_study(study.study_name, objective=settings.objective, direction=settings.direction, trials=trials)


def _overfitting(study: optuna.Study, folder: pathlib.Path) -> dict[str, str]:
    """What choosing the best of these trials by one half of the bars was worth on the other."""
    numbers = kept_of(study)
    try:
        found = judge_returns(folder, numbers)
    except InputError as error:
        return {"Probability of backtest overfitting": f"{UNDEFINED}: {error}"}
    if found.overfitting is None:
        return {"Probability of backtest overfitting": f"{UNDEFINED}: {found.reason}"}
    idle = f", {found.idle} that did nothing left out" if found.idle else ""
    return {
        "Probability of backtest overfitting": f"{found.overfitting.pbo:.2f} over {len(found.overfitting.logits):,} halves of "
        f"{found.bars:,} bars of {found.trials} trials{idle}; above {MOST_OVERFIT} is to be rejected",
        "Chosen on one half, loses on the other": f"{found.overfitting.probability_of_loss:.0%} of halves",
    }


def verdict(study: optuna.Study, best: FrozenTrial | None, found: Significance | None) -> str:
    """What came of it; the deflated ratio says how probable it is that the best of so many, hedged against the market, is better than
    the best of as many tries of nothing."""
    ends = Counter(end_of(trial) for trial in study.get_trials(deepcopy=False))
    ended = ends["complete"] + ends["did nothing"] + ends["pruned"] + ends["failed"]
    counts = f"Of {ended} trials {ends['pruned']} were pruned and {ends['failed']} failed"
    if best is None:
        return f"{counts}; none was completed."
    if found is None:
        return f"{counts}; none of the others did anything."
    head = (
        f"{counts}; the best is trial {best.number}, with an objective of {best.value:.4g}. Its Sharpe ratio is "
        f"{found.sharpe:.2f} a year on the bars that chose it, and {found.hedged:.2f} once the market's own moves are hedged"
    )
    if found.deflated is None or found.luck is None:
        return f"{head}, of too few trials to say what luck would have done."
    if found.sharpe <= 0:
        means = "it lost, after costs"
    else:
        means = "more than luck would explain" if found.deflated >= CONVINCING else "luck would explain it"
    return (
        f"{head}, where the best of {found.trials} tries of nothing would have {found.luck:.2f}; its deflated Sharpe ratio is "
        f"{found.deflated:.2f}: {means} ({CONVINCING} would convince)."
    )


def _did_something(trial: FrozenTrial) -> bool:
    return trial.value is not None and abs(trial.value) != float("inf")

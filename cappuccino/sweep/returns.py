"""The returns of a study's trials on the validation span, bar by bar, in files beside their folders: what overfitting is judged by."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import optuna
import pandas as pd
from jaxtyping import Float, Int
from optuna.trial import TrialState

from cappuccino.errors import InputError
from cappuccino.evaluation.overfitting import Overfitting, pbo

FOLDER = "returns"
KEPT = "returns_kept"
"""User attribute of a trial: whether there is a file of it. A trial on folds that was pruned has not seen all bars, and has none."""
LEAST_SHARE = 0.9
"""Of the bars of the trial that has most, those that all must have: a longer look-back decides a few bars later."""


class Judged(NamedTuple):
    """What came of judging a study: over how many trials and bars, and how many trials that kept out of the market were left out.

    overfitting: None where it is not defined, for `reason`.
    """

    overfitting: Overfitting | None
    trials: int
    bars: int
    idle: int
    reason: str


def write_returns(study: pathlib.Path, number: int, timestamps: Int[np.ndarray, "N"], returns: Float[np.ndarray, "N"]) -> None:
    """Keep a trial's returns (float32) by the opening times of their bars, whole or not at all."""
    path = _path(study, number)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".tmp")
    pd.DataFrame({"timestamp": timestamps, "return": returns.astype(np.float32)}).to_parquet(whole)
    whole.replace(path)


def kept_of(study: optuna.Study) -> list[int]:
    """The numbers of the trials that were judged and of which returns are kept."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return [one.number for one in trials if one.user_attrs.get(KEPT)]


def judge_returns(study: pathlib.Path, numbers: Iterable[int], blocks: int = 16) -> Judged:
    """Probability of backtest overfitting over those of these trials that did something.

    The bars are those that all of them have. Raises InputError for a trial without a file, and where trials saw different spans.
    """
    series = {number: _read(study, number) for number in numbers}
    moving = {number: one for number, one in series.items() if (one != 0).any()}
    idle = len(series) - len(moving)
    if not moving:
        return Judged(None, 0, 0, idle, "no trial did anything")
    longest = max(map(len, moving.values()))
    table = pd.concat(moving, axis=1, join="inner")
    if len(table) < LEAST_SHARE * longest:
        shortest = min(moving, key=lambda number: len(moving[number]))
        raise InputError(
            f"trials saw different spans: they have {len(table)} bars in common, the longest {longest} and trial {shortest} "
            f"{len(moving[shortest])}; at least {LEAST_SHARE:.0%} of the longest must be common"
        )
    try:
        found = pbo(table.to_numpy(np.float64), blocks)
    except InputError as error:
        return Judged(None, len(moving), len(table), idle, str(error))
    return Judged(found, len(moving), len(table), idle, "")


def _read(study: pathlib.Path, number: int) -> pd.Series:
    path = _path(study, number)
    if not path.is_file():
        raise InputError(
            f"the returns of trial {number} are not in {path}; a study's folder must be shared by all its processes"
        )
    kept = pd.read_parquet(path)
    return pd.Series(kept["return"].to_numpy(), index=kept["timestamp"].to_numpy())


def _path(study: pathlib.Path, number: int) -> pathlib.Path:
    return study / FOLDER / f"{number}.parquet"

"""The champion: a validated configuration trained on all bars up to the cut, with several seeds, as one artifact."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from cappuccino.artifact.runtime import Artifact
from cappuccino.assemble import Data
from cappuccino.config.roots import LearningConfig
from cappuccino.evaluation.folds import Fold, normaliser_rows
from cappuccino.evaluation.splits import Span
from cappuccino.publish import publish
from cappuccino.validation.crossed import training_rows_of
from cappuccino.validation.trained import Task, train_all


def champion_fold(stop: int, selection: float) -> Fold:
    """All rows [0, stop): the last share of them to choose the checkpoint on, as in a fold, the others to train on."""
    kept = stop - round(selection * stop)
    return Fold("champion", (Span("train", 0, kept),), (Span("selection", kept, stop),), ())


def train_champion(
    config: LearningConfig,
    data: Data,
    stop: int,
    selection: float,
    seeds: Sequence[int],
    validation: Mapping[str, Any],
    out: pathlib.Path,
    console: Console,
    *,
    lanes: int | None = None,
) -> Artifact:
    """Train with every seed on the rows [0, stop) and export the mean of their decisions to the new folder `out`.

    validation: what cross-validation said of the configuration, plain JSON for the manifest; nothing in it is of the champion itself,
    which has seen all of these bars. Raises InputError where a training diverges.
    """
    fold = champion_fold(stop, selection)
    (rows,) = training_rows_of(config, data, [fold])
    tasks = {seed: Task(dataclasses.replace(config, seed=seed), rows, f"champion, seed {seed}") for seed in seeds}
    trained = train_all(tasks, data, console, lanes=lanes)
    chosen = {str(seed): one.update for seed, one in trained.items()}
    figures = {**validation, "seeds": list(seeds), "updates": chosen, "rows": [0, stop]}
    policies = [one.policy for one in trained.values()]
    return publish(policies, config, data, np.asarray(normaliser_rows(data.spec, fold)), figures, out)

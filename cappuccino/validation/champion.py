"""The champion: a validated configuration trained on all bars up to the cut, with several seeds, as one artifact."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from cappuccino.artifact.runtime import Artifact
from cappuccino.artifact.seen import SPANS, spans_of
from cappuccino.assemble import Data
from cappuccino.config.roots import LearningConfig
from cappuccino.evaluation.folds import Fold, normaliser_rows
from cappuccino.evaluation.splits import Span
from cappuccino.publish import publish
from cappuccino.validation.trained import Trained


def champion_fold(stop: int, selection: float) -> Fold:
    """All rows [0, stop): the last share of them to choose the checkpoint on, as in a fold, the others to train on; no test."""
    kept = stop - round(selection * stop)
    return Fold("champion", (Span("train", 0, kept),), (Span("selection", kept, stop),), ())


def export_champion(
    trained: Mapping[int, Trained],
    fold: Fold,
    config: LearningConfig,
    data: Data,
    validation: Mapping[str, Any],
    out: pathlib.Path,
    agreement: float,
) -> Artifact:
    """Export what was trained on the fold, by seed, to the new folder `out`: it trades what they agree on.

    validation: what cross-validation said of the configuration, plain JSON for the manifest; nothing in it is of the champion itself,
    which has seen all of these bars.
    """
    updates = {str(seed): one.update for seed, one in trained.items()}
    seen = [("train", *fold.train[0][1:]), ("valid", *fold.selection[0][1:])]
    figures = {**validation, "agreement": agreement, "updates by seed": updates, SPANS: spans_of(data.spec.timestamps, seen)}
    return publish(
        [one.policy for one in trained.values()], config, data, normaliser_rows(data.spec, fold), figures, out, agreement
    )

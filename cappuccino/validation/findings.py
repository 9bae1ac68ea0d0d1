"""All that a validation found, as its page, its numbers and its picture tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cappuccino.assemble import Data
from cappuccino.bars import BarTable
from cappuccino.config.roots import ValidateConfig
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.folds import Folds
from cappuccino.evaluation.overfitting import Overfitting
from cappuccino.evaluation.stress import Stress
from cappuccino.market import MarketSpec
from cappuccino.validation.crossed import Crossed, growth_at_fees
from cappuccino.validation.intervals import Intervals, intervals
from cappuccino.validation.regimes import Regime, regime_labels, regimes
from cappuccino.validation.stressed import stressed
from cappuccino.validation.trained import Trained
from cappuccino.validation.verdict import Verdict

FEE_FACTORS = (1.5, 2.0, 3.0)
"""Times the fees at which growth is told beside that at the fees themselves."""


class Findings(NamedTuple):
    """trained: by fold and seed; one more fold than `folds` has is the champion's. realised: log growth per bar of every fold's
    training over its own test blocks. by_fees: log growth per bar at so many times the fees. stress: None where it was left out.
    overfitting: of the study that chose the configuration, None for a configuration alone."""

    config: ValidateConfig
    spec: MarketSpec
    folds: Folds
    trained: Mapping[tuple[int, int], Trained]
    crossed: Crossed
    verdict: Verdict
    said: str
    intervals: dict[str, Intervals]
    stress: Stress | None
    regimes: dict[str, dict[str, Regime]]
    realised: dict[tuple[int, int], float]
    by_fees: dict[float, float]
    overfitting: Overfitting | None


def find(
    config: ValidateConfig,
    bars: BarTable,
    data: Data,
    folds: Folds,
    trained: Mapping[tuple[int, int], Trained],
    crossed: Crossed,
    verdict: Verdict,
    said: str,
    overfitting: Overfitting | None,
) -> Findings:
    """What there is to tell beyond the verdict: how sure the figures are, what is left under stress, kinds of times, and each training's
    own test. bars: those of `data`."""
    seeds = range(config.seed, config.seed + config.seeds)
    labels = regime_labels(np.asarray(data.market.close, np.float64), data.spec, crossed.rows)
    growth = {AGENT: crossed.growth()} | {name: crossed.baseline_growth(name) for name in crossed.baselines}
    return Findings(
        config=config,
        spec=data.spec,
        folds=folds,
        trained=trained,
        crossed=crossed,
        verdict=verdict,
        said=said,
        intervals=intervals(crossed, verdict, config.verdict),
        stress=stressed(config, bars, folds, trained),
        regimes=regimes(labels, growth),
        realised=realised_growth(crossed, folds, seeds),
        by_fees={factor: growth_at_fees(config, data, folds, trained, seeds, factor) for factor in FEE_FACTORS},
        overfitting=overfitting,
    )


def realised_growth(crossed: Crossed, folds: Folds, seeds: Sequence[int]) -> dict[tuple[int, int], float]:
    """By fold and seed: log growth per bar over the fold's own test blocks, gathered from the paths that these are part of."""
    bars = crossed.rows + 1
    group = np.searchsorted([span.stop for span in folds.groups], bars, side="right")
    found = {}
    for seed, paths in zip(seeds, crossed.agent, strict=True):
        growth = [np.log1p(path.returns) for path in paths]
        for fold in range(len(folds.folds)):
            own = [(i, j) for i, path in enumerate(folds.paths) for j, number in enumerate(path) if number == fold]
            found[fold, seed] = float(np.concatenate([growth[i][group == j] for i, j in own]).mean())
    return found

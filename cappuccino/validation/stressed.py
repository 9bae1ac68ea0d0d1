"""What is left of a configuration out of sample where orders are late or dear, bars are missing or restated, and markets are others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cappuccino.assemble import env_params
from cappuccino.bars.table import BarTable
from cappuccino.config.roots import ValidateConfig
from cappuccino.config.stress import StressConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import policy_strategy, span_rows
from cappuccino.evaluation.folds import Folds
from cappuccino.evaluation.stress import Part, Stress, stress
from cappuccino.features.registry import FeatureSet
from cappuccino.market import MarketSpec
from cappuccino.mesh import mesh_of
from cappuccino.validation.trained import Trained


def check_lengths(settings: StressConfig, spec: MarketSpec, folds: Folds, lookback: int) -> None:
    """Raises InputError where a group is too short to be stressed, before anything trains."""
    for group in folds.groups:
        rows = span_rows(spec, group, lookback)
        run = max(map(len, np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)))
        length, memory = group.stop - group.start, spec.warmup + lookback
        where, otherwise = f"{group.name} of {len(folds.groups)}", "give fewer groups, or stress=none to do without"
        if run < settings.horizon_bars:
            raise InputError(
                f"{where} has at most {run} bars in a row to be traded; stress.horizon_bars is {settings.horizon_bars}; take a shorter "
                f"one, {otherwise}"
            )
        if length <= memory:
            raise InputError(
                f"{where} has {length} bars; a market drawn from them takes {spec.warmup} of warm-up, {lookback} of look-back and one "
                f"to be marked at; {otherwise}"
            )


def stressed(
    config: ValidateConfig, settings: StressConfig, bars: BarTable, folds: Folds, trained: Mapping[tuple[int, int], Trained]
) -> Stress:
    """Every group of the first out-of-sample path by the policy of the first seed that never saw it, from cash each.

    bars: all of the market, of which nothing behind the last group is read. Raises InputError where a group is too short.
    """
    last = max(group.stop for group in folds.groups)
    lookback = config.network.lookback
    parts = [
        Part(policy_strategy(trained[fold, config.seed].policy, lookback), group)
        for fold, group in zip(folds.paths[0], folds.groups, strict=True)
    ]
    params = env_params(config.costs, config.env, bars.assets)
    return stress(parts, bars.rows(0, last), FeatureSet(tuple(config.features.names)), lookback, params, settings, mesh_of())

"""A validated configuration under costs, delays and in markets that might have been, on bars that its policies never saw."""

from __future__ import annotations

from collections.abc import Mapping

from cappuccino.assemble import env_params
from cappuccino.bars import BarTable
from cappuccino.config.roots import ValidateConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.folds import Folds
from cappuccino.evaluation.stress import Part, Stress, check_spans, stress
from cappuccino.features.registry import FeatureSet
from cappuccino.market import MarketSpec
from cappuccino.mesh import mesh_of
from cappuccino.validation.trained import Trained


def check_stress(config: ValidateConfig, bars: BarTable, spec: MarketSpec, folds: Folds) -> None:
    """Raise InputError where `stressed` would, before anything is trained."""
    if config.stress is None:
        return
    try:
        check_spans(folds.groups, tested_bars(bars, folds), spec, config.network.lookback, config.stress)
    except InputError as error:
        raise InputError(f"{error}; stress=none leaves the stress out") from error


def stressed(config: ValidateConfig, bars: BarTable, folds: Folds, trained: Mapping[tuple[int, int], Trained]) -> Stress | None:
    """The first out-of-sample path with the first seed under all of `config.stress`; None where that is None.

    Each group is traded, from cash, by the policy of the fold that tests it on that path. Policies stay as they were trained.
    """
    if config.stress is None:
        return None
    return stress(
        parts_of(config, folds, trained),
        tested_bars(bars, folds),
        FeatureSet(tuple(config.features.names), bars.bar_seconds),
        config.network.lookback,
        env_params(config.costs, config.risk, config.env, bars.assets),
        config.stress,
        mesh_of(),
    )


def parts_of(config: ValidateConfig, folds: Folds, trained: Mapping[tuple[int, int], Trained]) -> list[Part]:
    """Every group, and the policy that trades it: of the fold that tests it on the first path, with the first seed."""
    return [
        Part(policy_strategy(trained[fold, config.seed].policy, config.network.lookback), group)
        for fold, group in zip(folds.paths[0], folds.groups, strict=True)
    ]


def tested_bars(bars: BarTable, folds: Folds) -> BarTable:
    """Up to the last that a fold tests: what lies behind stays unread."""
    return bars.rows(0, folds.groups[-1].stop)

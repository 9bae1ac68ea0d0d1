"""A training that ran as a lane, kept as a run: what `cappuccino backtest` and `export` take."""

from __future__ import annotations

import math
from collections.abc import Mapping

from flax import nnx

from cappuccino.assemble import Training
from cappuccino.config.roots import TrainConfig
from cappuccino.evaluation.backtest import backtest_span, policy_strategy
from cappuccino.evaluation.metrics import bars_a_year, measure
from cappuccino.training.metrics_log import MetricsLog
from cappuccino.training.run import Run, identity_of


def keep_training(
    config: TrainConfig,
    training: Training,
    weights: nnx.State,
    update: int,
    rows: list[dict[str, float]],
    validation: Mapping[str, float],
) -> Run:
    """Write a run's folder: configuration, log, and the checkpoint of the best chunk, which is enough to act and not to go on."""
    run = Run.create(config)
    with MetricsLog(run.folder, 0) as log:
        log.write(rows)
    meta = {**identity_of(config, training.data.spec), "validation": dict(validation)}
    with run.checkpoints() as checkpoints:
        checkpoints.save(update, {"policy": {"weights": weights, "frozen": training.frozen}}, validation["score"], meta)
    return run


def validation_figures(training: Training, weights: nnx.State) -> dict[str, float]:
    """`METRICS` over the validation span, those that are defined; the number of bars, and of bars a year.

    sharpe_per_bar: that of the same returns, not annualised; 0 where they do not vary, as out of the market.
    """
    policy, data = training.policy(weights), training.data
    strategy = policy_strategy(policy, policy.shape.lookback)
    path = backtest_span(strategy, data.market, data.spec, data.spans.valid, policy.shape.lookback, training.judged)
    figures = {name: value for name, value in measure(path, None).items() if value is not None}
    year = bars_a_year(data.spec.bar_seconds)
    per_bar = figures.get("sharpe", 0.0) / math.sqrt(year)
    return {**figures, "sharpe_per_bar": per_bar, "bars": len(path.returns), "bars_a_year": year}

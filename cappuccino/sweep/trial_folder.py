"""A training that ran as a lane, kept as a run: what `cappuccino backtest` and `export` take."""

from __future__ import annotations

import numpy as np
from flax import nnx

from cappuccino.assemble import Training
from cappuccino.evaluation.backtest import Path, backtest_span, policy_strategy
from cappuccino.evaluation.metrics import bars_a_year, hedged, measure, return_figures
from cappuccino.market import Market
from cappuccino.sweep.parts import Part
from cappuccino.training.metrics_log import MetricsLog
from cappuccino.training.run import Run, identity_of


def keep_training(part: Part) -> Run:
    """Write a run's folder of a part that is done: configuration, log, and the checkpoint of the best chunk, which is enough to act and
    not to go on."""
    assert part.kept is not None
    assert part.best is not None
    weights, update = part.kept
    run = Run.create(part.config)
    with MetricsLog(run.folder, 0) as log:
        log.write(part.rows)
    meta = {**identity_of(part.config, part.training.data.spec), "validation": dict(part.best)}
    with run.checkpoints() as checkpoints:
        checkpoints.save(update, {"policy": {"weights": weights, "frozen": part.training.frozen}}, part.best["score"], meta)
    return run


def validation_path(training: Training, weights: nnx.State) -> Path:
    """What these parameters do on the validation span."""
    policy, data = training.policy(weights), training.data
    lookback = policy.shape.lookback
    return backtest_span(policy_strategy(policy, lookback), data.market, data.spec, data.spans.valid, lookback, training.judged)


def validation_figures(path: Path, market: Market) -> dict[str, float]:
    """`METRICS` of a path, those that are defined, and what luck is judged by.

    bars: how many returns; bars_a_year. hedged_sharpe, hedged_skew, hedged_kurtosis: of the returns `hedged` against equal weights
    held without costs, as `active` is measured; the ratio is per bar, and 0 where they do not vary, as out of the market.
    """
    close = np.asarray(market.close, np.float64)
    alone = return_figures(hedged(path.returns, (close[path.rows + 1] / close[path.rows]).mean(axis=1) - 1), 1.0)
    figures = measure(path, None) | {
        "hedged_sharpe": alone["sharpe"] or 0.0,
        "hedged_skew": alone["skew"],
        "hedged_kurtosis": alone["kurtosis"],
        "bars": len(path.returns),
        "bars_a_year": bars_a_year(path.bar_seconds),
    }
    return {name: value for name, value in figures.items() if value is not None}

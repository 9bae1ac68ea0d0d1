"""`cappuccino train`: bars to a trained policy, with checkpoints, logs, and a report on the validation span."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from flax import nnx
from rich.console import Console

from cappuccino.assemble import Data, Training, load_market, training_of
from cappuccino.assess import assess_best
from cappuccino.config.roots import TrainConfig, check_holds_out
from cappuccino.evaluation.backtest import backtest_span, policy_strategy
from cappuccino.evaluation.metrics import lower_bound, measure
from cappuccino.evaluation.splits import iso
from cappuccino.training.compilation import compile_report
from cappuccino.training.device import select_device
from cappuccino.training.loop import Validate, resume, train
from cappuccino.training.metrics_log import MetricsLog
from cappuccino.training.run import Run, identity_of


def run(config: TrainConfig) -> None:
    """Train, choose the checkpoint that is best on the validation span, and report on that span."""
    console = Console()
    with compile_report() as compiled:
        if config.best is not None:
            from cappuccino.sweep.best import train_best

            train_best(config, console)
        else:
            _train(config, console)
    console.print(f"compiled    {compiled}")


def _train(config: TrainConfig, console: Console) -> None:
    check_holds_out(config)
    console.print(f"device      {select_device(config.device)}")
    data = load_market(config.data, tuple(config.features.names), config.network.lookback)
    _describe(data, console)
    training = training_of(config, data)
    schedule, per_update = training.schedule, training.learner.env_steps_per_update
    state = training.begin()

    folder = Run.create(config)
    identity = identity_of(config, data.spec)
    console.print(
        f"run         {folder.folder}: {schedule.updates} updates of {per_update:,} env steps, "
        f"{schedule.updates * per_update:,} in all, in chunks of {schedule.chunk}"
    )
    with folder.checkpoints() as checkpoints:
        if config.resume:
            state = resume(state, training.frozen, checkpoints, identity)
            console.print(f"resumed     after update {int(state.update)}")
        with MetricsLog(folder.folder, int(state.update)) as log:
            outcome = train(
                training.learner,
                state,
                training.frozen,
                data.market,
                training.starts,
                training.params,
                schedule=schedule,
                validate=validator(training, config.network.lookback),
                checkpoints=checkpoints,
                log=log,
                meta=identity,
                console=console,
            )
    console.print(
        f"trained     {outcome.env_steps:,} env steps; {outcome.env_steps_per_second:,.0f}/s over {outcome.train_seconds:.1f} s "
        f"after {outcome.compile_seconds:.1f} s of compilation"
    )
    if outcome.updates < schedule.updates:
        console.print(
            f"stopped     after update {outcome.updates} of {schedule.updates}: no better validation for {schedule.patience} chunks"
        )
    assess_best(folder, training, console)


def _describe(data: Data, console: Console) -> None:
    spec = data.spec
    console.print(f"market      {spec}")
    for span in data.spans:
        first, last = (iso(spec.timestamps[row]) for row in (span.start, span.stop - 1))
        console.print(f"{span.name:<11} {first} to {last}, {span.stop - span.start:,} bars")


def validator(training: Training, lookback: int) -> Validate:
    """Backtests weights on the validation span; the score is the lower bound of log growth per bar after costs."""
    data = training.data

    def validate(weights: nnx.State) -> Mapping[str, float]:
        strategy = policy_strategy(training.policy(weights), lookback)
        path = backtest_span(strategy, data.market, data.spec, data.spans.valid, lookback, training.judged)
        figures = measure(path, None)
        growth = np.log1p(path.returns)
        score = lower_bound(growth, np.ones_like(growth), xp=np)
        chosen = {name: figures[name] for name in ("mean_log_growth", "turnover", "exposure", "sharpe")}
        return {"score": float(score)} | {name: value for name, value in chosen.items() if value is not None}

    return validate

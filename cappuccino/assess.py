"""What a policy was worth over a span, beside what anyone could have had for nothing: page, numbers, and a table in the terminal."""

from __future__ import annotations

import pathlib

from rich.console import Console
from rich.table import Table

from cappuccino.agents.networks import Policy
from cappuccino.assemble import Data, Training, env_params, network_shape
from cappuccino.bars.synthetic import BAR_VOLATILITY
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import DataConfig
from cappuccino.config.roots import TrainConfig
from cappuccino.env import EnvParams
from cappuccino.evaluation.backtest import Strategy
from cappuccino.evaluation.comparison import AGENT, Evaluation, evaluate_run, verdict
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.oracle import fit_oracle
from cappuccino.evaluation.report import Context, shown, shown_unit, write_report, write_summary
from cappuccino.evaluation.splits import Span
from cappuccino.sources import hidden_drift
from cappuccino.training.run import Run, config_hash
from cappuccino.version import code_version

SHOWN = ("total_return", "mean_log_growth", "sharpe", "max_drawdown", "turnover")
"""Figures of the table in the terminal; the report has them all."""


def assess(
    run: Run,
    data: Data,
    policy: Policy,
    untrained: Policy,
    span: Span,
    costs: CostsConfig,
    source: DataConfig,
    page: str,
    numbers: str,
    notes: tuple[str, ...],
    console: Console,
) -> Evaluation:
    """Run a policy over a span beside the baselines, print the main figures, and write `page` and `numbers` to its folder.

    On a planted market an oracle that sees the hidden drift stands beside it, fitted on the training span.
    """
    config = run.config
    params = env_params(costs, config.risk, config.env, data.spec.assets)
    evaluation = evaluate_run(
        policy,
        untrained,
        data.market,
        data.spec,
        span,
        params,
        config.network.lookback,
        seed=config.seed,
        oracle=_oracle(data, source, config, params),
    )
    context = Context(
        run=str(run.folder),
        seed=config.seed,
        code_version=code_version(),
        config_hash=config_hash(config),
        notes=notes,
    )
    publish(evaluation, run.folder / page, run.folder / numbers, context, console)
    return evaluation


def publish(evaluation: Evaluation, page: pathlib.Path, numbers: pathlib.Path, context: Context, console: Console) -> None:
    """Print the main figures, the verdict and the notes, and write page and numbers."""
    write_report(evaluation, page, context=context)
    write_summary(evaluation, numbers, context=context)
    _print(evaluation, context.notes, console)
    console.print(f"report      {page}", soft_wrap=True)


def assess_best(run: Run, training: Training, console: Console) -> None:
    """Report on the validation span with the best checkpoint of a run, and say that this flatters it."""
    config, data, best = run.config, training.data, run.best()
    notes = (
        f"The agent is checkpoint {best.update} of {training.schedule.updates}, the best on this span: its figures here flatter "
        f"it. For bars that no choice was made on: cappuccino backtest run={run.folder} span=test",
    )
    assess(
        run,
        data,
        run.policy(best, network_shape(config.network, data.spec)),
        training.policy(training.weights),
        data.spans.valid,
        config.costs,
        config.data,
        "report.html",
        "summary.json",
        notes,
        console,
    )


def _oracle(data: Data, source: DataConfig, config: TrainConfig, params: EnvParams) -> Strategy | None:
    drift = hidden_drift(source)
    if drift is None:
        return None
    train = data.spans.train
    return fit_oracle(drift, BAR_VOLATILITY, data.market, data.spec, train, config.network.lookback, params).strategy


def _print(evaluation: Evaluation, notes: tuple[str, ...], console: Console) -> None:
    table = Table(title=f"{evaluation.span.name} span, after costs", title_justify="left")
    table.add_column("", no_wrap=True)
    for figure in SHOWN:
        unit = shown_unit(METRICS[figure].unit)
        table.add_column(figure.replace("_", " ") + (f", {unit}" if unit and unit != "%" else ""), justify="right")
    for name, figures in evaluation.metrics.items():
        cells = [shown(figures[figure], METRICS[figure].unit) for figure in SHOWN]
        table.add_row(name, *cells, style="bold" if name == AGENT else None)
    console.print(table)
    console.print(verdict(evaluation))
    for note in notes:
        console.print(note)

"""`cappuccino backtest`: a run's best policy over a span, beside what anyone could have had for nothing."""

from __future__ import annotations

import dataclasses

from rich.console import Console
from rich.table import Table

import cappuccino
from cappuccino.agents.networks import Policy
from cappuccino.assemble import Data, env_params, load_market, network_shape
from cappuccino.bars.synthetic import BAR_VOLATILITY
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import DataConfig
from cappuccino.config.roots import BacktestConfig, TrainConfig
from cappuccino.env import EnvParams
from cappuccino.evaluation.backtest import Strategy
from cappuccino.evaluation.comparison import AGENT, Evaluation, evaluate_run, verdict
from cappuccino.evaluation.metrics import METRICS
from cappuccino.evaluation.oracle import fit_oracle
from cappuccino.evaluation.report import Context, shown, shown_unit, write_report, write_summary
from cappuccino.evaluation.splits import Span
from cappuccino.sources import hidden_drift
from cappuccino.training.device import select_device
from cappuccino.training.run import Run, config_hash

SHOWN = ("total_return", "mean_log_growth", "sharpe", "max_drawdown", "turnover")
"""Figures of the table in the terminal; the report has them all."""


def run(config: BacktestConfig) -> None:
    """Backtest the checkpoint that was best on the run's validation span and write `backtest-<span>.html` and `.json`."""
    console = Console()
    select_device(config.device)
    folder = Run.find(config.run, config.runs_dir)
    own, best = folder.config, folder.best()
    source = config.data or own.data
    data = load_market(dataclasses.replace(source, assets=best.meta["assets"]), tuple(own.features.names), own.network.lookback)
    shape = network_shape(own.network, data.spec)
    policy = folder.policy(best, shape)
    untrained = folder.untrained(shape, policy)
    span = {span.name: span for span in data.spans}[config.span]
    chosen = "the best on this span: its figures here flatter it" if span.name == "valid" else "chosen on the validation span"
    notes = (f"The agent is checkpoint {best.update}, {chosen}.",)
    name = f"backtest-{span.name}"
    assess(
        folder, data, policy, untrained, span, config.costs or own.costs, source, f"{name}.html", f"{name}.json", notes, console
    )


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
    params = env_params(costs, config.env, data.spec.assets)
    evaluation = evaluate_run(
        policy,
        untrained,
        data.market,
        data.spec,
        span,
        params,
        config.network.lookback,
        oracle=_oracle(data, source, config, params),
    )
    context = Context(
        run=str(run.folder),
        seed=config.seed,
        code_version=cappuccino.__version__,
        config_hash=config_hash(config),
        notes=notes,
    )
    write_report(evaluation, run.folder / page, context=context)
    write_summary(evaluation, run.folder / numbers, context=context)
    _print(evaluation, span, notes, console)
    console.print(f"report      {run.folder / page}")
    return evaluation


def _oracle(data: Data, source: DataConfig, config: TrainConfig, params: EnvParams) -> Strategy | None:
    drift = hidden_drift(source)
    if drift is None:
        return None
    train = data.spans.train
    return fit_oracle(drift, BAR_VOLATILITY, data.market, data.spec, train, config.network.lookback, params).strategy


def _print(evaluation: Evaluation, span: Span, notes: tuple[str, ...], console: Console) -> None:
    table = Table(title=f"{span.name} span, after costs", title_justify="left")
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

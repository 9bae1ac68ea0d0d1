"""The terminal's table of a validation."""

from __future__ import annotations

import textwrap

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.metrics import Benchmarks, measure
from cappuccino.evaluation.report import figure_name, shown, shown_unit
from cappuccino.validation.crossed import Crossed

SHOWN = ("total_return", "mean_log_growth", "sharpe", "max_drawdown", "turnover")
HEAD_WIDTH = 9
"""Characters."""


def print_figures(crossed: Crossed, console: Console) -> None:
    """The main figures of the agent and the baselines: the median over paths, of the agent lowest and highest too."""
    benchmarks = crossed.benchmarks()
    table = Table(
        title="out of sample, after costs, median over paths",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("", no_wrap=True)
    for figure in SHOWN:
        table.add_column(_head(figure), justify="right", no_wrap=True)
    agent = _measured([(path, other) for paths in crossed.agent for path, other in zip(paths, benchmarks, strict=True)])
    table.add_row("agent", *(_cell(agent, figure, 0.5) for figure in SHOWN), style="bold")
    table.add_row("  lowest", *(_cell(agent, figure, 0) for figure in SHOWN))
    table.add_row("  highest", *(_cell(agent, figure, 1) for figure in SHOWN))
    for name, paths in crossed.baselines.items():
        measured = _measured(list(zip(paths, benchmarks, strict=True)))
        table.add_row(name, *(_cell(measured, figure, 0.5) for figure in SHOWN))
    console.print(table)


def _head(figure: str) -> str:
    """Name and unit in lines that are about as wide as the numbers."""
    parts = [figure_name(figure), shown_unit(METRICS[figure].unit).removeprefix("%")]
    return "\n".join(line for part in parts for line in textwrap.wrap(part, HEAD_WIDTH))


def _measured(pairs: list[tuple[Path, Benchmarks]]) -> list[dict[str, float | None]]:
    return [measure(path, other) for path, other in pairs]


def _cell(measured: list[dict[str, float | None]], figure: str, quantile: float) -> str:
    known = [value for one in measured if (value := one[figure]) is not None]
    return shown(float(np.quantile(known, quantile)) if known else None, METRICS[figure].unit)

"""A validation on one picture, to send or to pin up: the verdict, every path, and the main figures."""

from __future__ import annotations

import pathlib
import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import Bbox

from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.figures import AGENT_COLOUR
from cappuccino.evaluation.report import figure_name, shown, shown_unit
from cappuccino.thinning import thin
from cappuccino.validation.crossed import Crossed
from cappuccino.validation.drawn import (
    DISTRIBUTED,
    PATH_POINTS,
    baseline_colours,
    baseline_values,
    over_paths,
    path_values,
)
from cappuccino.validation.findings import Findings
from cappuccino.validation.table import SHOWN

INK, SOFT, TINT = "#1d1d22", "#62626b", "#fbf2fa"
SIZE = (12.0, 13.5)
"""Inches, at DPI dots each."""
DPI = 130
WRAP = 122
"""Characters on a line of the verdict."""


def write_picture(findings: Findings, numbers: dict[str, Any], path: pathlib.Path) -> None:
    """Write the picture, a PNG. numbers: those of the record."""
    canvas = FigureCanvasAgg(picture(findings, numbers))
    canvas.print_png(path)


def picture(findings: Findings, numbers: dict[str, Any]) -> Figure:
    """The verdict above the equity of all paths, their distribution and the main figures."""
    drawn = Figure(figsize=SIZE, dpi=DPI, facecolor="white")
    grid = drawn.add_gridspec(
        4,
        len(DISTRIBUTED),
        height_ratios=[1.45, 3.1, 2.0, 2.4],
        left=0.075,
        right=0.975,
        top=0.965,
        bottom=0.03,
        hspace=0.26,
        wspace=0.3,
    )
    _head(drawn.add_subplot(grid[0, :]), findings, numbers)
    _equity(drawn.add_subplot(grid[1, :]), findings.crossed, baseline_colours(numbers))
    for column, (figure, title) in enumerate(DISTRIBUTED.items()):
        _distribution(drawn.add_subplot(grid[2, column]), numbers, figure, title)
    _table(drawn.add_subplot(grid[3, :]), numbers)
    return drawn


def _plain(text: str) -> str:
    """Without the dollar signs that matplotlib takes for mathematics."""
    return text.replace("$", r"\$")


def _head(axes: Axes, findings: Findings, numbers: dict[str, Any]) -> None:
    axes.axis("off")
    bars, origin = numbers["bars"], numbers["origin"]
    said = textwrap.fill(numbers["said"], WRAP)
    facts = (
        f"{', '.join(numbers['assets'])} from {origin['venue']} ({origin['source']}), {bars['first'][:10]} to {bars['last'][:10]}; "
        f"{findings.config.validation.name}, {numbers['folds']} folds x {len(numbers['seeds'])} seeds; configuration "
        f"{numbers['config_hash'][:12]}"
    )
    axes.text(0, 1, _plain(findings.config.name), fontsize=17, weight="bold", color=INK, va="top", transform=axes.transAxes)
    axes.text(0, 0.76, _plain(said), fontsize=11.5, color=INK, va="top", linespacing=1.4, transform=axes.transAxes)
    axes.text(0, -0.02, _plain(facts), fontsize=9, color=SOFT, va="bottom", transform=axes.transAxes)


def _equity(axes: Axes, crossed: Crossed, colours: dict[str, str]) -> None:
    paths = [path for some in crossed.agent for path in some]
    when = paths[0].timestamps.astype("datetime64[s]")
    for number, path in enumerate(paths):
        keep = thin(path.equity, PATH_POINTS)
        label = "agent, every path and seed" if number == 0 else None
        axes.plot(when[keep], (path.equity / path.equity[0])[keep], color=AGENT_COLOUR, linewidth=0.7, alpha=0.35, label=label)
    means = {name: crossed.baseline_growth(name) for name in crossed.baselines} | {"agent, mean": crossed.growth()}
    for name, growth in means.items():
        line = np.exp(np.concatenate([[0.0], np.cumsum(growth)]))
        keep = thin(line, 2 * PATH_POINTS)
        axes.plot(
            when[keep], line[keep], color=colours.get(name, AGENT_COLOUR), linewidth=1.0 if name in colours else 2.2, label=name
        )
    _log(axes)
    axes.set_title("Equity after costs, start = 1 (log scale)", loc="left", fontsize=10, color=INK, pad=34)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.01, 1.0), fontsize=8, frameon=False, ncols=5)
    _quiet(axes)


def _distribution(axes: Axes, numbers: dict[str, Any], figure: str, title: str) -> None:
    colours, values = baseline_colours(numbers), path_values(numbers, figure)
    for name, value in baseline_values(numbers, figure).items():
        axes.axhline(value, color=colours[name], linewidth=1.1)
    apart = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else np.zeros(len(values))
    axes.scatter(apart, values, s=26, color=AGENT_COLOUR, alpha=0.8, zorder=3, linewidths=0)
    axes.set_xlim(-0.5, 0.5)
    axes.set_xticks([])
    if figure == "total_return":
        _log(axes)
    axes.set_title(title[0].upper() + title[1:], loc="left", fontsize=10, color=INK)
    _quiet(axes)


def _table(axes: Axes, numbers: dict[str, Any]) -> None:
    axes.axis("off")
    units = {figure: shown_unit(METRICS[figure].unit) for figure in SHOWN}
    header = ["", *(figure_name(figure) + (f"\n{unit}" if unit and unit != "%" else "") for figure, unit in units.items())]
    rows = []
    for name, measured in numbers["metrics"].items():
        some = [one for paths in measured for one in paths] if name == AGENT else measured
        rows.append([_plain(name), *(shown(over_paths(some, figure), METRICS[figure].unit) for figure in SHOWN)])
    table = axes.table(
        [header, *rows], loc="upper center", cellLoc="right", edges="horizontal", bbox=Bbox.from_bounds(0, 0.05, 1, 0.95)
    )
    table.auto_set_font_size(False)
    for (row, column), cell in table.get_celld().items():
        cell.set_text_props(
            fontsize=9, color=INK, weight="bold" if row < 2 else "normal", ha="left" if column == 0 else "right"
        )
        cell.set_edgecolor("#e2e2e6")
        cell.set_height(cell.get_height() * (1.7 if row == 0 else 1))
        cell.PAD = 0.02
        if row == 1:
            cell.set_facecolor(TINT)
            cell.set_fill(True)
    axes.text(
        0,
        -0.03,
        "Median over out-of-sample paths, of the agent over seeds too. Dots: each path; lines: the baselines' median.",
        fontsize=8.5,
        color=SOFT,
        va="bottom",
        transform=axes.transAxes,
    )


def _log(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def _quiet(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#bbbbbb")
    axes.tick_params(labelsize=8.5, colors=SOFT)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)

"""The report's plots: paths thinned without losing their extremes, each plot with units and a caption on how it was made."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots

from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.comparison import AGENT, ORACLE, Evaluation
from cappuccino.thinning import POINTS, thin

BLOCKS = 400
"""Most blocks of bars that weights and turnover are averaged over."""

AGENT_COLOUR = "#b5179e"
OTHER_COLOURS = ("#7a7a7a", "#e69f00", "#0072b2", "#009e73", "#d55e00", "#5e4fa2", "#b2b23a", "#56b4e9")
ORACLE_COLOUR = "#222222"
ASSET_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d46", "#5e4fa2", "#b2b23a", "#3b7a78")
CASH_COLOUR = "#dcdcdc"


class Figure(NamedTuple):
    """A plot and the sentence under it."""

    title: str
    plot: go.Figure
    caption: str


def figures(evaluation: Evaluation) -> list[Figure]:
    """All plots of a report, in order."""
    return [_equity(evaluation), _drawdown(evaluation), weights_plot(evaluation.agent), costs_plot(evaluation.agent)]


def milliseconds(timestamps: Int[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Unix seconds as plotly's dates take them."""
    return timestamps.astype(np.float64) * 1000


def _lines(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    colours = dict(zip(evaluation.baseline_names, OTHER_COLOURS, strict=False))
    styles = {name: {"color": colours.get(name, "#7a7a7a"), "width": 1.2} for name in evaluation.paths}
    styles[AGENT] = {"color": AGENT_COLOUR, "width": 2.4}
    if ORACLE in styles:
        styles[ORACLE] = {"color": ORACLE_COLOUR, "width": 1.4, "dash": "dot"}
    return styles


def styled(plot: go.Figure, height: int, y_title: str, tick_format: str) -> go.Figure:
    """The plot in the report's typography, its x axis one of dates."""
    plot.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 72, "r": 16, "t": 12, "b": 40},
        font={"family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 13, "color": "#222"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "traceorder": "normal"},
        hovermode="x unified",
    )
    plot.update_xaxes(type="date", showgrid=False, showline=True, linecolor="#bbb", ticks="outside", tickcolor="#bbb")
    plot.update_yaxes(title_text=y_title, tickformat=tick_format, gridcolor="#eee", zeroline=False)
    return plot


def _thinned(path: Path) -> str:
    if len(path) + 1 <= POINTS:
        return "Every bar is drawn."
    return f"Of {len(path) + 1:,} bars at most {POINTS:,} are drawn: the lowest and highest of every stretch."


def _equity(evaluation: Evaluation) -> Figure:
    plot = go.Figure()
    for name, path in evaluation.paths.items():
        keep = thin(path.equity)
        growth = (path.equity / path.equity[0])[keep].astype(np.float32)
        style = _lines(evaluation)[name]
        plot.add_scatter(
            x=milliseconds(path.timestamps[keep]), y=growth, name=name, mode="lines", line=style, zorder=int(name == AGENT)
        )
    styled(plot, 420, "equity, start = 1 (log scale)", ".3~g")
    plot.update_yaxes(type="log", nticks=10)
    caption = (
        "Equity marked at every close after fees, half-spread and slippage, as a multiple of the start. Each strategy ran "
        f"through the same environment from cash; growth is chained over holes in the data. {_thinned(evaluation.agent)}"
    )
    return Figure("Equity", plot, caption)


def _drawdown(evaluation: Evaluation) -> Figure:
    plot = go.Figure()
    for name, path in evaluation.paths.items():
        fall = path.equity / np.maximum.accumulate(path.equity) - 1
        keep = thin(fall)
        filled = {"fill": "tozeroy", "fillcolor": "rgba(181,23,158,0.10)"} if name == AGENT else {}
        plot.add_scatter(
            x=milliseconds(path.timestamps[keep]),
            y=fall[keep].astype(np.float32),
            name=name,
            mode="lines",
            line=_lines(evaluation)[name],
            zorder=int(name == AGENT),
            **filled,
        )
    styled(plot, 300, "below peak, % of peak", ".0%")
    caption = f"Equity below its highest close so far, as a share of that peak. {_thinned(evaluation.agent)}"
    return Figure("Drawdown", plot, caption)


def _blocks(path: Path) -> tuple[Int[np.ndarray, "K"], int]:
    size = -(-len(path) // BLOCKS)
    return np.arange(0, len(path), size), size


def weights_plot(path: Path) -> Figure:
    """What a path held over time."""
    first, size = _blocks(path)
    counts = np.diff(first, append=len(path))
    weights = path.weights[1:].astype(np.float64)
    means = np.add.reduceat(weights, first, axis=0) / counts[:, None]
    x = milliseconds(path.timestamps[1:][first])
    plot = go.Figure()
    layers = [(asset, means[:, a], ASSET_COLOURS[a % len(ASSET_COLOURS)]) for a, asset in enumerate(path.assets)]
    for name, share, colour in [*layers, ("cash", 1 - means.sum(axis=1), CASH_COLOUR)]:
        plot.add_scatter(
            x=x,
            y=share.astype(np.float32),
            name=name,
            mode="lines",
            line={"width": 0, "color": colour},
            fillcolor=colour,
            stackgroup="weights",
        )
    styled(plot, 340, "share of equity, %", ".0%")
    plot.update_yaxes(range=[0, 1])
    drawn = "each bar is drawn" if size == 1 else f"each point is the mean over {size:,} bars"
    return Figure("Weights of the agent", plot, f"Value held of each asset and cash over equity, at the closes; {drawn}.")


def costs_plot(path: Path) -> Figure:
    """What a path traded and what that cost it."""
    first, size = _blocks(path)
    days = np.diff(first, append=len(path)) * path.bar_seconds / 86_400
    turnover = np.add.reduceat(path.notional / path.equity[:-1], first) / days
    keep = np.unique(np.append(first, len(path) - 1))
    x = milliseconds(path.timestamps[1:])
    plot = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.5, 0.5])
    plot.add_bar(
        x=x[first],
        y=turnover.astype(np.float32),
        name="turnover",
        marker={"color": AGENT_COLOUR, "line_width": 0},
        row=1,
        col=1,
    )
    for name, paid, colour in (("fees", path.fees, "#d55e00"), ("half-spread and slippage", path.slippage, "#0072b2")):
        total = np.cumsum(paid / path.equity[:-1])[keep].astype(np.float32)
        plot.add_scatter(x=x[keep], y=total, name=name, mode="lines", line={"color": colour}, stackgroup="costs", row=2, col=1)
    styled(plot, 420, "", ".3~g")
    plot.update_layout(bargap=0, hovermode="x")
    plot.update_yaxes(title_text="turnover, %/day", tickformat=".0%", row=1, col=1)
    plot.update_yaxes(title_text="costs, % of equity", tickformat=".2~%", row=2, col=1)
    caption = (
        f"Above: value bought and sold over the equity before, per day, over stretches of {size:,} bars. Below: fees, and "
        "half-spread with slippage, over the equity before each bar, summed up to then; the two are stacked."
    )
    return Figure("Turnover and costs of the agent", plot, caption)

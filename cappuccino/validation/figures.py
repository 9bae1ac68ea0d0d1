"""The plots of a validation: what the paths were worth and how they got there, costs and delays, and what choosing was worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.figures import (
    AGENT_COLOUR,
    OTHER_COLOURS,
    Figure,
    costs_plot,
    milliseconds,
    styled,
    thin,
    weights_plot,
)
from cappuccino.evaluation.report import LOG_UNIT, signed
from cappuccino.validation.crossed import Crossed
from cappuccino.validation.drawn import (
    DISTRIBUTED,
    PATH_POINTS,
    baseline_colours,
    baseline_values,
    counted,
    mean_path,
    path_values,
)
from cappuccino.validation.findings import Findings
from cappuccino.validation.stress_section import break_even_said, total_bps

DELAY_COLOURS = (AGENT_COLOUR, "#e69f00", "#0072b2", "#7a7a7a")
"""Of orders on time, and by bars late."""


def figures(findings: Findings, numbers: dict[str, Any]) -> dict[str, list[Figure]]:
    """The plots by the part of the page that they belong to."""
    mean = mean_path(findings.crossed)
    over = f"the mean over {counted(numbers['paths'], 'path')} and {counted(len(numbers['seeds']), 'seed')}"
    weights, costs = weights_plot(mean), costs_plot(mean)
    return {
        "paths": [distribution(numbers), equity(findings.crossed)],
        "stress": [] if numbers["stress"] is None else [by_cost(numbers)],
        "trading": [
            weights._replace(title="Weights", caption=f"{weights.caption} At every bar {over}."),
            costs._replace(title="Turnover and costs", caption=f"{costs.caption} At every bar {over}."),
        ],
        "choosing": [rewards(numbers), *([] if numbers["overfitting"] is None else [logits(numbers)])],
    }


def distribution(numbers: dict[str, Any]) -> Figure:
    plot = make_subplots(rows=1, cols=len(DISTRIBUTED), horizontal_spacing=0.09)
    colours = baseline_colours(numbers)
    labels = [f"seed {seed}, path {i}" for seed in numbers["seeds"] for i in range(numbers["paths"])]
    for column, figure in enumerate(DISTRIBUTED, start=1):
        place, first = {"row": 1, "col": column}, column == 1
        for name, value in baseline_values(numbers, figure).items():
            plot.add_scatter(
                x=[-0.6, 0.6],
                y=[value, value],
                mode="lines",
                line={"color": colours[name], "width": 1.6},
                name=name,
                legendgroup=name,
                showlegend=figure == "mean_log_growth",
                **place,
            )
        values = path_values(numbers, figure)
        plot.add_box(
            x=[0] * len(values),
            y=values,
            boxpoints="all",
            pointpos=0,
            jitter=0.5,
            width=0.5,
            text=labels if len(values) == len(labels) else None,
            marker={"color": AGENT_COLOUR, "size": 7, "opacity": 0.8},
            line={"color": AGENT_COLOUR, "width": 1.2},
            fillcolor="rgba(181,23,158,0.08)",
            name="agent, every path and seed",
            legendgroup=AGENT,
            showlegend=first,
            **place,
        )
    styled(plot, 440, "", ".3~g")
    for column, title in enumerate(DISTRIBUTED.values(), start=1):
        plot.update_yaxes(title_text=title, title_font_size=12, row=1, col=column)
    plot.update_yaxes(type="log", nticks=8, row=1, col=1)
    plot.update_xaxes(type="linear", range=[-0.65, 0.65], showticklabels=False, ticks="")
    plot.update_layout(hovermode="closest", margin={"b": 12})
    number = len(labels)
    caption = (
        f"Each dot is one of {counted(number, 'out-of-sample path')}, {numbers['paths']} by "
        f"{counted(len(numbers['seeds']), 'seed')}, over the same bars and after costs; the box holds the middle half, its line is the "
        "median. Lines across are the baselines, the median over paths. Paths share bars and trainings: their spread is not a standard "
        "error."
    )
    return Figure("What the paths were worth", plot, caption)


def equity(crossed: Crossed) -> Figure:
    plot = go.Figure()
    paths = [path for some in crossed.agent for path in some]
    seconds = paths[0].timestamps
    for number, path in enumerate(paths):
        keep = thin(path.equity, PATH_POINTS)
        plot.add_scatter(
            x=milliseconds(seconds[keep]),
            y=(path.equity / path.equity[0])[keep].astype(np.float32),
            name="agent, every path and seed",
            legendgroup="paths",
            showlegend=number == 0,
            mode="lines",
            line={"color": AGENT_COLOUR, "width": 0.8},
            opacity=0.35,
            hoverinfo="skip",
        )
    means = {name: crossed.baseline_growth(name) for name in crossed.baselines} | {"agent, mean": crossed.growth()}
    colours = dict(zip(crossed.baselines, OTHER_COLOURS, strict=False))
    for name, growth in means.items():
        line = np.exp(np.concatenate([[0.0], np.cumsum(growth)]))
        keep = thin(line, 2 * PATH_POINTS)
        style = {"color": colours[name], "width": 1.2} if name in colours else {"color": AGENT_COLOUR, "width": 2.6}
        plot.add_scatter(x=milliseconds(seconds[keep]), y=line[keep].astype(np.float32), name=name, mode="lines", line=style)
    styled(plot, 480, "equity, start = 1 (log scale)", ".3~g")
    plot.update_yaxes(type="log", nticks=10)
    plot.update_layout(hovermode="closest")
    caption = (
        "Equity marked at every close after fees, half-spread and slippage, as a multiple of the start. Thin: each out-of-sample path, "
        "every stretch of it by a policy that was trained on other bars. Thick, and the baselines: the mean of log growth over paths, "
        f"chained; growth is chained over holes in the data. Of each path at most {PATH_POINTS:,} points are drawn, of each mean twice "
        "as many: the lowest and highest of every stretch."
    )
    return Figure("Equity", plot, caption)


def by_cost(numbers: dict[str, Any]) -> Figure:
    """Growth under every setting of costs and delay, by what a fill costs in all."""
    found = numbers["stress"]
    settings = {name: np.array(values) for name, values in found["settings"].items()}
    cost = (1e4 * (settings["taker_fee"] + settings["half_spread"] + settings["slippage"])).round(6)
    growth = 1e4 * np.array([np.nan if value is None else value for value in found["grid"]])
    plot = go.Figure()
    for colour, delay in zip(DELAY_COLOURS, np.unique(settings["delay"]), strict=False):
        mine = settings["delay"] == delay
        costs = np.unique(cost[mine])
        name = f"{delay} bars late" if delay != 1 else "1 bar late"
        plot.add_scatter(
            x=cost[mine],
            y=growth[mine],
            mode="markers",
            marker={"color": colour, "size": 4, "opacity": 0.45},
            name=name,
            legendgroup=name,
            showlegend=False,
            hovertemplate=f"%{{x:g}} bps, {name}: %{{y:.3f}}<extra></extra>",
        )
        plot.add_scatter(
            x=costs,
            y=[np.mean(growth[mine & (cost == one)]) for one in costs],
            mode="lines",
            line={"color": colour, "width": 1.8},
            name="on time" if delay == 0 else name,
            legendgroup=name,
            hoverinfo="skip",
        )
    styled(plot, 420, f"growth, {LOG_UNIT}", ".3~g")
    plot.update_xaxes(type="linear", title_text="taker fee, half-spread and slippage together, bps of notional", zeroline=False)
    plot.update_yaxes(zeroline=True, zerolinecolor="#1d1d22", zerolinewidth=1)
    own = total_bps(numbers["configuration"]["costs"])
    marked = {own: "own costs"}
    if found["break_even"] is not None and 1e4 * found["break_even"] <= cost.max():
        marked[1e4 * found["break_even"]] = "growth ends, on time"
    for x, text in marked.items():
        side = "left" if x < max(marked) else "right"
        style = {"color": "#1d1d22", "width": 1.2, "dash": "dot"}
        plot.add_vline(x=x, line=style, annotation_text=text, annotation_position=f"top {side}")
    plot.update_layout(hovermode="closest")
    lost = int(np.isnan(growth).sum())
    missing = f"Not drawn {'is' if lost == 1 else 'are'} {counted(lost, 'setting')} under which all was lost. " if lost else ""
    caption = (
        f"Each dot is the same policies run anew under one of {len(growth):,} settings: every fee with every half-spread, slippage and "
        "delay. They were trained under their own costs and on time, and were not trained again. A line is the mean over settings that "
        f"cost the same: fee and spread do not do quite the same. {missing}With fee, half-spread and slippage scaled "
        f"together, {break_even_said(numbers)}."
    )
    return Figure("Growth under other costs, and late", plot, caption)


def rewards(numbers: dict[str, Any]) -> Figure:
    tested = [one for one in numbers["trainings"] if one["out_of_sample"] is not None]
    scores = [1e4 * one["score"] for one in tested]
    realised = [1e4 * one["out_of_sample"] for one in tested]
    low, high = min(scores), max(scores)
    plot = go.Figure()
    plot.add_scatter(
        x=[low, high],
        y=[low, high],
        mode="lines",
        line={"color": "#9a9aa2", "dash": "dot", "width": 1.2},
        name="as much as the score",
    )
    plot.add_scatter(
        x=scores,
        y=realised,
        mode="markers",
        marker={"color": AGENT_COLOUR, "size": 8, "opacity": 0.75},
        text=[f"fold {one['fold']}, seed {one['seed']}" for one in tested],
        hovertemplate="%{text}: selected %{x:.3f}, realised %{y:.3f}<extra></extra>",
        name="a training",
    )
    styled(plot, 420, f"growth on its test blocks, {LOG_UNIT}", ".3~g")
    plot.update_xaxes(type="linear", title_text=f"selection score, {LOG_UNIT}", zeroline=True, zerolinecolor="#bbb")
    plot.update_yaxes(zeroline=True, zerolinecolor="#bbb")
    plot.update_layout(hovermode="closest")
    rank = numbers["rank_correlation"]
    known = "is not defined, for one of them is the same for all" if rank is None else f"is {signed(f'{rank:+.2f}')}"
    caption = (
        f"Each dot is one of {counted(len(tested), 'training')}. Across: the score that chose its checkpoint, log growth per bar on the "
        "fold's selection bars less two standard errors. Up: its log growth per bar on the bars that the fold tests, which neither "
        f"training nor choice has seen. Their rank correlation (Spearman) {known}; trainings share bars, so the dots are fewer than "
        "they look."
    )
    return Figure("What was selected, and what it earned", plot, caption)


def logits(numbers: dict[str, Any]) -> Figure:
    found = numbers["overfitting"]
    edges, counts = (np.array(found["logits"][name], float) for name in ("edges", "counts"))
    middle = (edges[1:] + edges[:-1]) / 2
    plot = go.Figure()
    plot.add_bar(
        x=middle,
        y=counts / found["halves"],
        width=np.diff(edges),
        marker_color=["#b3261e" if x <= 0 else "#00695c" for x in middle],
        hovertemplate="%{x:.2f}: %{y:.2%}<extra></extra>",
    )
    styled(plot, 340, "share of halves, %", ".0%")
    plot.update_xaxes(type="linear", title_text="logit of the chosen configuration's rank on the other half", zeroline=False)
    plot.add_vline(x=0, line={"color": "#1d1d22", "width": 1.2, "dash": "dot"})
    plot.update_layout(hovermode="closest", bargap=0.05)
    caption = (
        f"For each of {found['halves']:,} ways to halve the bars in blocks: the best configuration of one half, and where its Sharpe "
        "ratio ranks on the other, ln(w / (1 \N{MINUS SIGN} w)) with w its relative rank, 1 the best. Up to zero it is in the worse "
        f"half of all: {found['pbo']:.1%} of them, the probability of backtest overfitting (Bailey and others, 2017)."
    )
    return Figure("Was choosing overfitting?", plot, caption)

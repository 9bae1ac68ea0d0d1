"""The figures of a study's page: Optuna's, in the house's typography."""

from __future__ import annotations

import contextlib
import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from plotly.colors import sample_colorscale, sequential

from cappuccino.evaluation.figures import AGENT_COLOUR, Figure
from cappuccino.sweep.ends import ENDS, end_of

PARALLEL_PARAMETERS = 8
CONTOUR_PARAMETERS = 3
CONTOUR_TRIALS = 100
"""Most trials of the contours, which are drawn on the grid of all values that occur."""
IMPORTANCE_TRIALS = 10
"""Fewest trials of which a tenth is a trial."""
SLICES_A_ROW = 4

SCALE = sequential.Blues[2:]
"""Optuna's colours but for the palest, which cannot be seen on white."""
WIDE_DECADES = 3.2
"""Decades of a logarithmic axis beyond which only the powers of ten are named."""


class Drawable(NamedTuple):
    """What figures are made of. judged: complete trials that did something. varied: parameters of several values among these,
    the most important first once that is known."""

    study: optuna.Study
    ends: Sequence[str]
    judged: Sequence[FrozenTrial]
    varied: Sequence[str]


def figures(study: optuna.Study) -> tuple[list[Figure], list[str]]:
    """The figures in order, and the names of those that cannot be drawn with what they take."""
    drawn, missing = [], []
    with _silence():
        seen = _see(study)
        for title, make, trials, parameters in _FIGURES:
            wanting = _wanting(seen, trials, parameters)
            made = [] if wanting else make(seen)
            if not made:
                missing.append(f"{title} ({wanting or '2 parameters that all trials have'})")
            elif title == "Importance":
                importances: Any = made[0].plot.data[0]
                seen = seen._replace(varied=importances.y[::-1])
            drawn += made
    return drawn, missing


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Optuna warns of what the captions say."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _see(study: optuna.Study) -> Drawable:
    trials = study.get_trials(deepcopy=False)
    ends = [end_of(trial) for trial in trials]
    judged = [trial for trial, end in zip(trials, ends, strict=True) if end == "complete"]
    values: dict[str, set[str]] = {}
    for trial in judged:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(repr(value))
    return Drawable(_in_memory(study, trials), ends, judged, [name for name, several in values.items() if len(several) > 1])


def _in_memory(study: optuna.Study, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """A study of these trials without their attributes, which would be copied and printed over and over."""
    held = optuna.create_study(direction=study.direction)
    for trial in trials:
        bare = copy.copy(trial)
        bare.user_attrs, bare.system_attrs, bare.intermediate_values = {}, {}, {}
        held.add_trial(bare)
    return held


def _wanting(seen: Drawable, trials: int, parameters: int) -> str | None:
    """What a study has not that a figure takes."""
    if not seen.ends:
        return "a trial"
    if len(seen.judged) < trials:
        return "a complete trial" if trials == 1 else f"{trials} complete trials"
    if parameters and len({trial.value for trial in seen.judged}) < 2:
        return "trials of different objectives"
    if len(seen.varied) < parameters:
        return "a parameter that varies" if parameters == 1 else f"{parameters} parameters that vary"
    return None


def _history(seen: Drawable) -> list[Figure]:
    plot = visualization.plot_optimization_history(seen.study, target_name="objective")
    plot.update_traces(marker={"color": ENDS["complete"], "size": 6}, name="complete", selector={"mode": "markers"})
    plot.update_traces(line={"color": AGENT_COLOUR, "shape": "hv"}, name="best so far", selector={"mode": "lines"})
    trials = seen.study.get_trials(deepcopy=False)
    foot = min(trial.value for trial in trials if trial.value is not None and math.isfinite(trial.value))
    for end, symbol in (("pruned", "circle-open"), ("did nothing", "x-thin"), ("failed", "x-thin"), ("lost", "x-thin")):
        those = [trial for trial in trials if seen.ends[trial.number] == end]
        heights = [trial.value if end == "pruned" else foot for trial in those]
        marker = {"symbol": symbol, "size": 6, "color": ENDS[end], "line": {"width": 1.5, "color": ENDS[end]}}
        if those:
            plot.add_scatter(x=[trial.number for trial in those], y=heights, mode="markers", name=end, marker=marker)
    caption = (
        "The objective by the trial's number. That of a pruned trial is the last it reported, of a shorter training; crosses at the "
        "foot have none. The best of more trials is better even where nothing can be learnt."
    )
    plot.update_xaxes(_whole(seen))
    return [Figure("History", _styled(plot, 380, x="trial", y="objective"), caption)]


def _importance(seen: Drawable) -> list[Figure]:
    plot = visualization.plot_param_importances(seen.study, params=list(seen.varied))
    plot.update_traces(marker_color=ENDS["complete"], text=None, texttemplate="%{x:.0%}")
    _styled(plot, 110 + 26 * len(seen.varied), x="share of the sum of importances", y="")
    plot.update_xaxes(tickformat=".0%", rangemode="tozero")
    caption = (
        "How far a parameter's values in the best tenth of the complete trials differ from those in all of them (PED-ANOVA), each "
        f"parameter by itself. The best tenth is {math.ceil(len(seen.judged) / 10)} of {len(seen.judged)} trials: of few, it is noise."
    )
    return [Figure("Importance", plot, caption)]


def _slices(seen: Drawable) -> list[Figure]:
    number = math.ceil(len(seen.varied) / SLICES_A_ROW)
    width = math.ceil(len(seen.varied) / number)
    drawn = []
    for first in range(0, len(seen.varied), width):
        plot = visualization.plot_slice(seen.study, params=list(seen.varied[first : first + width]), target_name="objective")
        plot.update_traces(marker={"size": 7, "colorscale": SCALE, "colorbar": {"title": "trial", **_whole(seen)}})
        drawn.append(Figure("" if first else "Slices", _styled(plot, 300), ""))
    caption = (
        "The objective of every complete trial against each parameter, the most important above where that is known; darker dots are "
        "later trials. All parameters vary at once: a slope may be another parameter's doing."
    )
    return [*drawn[:-1], drawn[-1]._replace(caption=caption)]


def _parallel(seen: Drawable) -> list[Figure]:
    names = sorted(seen.varied[:PARALLEL_PARAMETERS])
    plot = visualization.plot_parallel_coordinate(seen.study, params=names, target_name="objective")
    _styled(plot, 430)
    plot.update_layout(hovermode="closest", margin={"b": 80})
    plot.update_xaxes(showline=False, ticks="", tickangle=15, ticklabeloverflow="allow")
    plot.update_xaxes(ticktext=["objective", *(".<br>".join(name.rsplit(".", 1)) for name in names)])
    plot.update_annotations(bgcolor="rgba(255,255,255,0.8)", font_color="#222")
    upwards = seen.study.direction == StudyDirection.MAXIMIZE
    lines: Any = plot.select_traces(selector={"mode": "lines"})
    for line in lines:
        goodness = line.y[0] if upwards else 1 - line.y[0]  # the objective's axis is the first
        line.update(opacity=0.8, line_color=sample_colorscale(SCALE, goodness)[0], zorder=round(100 * goodness))
    plot.update_traces(marker_colorscale=SCALE, selector={"mode": "markers"})
    caption = "A line for every complete trial, from its objective through its parameters; the darker, the better."
    if len(names) < len(seen.varied):
        caption += f" Drawn are {len(names)} of {len(seen.varied)} parameters, the most important where that is known."
    return [Figure("Parallel coordinates", plot, caption)]


def _contour(seen: Drawable) -> list[Figure]:
    names = [name for name in seen.varied if all(name in trial.params for trial in seen.judged)][:CONTOUR_PARAMETERS]
    if len(names) < 2:
        return []
    ranked = sorted(seen.judged, key=lambda trial: trial.value or 0.0)
    number = min(len(ranked), CONTOUR_TRIALS)
    spread = [ranked[k * (len(ranked) - 1) // (number - 1)] for k in range(number)]
    plot = visualization.plot_contour(_in_memory(seen.study, spread), params=names, target_name="objective")
    plot.update_traces(marker={"size": 4, "line": {"width": 0}}, selector={"type": "scatter"})
    plot.update_traces(line_width=0, colorscale=SCALE, selector={"type": "contour"})
    _styled(plot, 460 if len(names) == 2 else 720).update_yaxes(showgrid=False)
    caption = (
        "The objective over pairs of the most important parameters where that is known; the darker, the better. The dots are trials, "
        "colour between them is a guess, and what the other parameters did is mixed in."
    )
    if number < len(ranked):
        caption += f" Drawn are {number} of {len(ranked)} complete trials, spread evenly from the worst to the best."
    return [Figure("Contours", plot, caption)]


def _timeline(seen: Drawable) -> list[Figure]:
    plot = visualization.plot_timeline(seen.study)
    bars: Any = plot.data
    for bar in bars:
        ends = [str(seen.ends[number]) for number in bar.y]
        bar.update(marker={"color": [ENDS[end] for end in ends], "line": {"width": 0}}, showlegend=False)
        bar.update(text=ends, hovertemplate="trial %{y}: %{text}<extra></extra>")
    for end, colour in ENDS.items():
        if end in seen.ends:
            plot.add_bar(x=[None], y=[None], name=end, marker_color=colour, showlegend=True)
    _styled(plot, min(700, 160 + 8 * len(seen.ends)), x="time", y="trial")
    plot.update_layout(bargap=0.15, barmode="overlay")
    plot.update_yaxes({"autorange": "reversed", **_whole(seen)})
    caption = (
        "When each trial ran, by the clock of the machine that ran it, and how it ended. Trials side by side share the machine."
    )
    return [Figure("Timeline", plot, caption)]


_FIGURES: tuple[tuple[str, Callable[[Drawable], list[Figure]], int, int], ...] = (
    ("History", _history, 1, 0),
    ("Importance", _importance, IMPORTANCE_TRIALS, 2),
    ("Slices", _slices, 2, 1),
    ("Parallel coordinates", _parallel, 2, 1),
    ("Contours", _contour, 2, 2),
    ("Timeline", _timeline, 0, 0),
)
"""Each with how many complete trials and parameters that vary it takes."""


def _whole(seen: Drawable) -> dict[str, int]:
    """Of an axis of few trials: no ticks between them."""
    return {"dtick": 1} if len(seen.ends) < 12 else {}


def _styled(plot: go.Figure, height: int, x: str | None = None, y: str | None = None) -> go.Figure:
    plot.update_layout(
        template="plotly_white",
        title=None,
        height=height,
        width=None,
        margin={"l": 72, "r": 16, "t": 24, "b": 48},
        font={"family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 12, "color": "#222"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0},
    )
    plot.update_xaxes(showgrid=False, zeroline=False, showline=True, linecolor="#bbb", ticks="outside", tickcolor="#bbb")
    plot.update_yaxes(gridcolor="#eee", zeroline=False)
    for axis in (*plot.select_xaxes(), *plot.select_yaxes()):
        axis.update(title_font_size=12, exponentformat="none")
        if axis.type == "log":
            ticks = _log_ticks(*_span(plot, axis))
            axis.update(tickvals=[float(tick) for tick in ticks], ticktext=ticks, tickangle=0)
        if axis.type == "category" and axis.categoryarray:
            axis.update(tickvals=axis.categoryarray, ticktext=[label.strip("'") for label in axis.categoryarray])
    if x is not None:
        plot.update_xaxes(title_text=x)
    if y is not None:
        plot.update_yaxes(title_text=y)
    return plot


def _span(plot: go.Figure, axis: Any) -> tuple[float, float]:
    """The lowest and highest power of ten along a logarithmic axis: its range where it has one, otherwise what is drawn."""
    if axis.range:
        return axis.range
    letter, name, traces = axis.plotly_name[0], axis.plotly_name.replace("axis", ""), list[Any](plot.data)
    values = [value for one in traces if (one[f"{letter}axis"] or letter) == name for value in one[letter]]
    return math.log10(min(values)), math.log10(max(values))


def _log_ticks(low: float, high: float) -> list[str]:
    """The powers of ten in this span of powers and, unless there are many, some multiples."""
    digits = (1, 2, 3, 5) if high - low < 1 else (1, 3) if high - low < WIDE_DECADES else (1,)
    return [
        f"{digit}e{power}" if power < -2 else f"{digit * 10.0**power:g}"
        for power in range(math.floor(low), math.ceil(high) + 1)
        for digit in digits
    ]

"""The page of a study: its best trials, how all of them ended, how the search went, and which parameters mattered."""

from __future__ import annotations

import copy
import html
import math
import pathlib
import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale, sequential
from plotly.offline import get_plotlyjs

from cappuccino.evaluation.figures import AGENT_COLOUR, OTHER_COLOURS
from cappuccino.evaluation.metrics import METRICS
from cappuccino.evaluation.page import STYLE, table
from cappuccino.evaluation.report import UNDEFINED, shown, shown_unit, signed
from cappuccino.sweep.study import is_lost

BEST = 10
"""Trials in the table."""
CONTOUR_PARAMETERS = 4
CONTOUR_TRIALS = 100
"""Most trials of the contours: they are drawn on the grid of all values that occur, twelve times over."""
IMPORTANCE_TRIALS = 10
"""Fewest trials of which a tenth is a trial."""
SLICES_A_ROW = 4
PARALLEL_PARAMETERS = 8
NUMBERS = 12
"""Trials named with a reason before the rest are only counted."""
NARROW = ".trials th, .trials td { padding-left: 5px; padding-right: 5px; }"
"""Style of the table of the best trials: ten of them stand side by side."""
FIGURES = ("sharpe", "mean_log_growth", "turnover", "max_drawdown")
"""Attributes of trials shown in the table, from METRICS."""

STATE_COLOURS = {"complete": "#0072b2", "pruned": "#e69f00", "failed": "#b3261e", "running": "#009e73"}
SCALE = sequential.Blues[2:]
"""Optuna's colours but for the palest, which cannot be seen on white."""
_STATE_NAMES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class Section(NamedTuple):
    """Plots and the caption under them; without plots, the sentence that says why there are none."""

    title: str
    plots: Sequence[go.Figure]
    text: str


class Seen(NamedTuple):
    """What the plots are made of.

    trials: all. judged: the complete ones whose objective is finite. varied: parameters with several values among these, the most
    important first where that can be estimated (`importances`, and what Optuna warned of as it did).
    """

    study: optuna.Study
    trials: list[FrozenTrial]
    judged: list[FrozenTrial]
    varied: list[str]
    importances: dict[str, float]
    warned: list[str]

    @property
    def idle(self) -> int:
        """Complete trials whose objective is infinite, for their policy did nothing."""
        return sum(_did_nothing(trial) for trial in self.trials)

    @property
    def differ(self) -> bool:
        """Whether there are two trials of different worth."""
        return len({trial.value for trial in self.judged}) > 1


class _Excerpt(optuna.Study):
    """A study of which Optuna's plots see only some of the trials."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)
        self._seen = list(trials)

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        seen = [trial for trial in self._seen if states is None or trial.state in states]
        return copy.deepcopy(seen) if deepcopy else seen


def write_study_report(study: optuna.Study, path: pathlib.Path, facts: Mapping[str, str], verdict: str) -> None:
    """Write the study's page: one HTML file of about 5 MB, plotly.js inside; it loads nothing from anywhere.

    facts: listed under the verdict. Trials may have the user attributes `env_steps`, `reason` (of a failure), `placed` (by seed)
    and those of FIGURES. What cannot be drawn is said in words.
    """
    path.write_text(render(study, facts, verdict), encoding="utf-8")


def render(study: optuna.Study, facts: Mapping[str, str], verdict: str) -> str:
    """The page's HTML."""
    seen = see(study)
    title = html.escape(study.study_name)
    plotted = sections(seen)
    script = f"<script>{get_plotlyjs()}</script>" if any(section.plots for section in plotted) else ""
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}{NARROW}</style>{script}</head><body><main>"
        f"{_head(study, facts, verdict)}{_best(seen)}{_states(seen)}{''.join(map(_section, plotted))}</main></body></html>\n"
    )


def sections(seen: Seen) -> list[Section]:
    """The parts of the page that are plots, in order."""
    return [make(seen) for make in _SECTIONS]


def see(study: optuna.Study) -> Seen:
    """A study's trials as they are now, and the importances of its parameters."""
    trials = study.get_trials(deepcopy=False)
    judged = [trial for trial in trials if trial.state == TrialState.COMPLETE and not _did_nothing(trial)]
    values: dict[str, set[Any]] = {}
    for trial in judged:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add((type(value), value))
    seen = Seen(study, trials, judged, [name for name, several in values.items() if len(several) > 1], {}, [])
    if len(judged) < IMPORTANCE_TRIALS or len(seen.varied) < 2 or not seen.differ:
        return seen
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = optuna.importance.get_param_importances(_Excerpt(study, judged), params=seen.varied)
    return seen._replace(varied=list(found), importances=found, warned=[str(one.message) for one in warned])


def _did_nothing(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE and trial.value is not None and math.isinf(trial.value)


def _head(study: optuna.Study, facts: Mapping[str, str], verdict: str) -> str:
    listing = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>" for name, text in facts.items())
    return (
        f"<header><p class='kicker'>Study report</p><h1>{html.escape(study.study_name)}</h1>"
        f"<p class='verdict'>{html.escape(verdict)}</p>" + (f"<dl class='facts'>{listing}</dl>" if facts else "") + "</header>"
    )


def _best(seen: Seen) -> str:
    """Complete trials by their objective, then pruned ones by the last that they reported, then those that did nothing."""
    upwards = seen.study.direction == StudyDirection.MAXIMIZE
    rank = {TrialState.COMPLETE: 0, TrialState.PRUNED: 1}
    valued = [(trial.value, trial) for trial in seen.trials if trial.state in rank and trial.value is not None]
    valued.sort(key=lambda one: (math.isinf(one[0]), rank[one[1].state], -one[0] if upwards else one[0]))
    best = [trial for _, trial in valued[:BEST]]
    if not best:
        return "<section><h2>Best trials</h2><p class='note'>No trial has an objective to rank by.</p></section>"
    rows = [
        _row("Objective", "", [_objective(trial) for trial in best]),
        _row("State", "", [_STATE_NAMES[trial.state] for trial in best]),
        _row("Duration", "s", [_seconds(trial) for trial in best]),
        _row("Environment steps", "million", [_millions(trial.user_attrs.get("env_steps")) for trial in best]),
        _row("Seeds", "", [", ".join(trial.user_attrs.get("placed", {})) or UNDEFINED for trial in best]),
    ]
    for name in FIGURES:
        if any(name in trial.user_attrs for trial in best):
            unit = METRICS[name].unit
            found = [shown(trial.user_attrs.get(name), unit) for trial in best]
            rows.append(_row(name.replace("_", " ").capitalize(), shown_unit(unit), found))
    for name in dict.fromkeys(name for trial in best for name in trial.params):
        rows.append(_row(name, "", [_value(trial.params[name]) if name in trial.params else UNDEFINED for trial in best]))
    body = table(["Trial", *(str(trial.number) for trial in best)], rows, highlight=1)
    caption = (
        f"The best {len(best)} of {len(valued)} trials with an objective, by the span that chose them: the best of many flatters "
        "itself. Complete trials come first, then pruned ones by the last objective that they reported, which was of a shorter "
        f"training, then those whose policy did nothing. The lower rows are parameters; {UNDEFINED} is not on record."
    )
    return f"<section class='trials'><h2>Best trials</h2>{body}<p class='caption'>{caption}</p></section>"


def _row(name: str, unit: str, cells: Sequence[str]) -> list[str]:
    return [f"{html.escape(name)} <span class='unit'>{html.escape(unit)}</span>", *map(html.escape, cells)]


def _objective(trial: FrozenTrial) -> str:
    return "did nothing" if trial.value is not None and math.isinf(trial.value) else _number(trial.value)


def _number(value: float | None) -> str:
    return UNDEFINED if value is None else signed(f"{value:.4g}")


def _millions(steps: int | None) -> str:
    return UNDEFINED if steps is None else f"{steps / 1e6:,.3g}"


def _seconds(trial: FrozenTrial) -> str:
    if trial.duration is None:
        return UNDEFINED
    seconds = trial.duration.total_seconds()
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"


def _value(value: Any) -> str:
    """A parameter's value, as the command line takes it but for the digits and the minus sign."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return value if isinstance(value, str) else signed(f"{value:.3g}" if isinstance(value, float) else str(value))


def _states(seen: Seen) -> str:
    if not seen.trials:
        return "<section><h2>How the trials ended</h2><p class='note'>The study has no trials yet.</p></section>"
    rows = []
    lost = sum(map(is_lost, seen.trials))
    for state in _STATE_NAMES:
        number = sum(trial.state == state for trial in seen.trials)
        remark = ""
        if state == TrialState.COMPLETE and seen.idle:
            remark = f"of which {seen.idle} did nothing, the worst there is"
        if state == TrialState.FAIL and lost:
            remark = f"of which {lost} because the process died: tried again, with a new number"
        rows.append([_STATE_NAMES[state], f"{number:,}", remark])
    counts = table(["state", "trials", ""], rows, highlight=None)
    return f"<section class='definitions'><h2>How the trials ended</h2>{counts}</section>{_reasons(seen.trials)}"


def _reasons(trials: Sequence[FrozenTrial]) -> str:
    reasons: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == TrialState.FAIL:
            why = trial.user_attrs.get("reason") or trial.user_attrs.get("lost_why")
            lost = "its process died" if is_lost(trial) else "no reason is on record"
            reasons.setdefault(str(why or lost), []).append(trial.number)
    if not reasons:
        return ""
    rows = [
        [html.escape(why), str(len(numbers)), _listed(numbers)]
        for why, numbers in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    body = table(["reason", "trials", "which"], rows, highlight=None)
    return f"<section class='definitions'><h2>Why trials failed</h2>{body}</section>"


def _listed(names: Sequence[object]) -> str:
    more = len(names) - NUMBERS
    return ", ".join(map(str, names[:NUMBERS])) + (f" and {more} more" if more > 0 else "")


def _too_few(seen: Seen, *, trials: int = 2, parameters: int = 0, differ: bool = False) -> str | None:
    """Why a plot that takes so many judged trials and varied parameters cannot be made; None if it can."""
    found = len(seen.judged)
    if found < trials:
        besides = f" besides {seen.idle} that did nothing" if seen.idle else ""
        return (
            f"Not drawn: it takes at least {trials} complete trials with a finite objective, and there {_are(found)}{besides}."
        )
    if len(seen.varied) < parameters:
        takes = "a parameter" if parameters == 1 else f"at least {parameters} parameters"
        return f"Not drawn: it takes {takes} with several values among the complete trials, and there {_are(len(seen.varied))}."
    if differ and not seen.differ:
        return "Not drawn: all complete trials have the same objective."
    return None


def _are(number: int) -> str:
    return "is 1" if number == 1 else f"are {number or 'none'}"


def _idle_left_out(seen: Seen) -> str:
    """A sentence to follow a caption of a plot of judged trials."""
    many = seen.idle > 1
    return f" {seen.idle} trial{'s' if many else ''} that did nothing {'are' if many else 'is'} left out." if seen.idle else ""


def _left_out(seen: Seen) -> str:
    """Sentences to follow a caption of a plot of judged trials and varied parameters."""
    constant = [name for name in dict.fromkeys(n for trial in seen.judged for n in trial.params) if name not in seen.varied]
    said = f" Left out for having one value in all trials: {_listed(constant)}." if constant else ""
    return _idle_left_out(seen) + said


def _history(seen: Seen) -> Section:
    title = "History"
    if why := _too_few(seen):
        return Section(title, (), why)
    judged = {trial.number for trial in seen.judged}
    all_places = [
        trial if trial.number in judged else _failed(trial) for trial in seen.trials
    ]  # numbers must have no gaps here
    plot = visualization.plot_optimization_history(_Excerpt(seen.study, all_places), target_name="objective")
    plot.update_traces(marker={"color": OTHER_COLOURS[0], "size": 6}, name="a trial", selector={"mode": "markers"})
    plot.update_traces(
        line={"color": AGENT_COLOUR, "width": 2.4, "shape": "hv"}, name="best so far", selector={"mode": "lines"}
    )
    _style(plot, 360, "trial", "objective")
    plot.update_xaxes(_whole_steps(len(seen.trials) - 1))
    caption = (
        "The objective of every complete trial by the trial's number, and the best so far. The best of more trials is higher "
        "(or lower, if it is minimised) even where nothing can be learnt; pruned and failed trials have no place here."
    )
    return Section(title, (plot,), caption + _idle_left_out(seen))


def _failed(trial: FrozenTrial) -> FrozenTrial:
    changed = copy.copy(trial)
    changed.state, changed.values = TrialState.FAIL, None
    return changed


def _importances(seen: Seen) -> Section:
    title = "Importance of parameters"
    if why := _too_few(seen, trials=IMPORTANCE_TRIALS, parameters=2, differ=True):
        return Section(title, (), why)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caption has them
        plot = visualization.plot_param_importances(_Excerpt(seen.study, seen.judged), params=seen.varied)
    plot.update_traces(marker_color=OTHER_COLOURS[2], text=None, texttemplate="%{x:.1%}")
    _style(plot, 110 + 26 * len(seen.varied), "importance, share of the sum over parameters", "")
    plot.update_xaxes(range=[0, 1.08 * max(seen.importances.values())], tickformat=".0%")
    caption = (
        "How far a parameter's values in the best tenth of the complete trials differ from its values in all of them (PED-ANOVA), "
        "each parameter by itself, as a share of the sum. It ranks; it says neither which way to turn a parameter nor that another "
        f"search would rank alike, and the best tenth is {math.ceil(len(seen.judged) / 10)} of {len(seen.judged)} trials."
    )
    warned = "".join(f" Optuna warns: {one}" for one in seen.warned)
    return Section(title, (plot,), caption + _left_out(seen) + warned)


def _slices(seen: Seen) -> Section:
    title = "Slices"
    if why := _too_few(seen, parameters=1):
        return Section(title, (), why)
    number = math.ceil(len(seen.varied) / SLICES_A_ROW)
    width = math.ceil(len(seen.varied) / number)
    excerpt = _Excerpt(seen.study, seen.judged)
    plots = []
    for first in range(0, len(seen.varied), width):
        plot = visualization.plot_slice(excerpt, params=seen.varied[first : first + width], target_name="objective")
        _style(plot, 300, None, None)
        plot.update_traces(
            marker={"size": 7, "colorscale": SCALE, "colorbar": {"title": "trial", **_whole_steps(len(seen.trials) - 1)}}
        )
        for name, axis in zip(sorted(seen.varied[first : first + width]), plot.select_xaxes(), strict=True):
            tried = [trial.params[name] for trial in seen.judged if name in trial.params]
            if axis.type == "log":
                axis.tickvals = _log_ticks(min(tried), max(tried))
        plots.append(plot)
    caption = (
        "The objective of every complete trial against each parameter, those of most importance above where that is known; darker "
        "dots are later trials. All parameters vary at once, so that a slope here may be another parameter's doing."
    )
    return Section(title, plots, caption + _left_out(seen))


def _parallel(seen: Seen) -> Section:
    title = "Parallel coordinates"
    if why := _too_few(seen, parameters=2, differ=True):
        return Section(title, (), why)
    excerpt = _Excerpt(seen.study, seen.judged)
    names = seen.varied[:PARALLEL_PARAMETERS]
    plot = visualization.plot_parallel_coordinate(excerpt, params=names, target_name="objective")
    _style(plot, 420, None, None)
    plot.update_layout(hovermode="closest", margin={"b": 72})
    plot.update_xaxes(showline=False, ticks="", tickangle=15)
    upwards = seen.study.direction == StudyDirection.MAXIMIZE
    lines: Any = plot.select_traces(selector={"mode": "lines"})
    for line in lines:
        height = line.y[0]  # on the first axis, the objective's
        line.update(opacity=0.8, line_color=sample_colorscale(SCALE, height if upwards else 1 - height)[0])
    plot.update_traces(marker_colorscale=SCALE, selector={"mode": "markers"})
    caption = (
        "A line for every complete trial, from its objective through its parameters, in alphabetical order; the darker, the better. "
        "A trial without a parameter passes through None. The axes span what was tried, not what was allowed."
    )
    if len(names) < len(seen.varied):
        most = "most important" if seen.importances else "first"
        caption += f" Drawn are the {len(names)} {most} of {len(seen.varied)} parameters."
    return Section(title, (plot,), caption + _left_out(seen))


def _contours(seen: Seen) -> Section:
    title = "Contours"
    if why := _too_few(seen, parameters=2, differ=True):
        return Section(title, (), why)
    trials = _spread(seen.judged, CONTOUR_TRIALS)
    names = _together(seen.varied, trials)
    if len(names) < 2:
        return Section(title, (), "Not drawn: no two parameters vary in the same complete trials.")
    plot = visualization.plot_contour(_Excerpt(seen.study, trials), params=names, target_name="objective")
    _style(plot, 460 if len(names) == 2 else 130 + 210 * len(names), None, None)
    plot.update_traces(marker={"size": 4, "line": {"width": 0}}, selector={"type": "scatter"})
    plot.update_traces(line_width=0, colorscale=SCALE, selector={"type": "contour"})
    plot.update_yaxes(showgrid=False)
    for axis in (*plot.select_xaxes(), *plot.select_yaxes()):
        if axis.type == "log":
            axis.tickvals = _log_ticks(*(10**end for end in axis.range))
    most = "the most important parameters" if seen.importances else "the first parameters (importance is not known)"
    caption = (
        f"The objective over pairs of {most}, at most {CONTOUR_PARAMETERS} that occur together; the darker, the better. Colour is "
        "interpolated between the trials, which are the dots: away from them it is a guess, and what the other parameters did is "
        "mixed in."
    )
    if len(trials) < len(seen.judged):
        caption += f" Drawn are {len(trials)} of {len(seen.judged)} trials, spread evenly from the best to the worst."
    return Section(title, (plot,), caption + _left_out(seen))


def _log_ticks(low: float, high: float) -> list[float]:
    """The powers of ten in a range, or, of a narrow one, 1, 2 and 5 times those."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    steps = (1, 2, 5) if high < 100 * low else (1,)
    return [float(f"{step * power:.1g}") for power in powers for step in steps if low <= step * power <= high]


def _spread(trials: list[FrozenTrial], most: int) -> list[FrozenTrial]:
    """At most so many trials, evenly over their ranks, the best and the worst among them."""
    if len(trials) <= most:
        return trials
    ranked = sorted(trials, key=lambda trial: trial.value or 0.0)
    return [ranked[k * (len(ranked) - 1) // (most - 1)] for k in range(most)]


def _together(names: Sequence[str], trials: Sequence[FrozenTrial]) -> list[str]:
    """The first few of `names` every two of which have several values each among the trials that have both."""

    def vary(one: str, other: str) -> bool:
        both = [trial.params for trial in trials if one in trial.params and other in trial.params]
        return all(len({str(params[name]) for params in both}) > 1 for name in (one, other))

    taken: list[str] = []
    for name in names:
        if len(taken) < CONTOUR_PARAMETERS and vary(name, name) and all(vary(name, other) for other in taken):
            taken.append(name)
    return taken


def _intermediate(seen: Seen) -> Section:
    title = "Course of the trials"
    reported = [value for trial in seen.trials for value in trial.intermediate_values.values()]
    trials = [_finite_course(trial) for trial in seen.trials if trial.state in _COURSED]
    trials = [trial for trial in trials if trial.intermediate_values]
    if not trials:
        said = "and none did" if not reported else "and those that did reported only that their policy did nothing, or failed"
        return Section(title, (), f"Not drawn: it takes a trial that reported its objective while it trained, {said}.")
    plot = visualization.plot_intermediate_values(_Excerpt(seen.study, trials))
    best = _best_number(seen)
    traces: Any = plot.data
    for trial, trace in zip(trials, traces, strict=True):
        colour = AGENT_COLOUR if trial.number == best else STATE_COLOURS[_STATE_NAMES[trial.state]]
        trace.update(
            name=f"trial {trial.number}, {_STATE_NAMES[trial.state]}",
            line={"color": colour, "width": 2.4 if trial.number == best else 1},
            marker={"color": colour, "size": 4},
            opacity=1 if trial.number == best else 0.55,
            showlegend=False,
            zorder=int(trial.number == best),
        )
    _legend(
        plot,
        [_STATE_NAMES[trial.state] for trial in trials if trial.number != best],
        best in [trial.number for trial in trials],
    )
    _style(plot, 420, "chunk of training", "objective")
    plot.update_xaxes(_whole_steps(max(step for trial in trials for step in trial.intermediate_values)))
    plot.update_layout(hovermode="closest")
    caption = (
        "The objective that each trial reported after every chunk of its training, counted from 0. A line that ends early was "
        "pruned. A trial's final objective is that of its best chunk, not of its last."
    )
    left = len(reported) - sum(len(trial.intermediate_values) for trial in trials)
    if left:
        caption += (
            f" {left:,} of {len(reported):,} reported values are left out: of failed trials, or of a policy that did nothing."
        )
    return Section(title, (plot,), caption)


_COURSED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


def _finite_course(trial: FrozenTrial) -> FrozenTrial:
    changed = copy.copy(trial)
    changed.intermediate_values = {step: value for step, value in trial.intermediate_values.items() if math.isfinite(value)}
    return changed


def _best_number(seen: Seen) -> int | None:
    sign = 1 if seen.study.direction == StudyDirection.MAXIMIZE else -1
    best = max(seen.judged, key=lambda trial: sign * (trial.value or 0.0), default=None)
    return None if best is None else best.number


def _legend(plot: go.Figure, states: Sequence[str], with_best: bool) -> None:
    """Entries for the states that occur and the best trial, without lines of their own."""
    entries = {state: colour for state, colour in STATE_COLOURS.items() if state in states}
    for name, colour in (entries | ({"the best": AGENT_COLOUR} if with_best else {})).items():
        plot.add_scatter(x=[None], y=[None], mode="lines", name=name, line={"color": colour, "width": 2.4}, showlegend=True)
    plot.update_layout(showlegend=True)


def _timeline(seen: Seen) -> Section:
    title = "Timeline"
    trials = [_plain(trial) for trial in seen.trials if trial.datetime_start is not None]
    if not trials:
        return Section(title, (), "Not drawn: no trial has begun.")
    plot = visualization.plot_timeline(_Excerpt(seen.study, trials))
    traces: Any = plot.data
    for trace in traces:
        state = _STATE_NAMES[TrialState[trace.name]]
        trace.update(name=state, marker={"color": STATE_COLOURS[state], "line": {"width": 0}})
        trace.update(hovertemplate=f"%{{text}}<extra>{state}</extra>")
    _style(plot, min(700, 160 + 8 * len(trials)), "time", "trial")
    plot.update_layout(hovermode="closest", bargap=0.15)
    plot.update_yaxes(autorange="reversed")
    caption = (
        "When each trial ran, by the clock and time zone of the machine that ran it, and how it ended. Trials that run side by side "
        "share the machine, so that a bar's length is not what the trial would take alone."
    )
    waiting = len(seen.trials) - len(trials)
    return Section(title, (plot,), caption + (f" {waiting} that have not begun are left out." if waiting else ""))


def _plain(trial: FrozenTrial) -> FrozenTrial:
    """With what is worth reading when one points at it, and no more: a trial's whole configuration is among its attributes."""
    changed = copy.copy(trial)
    changed.user_attrs = {key: trial.user_attrs[key] for key in ("env_steps", "reason", "lost_why") if key in trial.user_attrs}
    return changed


_SECTIONS: tuple[Callable[[Seen], Section], ...] = (
    _history,
    _intermediate,
    _importances,
    _slices,
    _parallel,
    _contours,
    _timeline,
)


def _style(plot: go.Figure, height: int, x_title: str | None, y_title: str | None) -> None:
    """The house's typography; axes keep their titles where none is given."""
    plot.update_layout(
        template="plotly_white",
        title=None,
        height=height,
        width=None,
        margin={"l": 72, "r": 16, "t": 24, "b": 48},
        font={"family": "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 12, "color": "#222"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.01, "x": 0, "traceorder": "normal"},
    )
    plot.update_xaxes(showgrid=False, zeroline=False, showline=True, linecolor="#bbb", ticks="outside", tickcolor="#bbb")
    plot.update_yaxes(gridcolor="#eee", zeroline=False)
    for update in (plot.update_xaxes, plot.update_yaxes):
        update(title_font_size=12, exponentformat="none")
    if x_title is not None:
        plot.update_xaxes(title_text=x_title)
    if y_title is not None:
        plot.update_yaxes(title_text=y_title)


def _whole_steps(last: int) -> dict[str, int]:
    """Of an axis of whole numbers up to `last`: no ticks between them."""
    return {"dtick": 1} if last < 12 else {}


def _section(section: Section) -> str:
    name = section.title.lower().replace(" ", "-")
    drawn = "".join(
        plot.to_html(
            full_html=False,
            include_plotlyjs=False,
            config={"displayModeBar": False, "responsive": True},
            div_id=f"{name}-{k}",
        )
        for k, plot in enumerate(section.plots)
    )
    kind = "caption" if section.plots else "note"
    return f"<section class='plot'><h2>{section.title}</h2>{drawn}<p class='{kind}'>{html.escape(section.text)}</p></section>"

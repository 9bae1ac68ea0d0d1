"""The page of a study: its best trials, how they were found, and which parameters mattered."""

from __future__ import annotations

import datetime
import html
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optuna
import plotly.io
from optuna import visualization
from optuna.trial import FrozenTrial, TrialState

from cappuccino.evaluation.page import STYLE, table

SHOWN_TRIALS = 10
CONTOURED = 4
_FONT = 'system-ui, "Segoe UI", Helvetica, Arial, sans-serif'


class _Plot(NamedTuple):
    title: str
    caption: str
    draw: Callable[[optuna.Study, Sequence[str]], Any]
    parameters: int = 1


_PLOTS = (
    _Plot(
        "History",
        "The objective of each completed trial in the order of their numbers, and the best so far. The best of more trials is "
        "higher even where nothing can be found.",
        lambda study, _: visualization.plot_optimization_history(study),
    ),
    _Plot(
        "Progress of the trials",
        "The objective after each chunk of training. Lines that end early were pruned.",
        lambda study, _: visualization.plot_intermediate_values(study),
    ),
    _Plot(
        "Importance",
        "Share of the objective's variation that a parameter explains by itself (PED-ANOVA). An estimate from these trials only.",
        lambda study, _: visualization.plot_param_importances(study),
        2,
    ),
    _Plot(
        "Slices",
        "Each completed trial's objective against each parameter; darker dots came later.",
        lambda study, names: visualization.plot_slice(study, params=list(names)),
    ),
    _Plot(
        "Parallel coordinates",
        "A line for each completed trial through its parameters, coloured by its objective.",
        lambda study, names: visualization.plot_parallel_coordinate(study, params=list(names)),
        2,
    ),
    _Plot(
        "Contours",
        "The objective over pairs of the most important parameters, interpolated between the trials (dots): where there are no "
        "dots, nothing is known.",
        lambda study, names: visualization.plot_contour(study, params=list(names)[:CONTOURED]),
        2,
    ),
    _Plot(
        "Timeline",
        "When each trial ran and how it ended. Trials that run side by side share the machine.",
        lambda study, _: visualization.plot_timeline(study),
        0,
    ),
)


def write_study_report(study: optuna.Study, path: pathlib.Path, facts: Mapping[str, str], verdict: str) -> None:
    """Write one HTML page that needs nothing else. What cannot be drawn is said in words."""
    trials = study.get_trials(deepcopy=False)
    listed = "".join(f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd></div>" for name, text in facts.items())
    parts = [
        f"<p class='kicker'>Study, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC</p><h1>{html.escape(study.study_name)}</h1>",
        f"<p class='verdict'>{html.escape(verdict)}</p><dl class='facts'>{listed}</dl>",
        f"<h2>Trials</h2>{_states(trials)}{_best_table(study, trials)}",
        *_plots(study, trials),
    ]
    page = f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(study.study_name)}</title>"
    path.write_text(f"{page}<style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>")


def _states(trials: Sequence[FrozenTrial]) -> str:
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    said = ", ".join(f"{number} {state.name.lower()}" for state, number in counts.items() if number)
    idle = sum(trial.state == TrialState.COMPLETE and not _finite(trial) for trial in trials)
    lines = [f"<p class='note'>{said or 'none yet'}.</p>"]
    if idle:
        lines.append(
            f"<p class='note'>{idle} of the complete ones did nothing, which counts as the worst; no plot shows them.</p>"
        )
    reasons: dict[str, list[int]] = {}
    for trial in trials:
        if trial.state == TrialState.FAIL:
            why = trial.user_attrs.get("reason") or trial.user_attrs.get("lost_why") or "no reason is on record"
            reasons.setdefault(str(why), []).append(trial.number)
    if reasons:
        rows = [[html.escape(why), ", ".join(map(str, numbers))] for why, numbers in reasons.items()]
        lines.append(table(["why trials failed", "trials"], rows, highlight=None))
    return "".join(lines)


def _best_table(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE and _finite(trial)]
    upwards = study.direction == optuna.study.StudyDirection.MAXIMIZE
    done.sort(key=lambda trial: trial.value or 0.0, reverse=upwards)
    if not done:
        return "<p class='note'>No trial has an objective to rank by.</p>"
    names = sorted({name for trial in done[:SHOWN_TRIALS] for name in trial.params})
    figures = ("sharpe", "turnover", "max_drawdown")
    header = [
        "trial",
        "objective",
        "Sharpe<br><span class='unit'>a year</span>",
        "turnover<br><span class='unit'>x a year</span>",
    ]
    header += ["max drawdown<br><span class='unit'>%</span>", "time<br><span class='unit'>s</span>", *map(html.escape, names)]
    rows = []
    for trial in done[:SHOWN_TRIALS]:
        cells = [trial.user_attrs.get(name) for name in figures]
        cells[2] = None if cells[2] is None else 100 * cells[2]
        seconds = trial.duration.total_seconds() if trial.duration is not None else None
        values = [trial.value, *cells, seconds, *(trial.params.get(name) for name in names)]
        rows.append([str(trial.number), *map(_shown, values)])
    return table(header, rows, highlight=None) + (
        f"<p class='caption'>The {len(rows)} best of {len(done)} complete trials, over the validation span, which chose them: "
        "the best of many flatters itself.</p>"
    )


def _plots(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[str]:
    usable = [trial for trial in trials if trial.state == TrialState.COMPLETE and _finite(trial)]
    shared = set.intersection(*(set(trial.params) for trial in usable)) if usable else set()
    names = [name for name in _by_importance(study, usable) if name in shared]
    script, sections = True, []
    for plot in _PLOTS:
        why = _why_not(plot, usable, names, trials)
        if why is None:
            figure = plot.draw(study, names)
            figure.update_layout(title=None, font={"family": _FONT, "size": 12}, template="plotly_white", margin={"t": 24})
            figure.update_layout(width=None)
            drawn = plotly.io.to_html(figure, full_html=False, include_plotlyjs=script, config={"displaylogo": False})
            script = False
            body = f"<div class='plot'>{drawn}</div><p class='caption'>{plot.caption}</p>"
        else:
            body = f"<p class='note'>{why}</p>"
        sections.append(f"<h2>{plot.title}</h2>{body}")
    return sections


def _why_not(plot: _Plot, usable: Sequence[FrozenTrial], names: Sequence[str], trials: Sequence[FrozenTrial]) -> str | None:
    if plot.parameters == 0:
        return None if any(trial.datetime_start for trial in trials) else "No trial has begun."
    if len(usable) < 2:
        return f"It takes at least two complete trials that did something; there are {len(usable)}."
    if len(names) < plot.parameters:
        return f"It takes at least {plot.parameters} parameters that all trials have; there are {len(names)}."
    if plot.parameters > 1 and len({trial.value for trial in usable}) < 2:
        return "All trials have the same objective."
    return None


def _by_importance(study: optuna.Study, usable: Sequence[FrozenTrial]) -> list[str]:
    given = list(dict.fromkeys(name for trial in usable for name in trial.params))
    if len(usable) < 2 or len({trial.value for trial in usable}) < 2:
        return given
    ranked = list(optuna.importance.get_param_importances(study))
    return [*ranked, *(name for name in given if name not in ranked)]


def _finite(trial: FrozenTrial) -> bool:
    return trial.value is not None and abs(trial.value) != float("inf")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))

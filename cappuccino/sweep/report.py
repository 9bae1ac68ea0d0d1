"""The page of a study: what came of it, its best trials, how all of them ended, and Optuna's figures."""

from __future__ import annotations

import html
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from plotly.offline import get_plotlyjs

from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.figures import Figure
from cappuccino.evaluation.page import STYLE, table
from cappuccino.evaluation.report import UNDEFINED, shown, signed
from cappuccino.sweep.ends import ENDS, end_of
from cappuccino.sweep.figures import figures

BEST = 10
"""Trials in the table, side by side."""
REASONS = 8
"""Reasons of failures, the most frequent ones."""
FIGURES = {
    "sharpe": "Sharpe ratio, a year",
    "total_return": "Total return",
    "max_drawdown": "Maximum drawdown",
    "exposure": "Exposure",
    "turnover": "Turnover, x a year",
}
"""Attributes of trials that the table has, from METRICS, and how it calls them."""
_NARROW = (
    ".trials table { width: auto; } .trials th, .trials td { padding-left: 8px; padding-right: 5px; }"
    ".trials th:first-child, .trials td:first-child { padding-left: 0; }"
)
_MEANING = {
    "did nothing": "complete, and the policy kept out of the market: the worst objective there is",
    "pruned": "stopped early, for it did worse than others at the same age",
    "lost": "the process died; tried again under a new number, or to be",
    "surplus": "two processes added one at the same moment; nobody ran it",
}


def write_study_report(study: optuna.Study, path: pathlib.Path, facts: Mapping[str, str], verdict: str) -> None:
    """Write the study's page: one HTML file of about 5 MB, plotly.js inside; it loads nothing from anywhere.

    facts: listed under the verdict. Trials may have the attributes `env_steps`, `reason` (of a failure) and those of FIGURES.
    """
    path.write_text(render(study, facts, verdict), encoding="utf-8")


def render(study: optuna.Study, facts: Mapping[str, str], verdict: str) -> str:
    """The page's HTML."""
    trials = study.get_trials(deepcopy=False)
    drawn, missing = figures(study)
    name = html.escape(study.study_name)
    script = f"<script>{get_plotlyjs()}</script>" if drawn else ""
    left_out = (
        f"<section><h2>Not drawn</h2><p class='note'>They take more: {html.escape('; '.join(missing))}.</p></section>"
        if missing
        else ""
    )
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{name}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}{_NARROW}</style>{script}</head>"
        f"<body><main>{_head(name, facts, verdict)}{_best(study, trials)}{_ends(trials)}{''.join(map(_plot, drawn))}{left_out}"
        "</main></body></html>\n"
    )


def _head(name: str, facts: Mapping[str, str], verdict: str) -> str:
    listing = "".join(f"<div><dt>{html.escape(key)}</dt><dd>{html.escape(text)}</dd></div>" for key, text in facts.items())
    return (
        f"<header><p class='kicker'>Study report</p><h1>{name}</h1><p class='verdict'>{html.escape(verdict)}</p>"
        f"<dl class='facts'>{listing}</dl></header>"
    )


def _best(study: optuna.Study, trials: Sequence[FrozenTrial]) -> str:
    """Of the complete trials that did something."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    judged = sorted((one for one in trials if end_of(one) == "complete"), key=lambda one: sign * (one.value or 0.0))
    best = judged[:BEST]
    if not best:
        return "<section><h2>Best trials</h2><p class='note'>No trial has an objective to rank by.</p></section>"
    rows = [
        ["Objective", *(signed(f"{one.value:.4g}") for one in best)],
        *([label, *(shown(one.user_attrs.get(key), METRICS[key].unit) for one in best)] for key, label in FIGURES.items()),
        ["Environment steps", *(_steps(one.user_attrs.get("env_steps")) for one in best)],
        ["Duration, s", *(_seconds(one) for one in best)],
        *([name, *(_parameter(one, name) for one in best)] for name in dict.fromkeys(n for one in best for n in one.params)),
    ]
    body = table(
        ["Trial", *(str(one.number) for one in best)], [[html.escape(cell) for cell in row] for row in rows], highlight=1
    )
    caption = (
        f"The best {len(best)} of {len(judged)} complete trials by the bars that chose them, after costs: the best of many flatters "
        f"itself. The lower rows are parameters; {UNDEFINED} is not on record."
    )
    return f"<section class='trials'><h2>Best trials</h2>{body}<p class='caption'>{caption}</p></section>"


def _steps(steps: int | None) -> str:
    return UNDEFINED if steps is None else f"{steps:,}"


def _seconds(trial: FrozenTrial) -> str:
    return UNDEFINED if trial.duration is None else f"{trial.duration.total_seconds():,.0f}"


def _parameter(trial: FrozenTrial, name: str) -> str:
    value: Any = trial.params.get(name, UNDEFINED)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return value if isinstance(value, str) else signed(f"{value:.3g}")


def _ends(trials: Sequence[FrozenTrial]) -> str:
    counts = Counter(map(end_of, trials))
    reasons = Counter(str(one.user_attrs.get("reason", "no reason is on record")) for one in trials if end_of(one) == "failed")
    listed = "<br>".join(f"{number:,} x {html.escape(reason)}" for reason, number in reasons.most_common(REASONS))
    rows = [[end, f"{counts[end]:,}", listed if end == "failed" else _MEANING.get(end, "")] for end in ENDS if counts[end]]
    body = table(["state", "trials", ""], rows, highlight=None)
    return f"<section class='definitions'><h2>How the trials ended</h2>{body}</section>"


def _plot(figure: Figure) -> str:
    title = f"<h2>{figure.title}</h2>" if figure.title else ""
    config = {"displayModeBar": False, "responsive": True}
    drawn = figure.plot.to_html(full_html=False, include_plotlyjs=False, config=config)
    return f"<section class='plot'>{title}{drawn}<p class='caption'>{html.escape(figure.caption)}</p></section>"

"""A run's report: one HTML page that needs nothing but itself, and the same figures as JSON."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import math
import pathlib
from typing import Any

from cappuccino.evaluation.baselines import EQUAL_REBALANCED, LOOK_BACK_SECONDS, RANDOM, held_name
from cappuccino.evaluation.comparison import Evaluation, leads, verdict
from cappuccino.evaluation.definitions import AGAINST_HELD, METRICS
from cappuccino.evaluation.metrics import monthly_returns
from cappuccino.evaluation.page import STYLE, table
from cappuccino.evaluation.splits import iso

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNDEFINED = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
LOG_UNIT = f"log a bar, 1e{MINUS}4"


@dataclasses.dataclass(frozen=True)
class Context:
    """What a report says of the run it is about. notes: further sentences to print under the verdict. artifact: where one was scored,
    what its manifest says of its training, for JSON."""

    run: str
    seed: int
    code_version: str
    config_hash: str
    notes: tuple[str, ...] = ()
    artifact: dict[str, Any] | None = None


def shown(value: float | None, unit: str) -> str:
    """A figure as the report prints it: shares in percent, or as a multiple from 10,000 % on; an undefined one as a dash."""
    if value is None:
        return UNDEFINED
    if unit in ("share", "share a year"):
        return signed(f"{value:,.2%}" if abs(value) < 100 else f"{value:,.3g}x")
    formats = {"share a bar": ".3%", "bars": ",.0f", "orders": ",.0f", "a year": ",.1f", "pure": ",.2f"}
    formats |= {"log a bar": ",.3f", "share of notional": ",.1f"}
    return signed(format(value * (1e4 if unit in ("log a bar", "share of notional") else 1), formats[unit]))


def signed(text: str) -> str:
    """A number, infinite ones too, with a proper minus sign, and none on a zero."""
    zero = "0" in text and not any(digit in text for digit in "123456789")
    return text.removeprefix("-") if zero else text.replace("-", MINUS)


def shown_unit(unit: str) -> str:
    """The unit as the report prints it; none where the figure's name says it."""
    names = {"share": "%", "share a year": "% a year", "share a bar": "% a bar", "log a bar": LOG_UNIT, "a year": "x a year"}
    names |= {"share of notional": "bps", "pure": "", "orders": ""}
    return names.get(unit, unit)


def summary(evaluation: Evaluation, context: Context) -> dict[str, Any]:
    """The report as plain data for JSON: shares as fractions, undefined figures as null."""
    path = evaluation.agent
    return {
        "verdict": verdict(evaluation),
        "run": context.run,
        "seed": context.seed,
        "code_version": context.code_version,
        "config_hash": context.config_hash,
        "notes": list(context.notes),
        **({} if context.artifact is None else {"artifact": context.artifact}),
        "origin": dataclasses.asdict(evaluation.origin),
        "span": {
            "name": evaluation.span.name,
            "start": evaluation.span.start,
            "stop": evaluation.span.stop,
            "first_bar": iso(path.timestamps[0]),
            "last_bar": iso(path.timestamps[-1]),
            "steps": len(path),
            "episodes": int(path.begins.sum()),
            "bar_seconds": path.bar_seconds,
        },
        "assets": list(path.assets),
        "costs": evaluation.costs,
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "metrics": evaluation.metrics,
        "benchmarks": {"equal_weight": EQUAL_REBALANCED, "held": held_name(path.assets)},
        "leads": {name: one._asdict() for name, one in leads(evaluation).items()},
        "monthly_returns": monthly_returns(path),
    }


def write_summary(evaluation: Evaluation, path: pathlib.Path, *, context: Context) -> None:
    """Write `summary` as JSON; a figure that is not finite is a defect and raises ValueError."""
    text = json.dumps(summary(evaluation, context), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_report(evaluation: Evaluation, path: pathlib.Path, *, context: Context) -> None:
    """Write the report as one HTML page of about 5 MB, plotly.js inside; it loads nothing from anywhere."""
    path.write_text(render(evaluation, context), encoding="utf-8")


def render(evaluation: Evaluation, context: Context) -> str:
    """The report's HTML."""
    from plotly.offline import get_plotlyjs

    from cappuccino.evaluation.figures import figures

    title = html.escape(f"{context.run}: {evaluation.span.name}")
    plots = "".join(
        f"<section class='plot'><h2>{figure.title}</h2>"
        f"{figure.plot.to_html(full_html=False, include_plotlyjs=False, config={'displayModeBar': False, 'responsive': True})}"
        f"<p class='caption'>{html.escape(figure.caption)}</p></section>"
        for figure in figures(evaluation)
    )
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>"
        f"{_head(evaluation, context)}{_metrics(evaluation)}{_leads(evaluation)}{plots}{_monthly(evaluation)}{definitions()}"
        "</main></body></html>\n"
    )


def moment(timestamp: Any) -> str:
    """Unix seconds as date and time, UTC."""
    return iso(timestamp).removesuffix("Z").replace("T", " ")


def bar_length(seconds: int) -> str:
    """Seconds in the largest unit that divides them."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % unit == 0:
            return f"{seconds // unit} {name}{'s' if seconds > unit else ''}"
    return f"{seconds} seconds"


def _head(evaluation: Evaluation, context: Context) -> str:
    path, origin, costs = evaluation.agent, evaluation.origin, evaluation.costs
    episodes = int(path.begins.sum())
    facts = {
        "Data": f"{origin.source}, {origin.venue}, quoted in {origin.quote}",
        "Assets": ", ".join(path.assets),
        "Span": f"{evaluation.span.name}: {moment(path.timestamps[0])} to {moment(path.timestamps[-1])} UTC",
        "Bars": f"{len(path):,} of {bar_length(path.bar_seconds)}, in {episodes} episode{'s' if episodes > 1 else ''}",
        "Costs": (
            f"taker fee {costs['taker_fee'] * 1e4:.4g} bps, half-spread {costs['half_spread'] * 1e4:.4g} bps, "
            f"slippage {costs['slippage'] * 1e4:.4g} bps, orders from {costs['min_notional']:,.2f} {origin.quote}"
        ),
        "Capital": f"{costs['capital']:,.0f} {origin.quote}",
        "Seed": str(context.seed),
        "Code": context.code_version,
        "Configuration": context.config_hash,
    }
    listing = "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items())
    notes = "".join(f"<p class='note'>{html.escape(note)}</p>" for note in context.notes)
    return (
        f"<header><p class='kicker'>Backtest report</p><h1>{html.escape(context.run)}</h1>"
        f"<p class='verdict'>{html.escape(verdict(evaluation))}</p>{notes}<dl class='facts'>{listing}</dl></header>"
    )


def _metrics(evaluation: Evaluation) -> str:
    names = list(evaluation.paths)
    rows = []
    for group, keys in itertools.groupby(METRICS, lambda key: METRICS[key].group):
        title = f"against {held_name(evaluation.agent.assets)}" if group == AGAINST_HELD else group
        rows.append([f"<span class='group'>{html.escape(title[0].upper() + title[1:])}</span>", *[""] * len(names)])
        for key in keys:
            metric = METRICS[key]
            unit = f" <span class='unit'>{shown_unit(metric.unit)}</span>"
            label = f"<span title='{html.escape(metric.description, quote=True)}'>{figure_name(key)}</span>{unit}"
            rows.append([label, *(shown(evaluation.metrics[name][key], metric.unit) for name in names)])
    body = table(["", *(html.escape(name) for name in names)], rows, highlight=1)
    caption = (
        "All strategies ran through the same environment, bars and costs, each from cash. One year is 365 days. Momentum holds the "
        "better half of the assets, inverse volatility all of them, both by the "
        f"{LOOK_BACK_SECONDS // 86_400} days before and rebalanced daily; {RANDOM} go to random portfolios at random bars, so "
        f"often that as much is traded as by the agent. {UNDEFINED} is undefined; see the definitions at the end. In the plots, drag to "
        "zoom and double-click to reset."
    )
    return f"<section><h2>Figures</h2>{body}<p class='caption'>{caption}</p></section>"


def _leads(evaluation: Evaluation) -> str:
    rows = [
        [
            html.escape(name),
            signed(
                f"{ahead.total_return * 100:+,.2f}" if abs(ahead.total_return) < 100 else f"{ahead.total_return * 100:+.3g}"
            ),
            signed(f"{ahead.mean_log_growth * 1e4:+,.3f}"),
            UNDEFINED if ahead.t is None else signed(f"{ahead.t:+.2f}"),
        ]
        for name, ahead in leads(evaluation).items()
    ]
    body = table(["agent against", "total return, points", f"growth, {LOG_UNIT}", "t"], rows, highlight=None)
    caption = (
        "The agent's lead over each strategy. t is the mean over the standard error of the difference in log growth per bar, "
        "with bars taken as independent; it speaks of this one path and not of the configurations tried before it."
    )
    return f"<section><h2>Leads</h2>{body}<p class='caption'>{caption}</p></section>"


def _monthly(evaluation: Evaluation) -> str:
    rows = []
    for year, months in sorted(monthly_returns(evaluation.agent).items()):
        total = math.prod(1 + value for value in months.values()) - 1
        cells = [_tinted(months[month]) if month in months else "" for month in range(1, 13)]
        rows.append([str(year), *cells, f"<b>{_tinted(total)}</b>"])
    body = table(["", *MONTHS, "year"], rows, highlight=None)
    caption = (
        "Return of the agent after costs, in %, by calendar month (UTC) and compounded over the year; the first and last month "
        "may be incomplete."
    )
    return f"<section><h2>Monthly returns of the agent</h2>{body}<p class='caption'>{caption}</p></section>"


def _tinted(value: float) -> str:
    sign = "gain" if value > 0 else "loss" if value < 0 else ""
    return f"<span class='{sign}'>{signed(f'{value * 100:.1f}')}</span>"


def definitions() -> str:
    """What every figure of METRICS means, as a section of the page."""
    rows = [
        [figure_name(key), shown_unit(metric.unit), html.escape(metric.description)]
        for key, metric in METRICS.items()
        if metric.group != AGAINST_HELD
    ]
    body = table(["figure", "unit", "meaning"], rows, highlight=None)
    return f"<section class='definitions'><h2>Definitions</h2>{body}</section>"


def figure_name(key: str) -> str:
    """A figure of METRICS as the report calls it."""
    named = {
        "cagr": "CAGR",
        "cvar_95": "CVaR 95 %",
        "max_drawdown_bars": "Length of max drawdown",
        "break_even_fee": "Break-even fee",
        "sharpe_low": "Sharpe, 95 % from",
        "sharpe_high": "Sharpe, 95 % to",
        "sharpe_lo": "Sharpe, Lo",
    }
    return named.get(key, key.removesuffix("_held").replace("_", " ").capitalize())

"""A validation's page: one HTML file that needs nothing but itself, the verdict first."""

from __future__ import annotations

import html
import itertools
import pathlib
from typing import Any

import numpy as np
from plotly.offline import get_plotlyjs

from cappuccino.evaluation.baselines import LOOK_BACK_SECONDS, RANDOM, held_name
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.definitions import AGAINST_HELD, METRICS
from cappuccino.evaluation.figures import Figure
from cappuccino.evaluation.page import STYLE, table
from cappuccino.evaluation.report import LOG_UNIT, UNDEFINED, bar_length, definitions, figure_name, shown, shown_unit, signed
from cappuccino.validation.drawn import counted, over_paths
from cappuccino.validation.figures import figures
from cappuccino.validation.findings import Findings
from cappuccino.validation.intervals import DRAWS
from cappuccino.validation.regimes import TERCILES, TREND, VOLATILITY
from cappuccino.validation.stress_section import stress_section

OWN_STYLE = """
.range { color: var(--soft); font-weight: 400; font-size: 12px; margin-left: 12px; display: inline-block; min-width: 15ch; }
.dense th, .dense td { padding: 4px 7px; }
.dense th:first-child, .dense td:first-child { padding-left: 0; }
.dense table { font-size: 13px; }
.dense .range, .dense .unit { display: block; font-size: 11.5px; margin-left: 0; min-width: 0; }
.stress td:last-child, .stress th:last-child { text-align: left; white-space: normal; padding-left: 24px; }
.stress td:last-child { color: var(--soft); }
@media print {
  .dense table { break-inside: auto; font-size: 8px; }
  .dense th, .dense td { padding: 2px 3px; }
  .range, .dense .range, .dense .unit { font-size: 7px; }
  tr { break-inside: avoid; }
  tr:has(.group) { break-after: avoid; }
  h1 { font-size: 20px; margin: 0 0 8px; }
  h2 { font-size: 13px; margin: 18px 0 4px; }
  .verdict { font-size: 12.5px; padding: 8px 12px; }
  .facts { gap: 6px 20px; margin: 10px 0 0; padding: 8px 0; }
}
"""
REPORTED_ELSEWHERE = ("sharpe_low", "sharpe_high")
"""Figures of METRICS that belong to a single path's report; here intervals have a table of their own."""


def write_page(findings: Findings, numbers: dict[str, Any], path: pathlib.Path) -> None:
    """Write the page, of about 6 MB, plotly.js inside; it loads nothing from anywhere. numbers: those of the record."""
    path.write_text(render(findings, numbers), encoding="utf-8")


def render(findings: Findings, numbers: dict[str, Any]) -> str:
    """The page's HTML."""
    drawn = {part: "".join(map(_plot, some)) for part, some in figures(findings, numbers).items()}
    title = html.escape(f"{findings.config.name}: validation")
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><style>{STYLE}{OWN_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><main>"
        f"{_head(findings, numbers)}{drawn['paths']}{_intervals(numbers)}{_metrics(numbers)}{stress_section(numbers)}{drawn['stress']}"
        f"{drawn['trading']}{_regimes(numbers)}{drawn['choosing']}{_luck(findings, numbers)}{definitions()}"
        "</main></body></html>\n"
    )


def _plot(figure: Figure) -> str:
    drawn = figure.plot.to_html(full_html=False, include_plotlyjs=False, config={"displayModeBar": False, "responsive": True})
    return (
        f"<section class='plot'><h2>{html.escape(figure.title)}</h2>{drawn}"
        f"<p class='caption'>{html.escape(figure.caption)}</p></section>"
    )


def facts(findings: Findings, numbers: dict[str, Any]) -> dict[str, str]:
    """What was validated, on what and how."""
    config, bars, origin = findings.config, numbers["bars"], numbers["origin"]
    costs, trainings = config.costs, numbers["trainings"]
    seeds, champions = numbers["seeds"], sum(one["out_of_sample"] is None for one in trainings)
    return {
        "Data": f"{origin['source']}, {origin['venue']}, quoted in {origin['quote']}",
        "Assets": ", ".join(numbers["assets"]),
        "Tested": f"{_moment(bars['first'])} to {_moment(bars['last'])} UTC",
        "Bars": f"{bars['number']:,} of {bar_length(bars['seconds'])}",
        "Split": f"{config.validation.name}: {counted(numbers['folds'], 'fold')} of {counted(numbers['groups'], 'group')}",
        "Paths": f"{numbers['paths']} by {counted(len(seeds), 'seed')} ({', '.join(map(str, seeds))})",
        "Trainings": f"{len(trainings)}, {champions} of them the champion's; {numbers['env_steps']:,} env steps in all",
        "Agent": f"{config.agent.name}, {config.network.name} network, look-back {config.network.lookback}",
        "Costs": (
            f"taker fee {costs.taker_fee_bps:g} bps, half-spread {costs.half_spread_bps:g} bps, slippage {costs.slippage_bps:g} bps, "
            f"orders from {costs.min_notional:,.2f} {origin['quote']}"
        ),
        "Configuration": numbers["config_hash"],
        "Code": numbers["code_version"],
    }


def _head(findings: Findings, numbers: dict[str, Any]) -> str:
    listing = "".join(
        f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts(findings, numbers).items()
    )
    return (
        f"<header><p class='kicker'>Validation report</p><h1>{html.escape(findings.config.name)}</h1>"
        f"<p class='verdict'>{html.escape(numbers['said'])}</p><dl class='facts'>{listing}</dl></header>"
    )


def _moment(text: str) -> str:
    return text.removesuffix("Z").replace("T", " ")


def _intervals(numbers: dict[str, Any]) -> str:
    def cell(interval: dict[str, float | None] | None, scale: float, digits: str) -> str:
        if interval is None:
            return f"{UNDEFINED}<span class='range'></span>"
        ends = (interval[end] for end in ("estimate", "low", "high"))
        middle, low, high = (UNDEFINED if end is None else signed(format(scale * end, digits)) for end in ends)
        return f"{middle}<span class='range'>{low} to {high}</span>"

    rows = [
        [
            html.escape(name),
            cell(one["growth"], 1e4, ",.3f"),
            cell(one["sharpe"], 1, ",.2f"),
            cell(one["lead"], 1e4, "+,.3f"),
        ]
        for name, one in numbers["intervals"].items()
    ]
    share = f"{numbers['confidence']:.0%}"
    header = ["", f"growth, {LOG_UNIT}", "Sharpe ratio, a year", f"the agent's growth beyond it, {LOG_UNIT}"]
    caption = (
        "Of the mean over paths, and for the agent over seeds, at every bar, so that bars are the only sample: of log growth, and for "
        f"the Sharpe ratio of returns. Beside each figure its {share} interval by the stationary block bootstrap, {DRAWS} resamples, "
        f"but for the lead over {html.escape(numbers['verdict']['benchmark'])}, which is the verdict's. {UNDEFINED} does not vary, or "
        "has no end."
    )
    return f"<section><h2>How sure the figures are</h2>{table(header, rows, highlight=None)}<p class='caption'>{caption}</p></section>"


def _metrics(numbers: dict[str, Any]) -> str:
    agent = [one for paths in numbers["metrics"][AGENT] for one in paths]
    others = {name: paths for name, paths in numbers["metrics"].items() if name != AGENT}
    rows = []
    kept = [key for key in METRICS if key not in REPORTED_ELSEWHERE]
    for group, keys in itertools.groupby(kept, lambda key: METRICS[key].group):
        title = f"against {held_name(tuple(numbers['assets']))}" if group == AGAINST_HELD else group
        rows.append([f"<span class='group'>{html.escape(title[0].upper() + title[1:])}</span>", *[""] * (1 + len(others))])
        for key in keys:
            unit = METRICS[key].unit
            low, high = (shown(over_paths(agent, key, quantile), unit) for quantile in (0, 1))
            rows.append(
                [
                    f"<span title='{html.escape(METRICS[key].description, quote=True)}'>{figure_name(key)}</span>"
                    + (f"<span class='unit'>{shown_unit(unit)}</span>" if shown_unit(unit) not in ("", "%") else ""),
                    f"{shown(over_paths(agent, key), unit)}<span class='range'>{low} to {high}</span>",
                    *(shown(over_paths(paths, key), unit) for paths in others.values()),
                ]
            )
    body = table(["", AGENT, *map(html.escape, others)], rows, highlight=1)
    caption = (
        "The median over paths, of the agent over seeds too, with its lowest and highest below. All strategies ran through the same "
        "environment, bars and costs, each from cash. One year is 365 days. Momentum holds the better half of the assets, inverse "
        f"volatility all of them, both by the {LOOK_BACK_SECONDS // 86_400} days before and rebalanced daily; {RANDOM} go to random "
        f"portfolios at random bars, so often that as much is traded as by the agent. {UNDEFINED} is undefined; see the definitions at "
        "the end."
    )
    return f"<section class='dense'><h2>Figures</h2>{body}<p class='caption'>{caption}</p></section>"


def _regimes(numbers: dict[str, Any]) -> str:
    parts, total = numbers["regimes"], numbers["bars"]["number"]
    names = list(numbers["growth"])
    rows = []
    for kind, regimes in parts.items():
        rows.append([f"<span class='group'>By {html.escape(kind)}</span>", *[""] * (1 + len(names))])
        for name, regime in regimes.items():
            rows.append(
                [
                    html.escape(name),
                    f"{regime['bars'] / total:.1%}",
                    *(signed(f"{100 * regime['growth'][who]:,.1f}") for who in names),
                ]
            )
    whole = next(iter(parts.values())).values()
    sums = [signed(f"{100 * sum(regime['growth'][who] for regime in whole):,.1f}") for who in names]
    rows.append(["<b>All bars</b>", "100.0%", *(f"<b>{text}</b>" for text in sums)])
    days = LOOK_BACK_SECONDS // 86_400
    volatility, trend = (", ".join(TERCILES[kind]) for kind in (VOLATILITY, TREND))
    caption = (
        "Log growth in %, summed over the bars of each kind: the parts add up to the last line. Growth is the mean over paths, and for "
        "the agent over seeds. Volatility and trend are the standard deviation and the sum of the log growth of the equal-weight market "
        f"over the {days} days up to the decision. {volatility.capitalize()}, and {trend}, are the lower, middle and upper third among "
        "all such values up to then, so that nobody looks ahead and the thirds need not be equal. Not known yet: the first weeks, and "
        "those behind a hole in the data."
    )
    body = table(["", "share of bars", *map(html.escape, names)], rows, highlight=2)
    return f"<section><h2>In which times</h2>{body}<p class='caption'>{caption}</p></section>"


def _luck(findings: Findings, numbers: dict[str, Any]) -> str:
    verdict, found = numbers["verdict"], numbers["overfitting"]
    year = np.sqrt(365 * 86_400 / numbers["bars"]["seconds"])
    tries = verdict["trials"]
    rows = [
        ["Configurations tried", f"{tries:,}", "Pruned ones too. With one there is no luck of choosing to take off."],
        [
            "Sharpe ratio of hedged returns, a year",
            UNDEFINED if verdict["hedged"] is None else signed(f"{verdict['hedged'] * year:.2f}"),
            "Of the mean returns over paths and seeds less beta times equal weight rebalanced.",
        ],
        ["Luck, a year", signed(f"{verdict['luck'] * year:.2f}"), "Expected of the best of so many tries of nothing."],
        [
            "Deflated Sharpe",
            f"{verdict['deflated']:.3f}",
            f"Probability that the true ratio is above luck's; found takes more than {findings.config.verdict.deflated:g}.",
        ],
    ]
    if found is not None:
        slope = UNDEFINED if found["slope"] is None else signed(f"{found['slope']:.2f}")
        rows += [
            [
                "PBO",
                f"{found['pbo']:.1%}",
                "Probability of backtest overfitting: reject above 10 %; about 50 % where nothing can be chosen.",
            ],
            [
                "Probability of loss",
                f"{found['probability_of_loss']:.1%}",
                "Share of halves on which the chosen one has a Sharpe ratio below 0.",
            ],
            [
                "Degradation slope",
                slope,
                "Of its Sharpe ratio on the other half, by that on the half that chose it; 1 where all of it holds.",
            ],
            [
                "Dominance violated by",
                f"{found['dominance_violation']:.3f}",
                "How far chosen ones lie below a random choice, as distribution functions, where they do so most; 0 is best.",
            ],
        ]
    note = "" if found is not None else f"<p class='note'>{_without_pbo(tries)}</p>"
    cells = [[html.escape(cell) for cell in row] for row in rows]
    body = table(["", "", ""], cells, highlight=None)
    return f"<section class='definitions'><h2>Luck</h2>{note}{body}</section>"


def _without_pbo(tries: int) -> str:
    if tries == 1:
        return (
            "One configuration alone has no probability of backtest overfitting (PBO): nothing was chosen. It takes a study, whose "
            "trials are compared."
        )
    return (
        f"This configuration was chosen from {tries:,}; what they returned bar by bar was not given, and the probability of backtest "
        "overfitting (PBO) takes that."
    )

"""The quality report as one HTML page that needs nothing else: table, coverage, price and volume."""

from __future__ import annotations

import html
import pathlib

import numpy as np
import plotly.graph_objects as go
import plotly.subplots
from jaxtyping import Float, Int

from cappuccino.bars.clock import utc
from cappuccino.bars.quality import PROBLEMS, AssetQuality, QualityReport, problems
from cappuccino.errors import InputError

PERIODS = 600
"""The range is drawn in at most this many periods of equal length, so that the page stays small."""

GAPS_LISTED = 20
"""The longest gaps of each asset that the page lists."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { padding: .25rem .45rem; text-align: right; border-bottom: 1px solid #ddd }
td { white-space: nowrap }
th:first-child, td:first-child { text-align: left }
"""


COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#555555", "#b8a500")
"""Of the assets, the same in every plot: told apart by the colour-blind too (Okabe and Ito)."""


def write_quality_page(report: QualityReport, path: pathlib.Path | str, *, title: str = "Quality of the bars") -> None:
    """Writes the page. Raises InputError if the file cannot be written."""
    heading = html.escape(title)
    figure = quality_figure(report).to_html(full_html=False, include_plotlyjs=True)
    page = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{heading}</title><style>{_STYLE}</style></head><body>
<h1>{heading}</h1>
<p>Bars of {report.bar_seconds} s; an outlier is a log return beyond {report.sigmas:g} robust standard deviations.</p>
{_summary(report)}
{figure}
<h2>Longest gaps</h2>
{_gaps(report)}
</body></html>
"""
    try:
        pathlib.Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def quality_figure(report: QualityReport) -> go.Figure:
    """Coverage of each asset over time, closes relative to the first with the outliers marked, and volumes."""
    first, last = min(a.first for a in report.assets), max(a.last for a in report.assets)
    slots = (last - first) // report.bar_seconds + 1
    edges = first + report.bar_seconds * np.unique(np.linspace(0, slots, min(slots, PERIODS) + 1).astype(np.int64))
    dates = edges[:-1].astype("datetime64[s]")
    figure = plotly.subplots.make_subplots(
        rows=3,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.2, 0.45, 0.35],
        subplot_titles=("Share of bars that are there", "Close relative to the first", "Volume relative to its mean"),
    )
    coverage = np.stack([_coverage(a, edges, report.bar_seconds) for a in report.assets])
    names = [a.asset for a in report.assets]
    figure.add_trace(
        go.Heatmap(x=dates, y=names, z=coverage, zmin=0, zmax=1, colorscale="Blues", showscale=False), row=1, col=1
    )
    for place, asset in enumerate(report.assets):
        line = {"color": COLOURS[place % len(COLOURS)], "width": 1.2}
        period = np.searchsorted(edges, asset.timestamps, side="right") - 1
        last_row = np.flatnonzero(np.diff(period, append=-1))
        reference = asset.close[np.isfinite(asset.close) & (asset.close > 0)][:1]
        base = float(reference[0]) if len(reference) else 1.0
        figure.add_trace(
            go.Scatter(x=dates[period[last_row]], y=asset.close[last_row] / base, name=asset.asset, mode="lines", line=line),
            row=2,
            col=1,
        )
        rows = np.searchsorted(asset.timestamps, asset.outliers)
        times = asset.timestamps[rows].astype("datetime64[s]")
        marks = {"symbol": "x", "size": 7, "color": "black"}
        outliers = go.Scatter(
            x=times, y=asset.close[rows] / base, mode="markers", marker=marks, name=f"{asset.asset} outliers", showlegend=False
        )
        figure.add_trace(outliers, row=2, col=1)
        volume = _mean_by_period(asset.volume, period, len(dates))
        figure.add_trace(go.Scatter(x=dates, y=volume, name=f"{asset.asset} volume", showlegend=False, line=line), row=3, col=1)
    figure.update_yaxes(type="log", row=2, col=1)
    figure.update_yaxes(type="log", row=3, col=1)
    figure.update_layout(height=900, template="plotly_white", margin={"l": 60, "r": 20, "t": 70, "b": 40})
    return figure


def _coverage(asset: AssetQuality, edges: Int[np.ndarray, "E"], bar_seconds: int) -> Float[np.ndarray, "P"]:
    there, _ = np.histogram(asset.timestamps[asset.timestamps % bar_seconds == 0], bins=edges)
    return there * bar_seconds / np.diff(edges)


def _mean_by_period(values: Float[np.ndarray, "T"], period: Int[np.ndarray, "T"], periods: int) -> Float[np.ndarray, "P"]:
    """Mean of the finite values of each period over the mean of all; NaN, which plotly leaves out, where there is none."""
    good = np.isfinite(values)
    count = np.bincount(period[good], minlength=periods)
    total = np.bincount(period[good], weights=values[good], minlength=periods)
    mean = np.divide(total, count, out=np.full(periods, np.nan), where=count > 0)
    overall = total.sum() / max(1, count.sum())
    return mean / overall if overall > 0 else mean


def _summary(report: QualityReport) -> str:
    headings = ["asset", "first", "last", "bars", "coverage", "gaps", "longest gap", *(name for name, _ in PROBLEMS)]
    rows = [
        [a.asset, utc(a.first), utc(a.last), f"{a.bars:,}", f"{a.coverage:.3%}", len(a.gaps), a.longest_gap, *problems(a)]
        for a in report.assets
    ]
    return _html_table(headings, rows)


def _gaps(report: QualityReport) -> str:
    rows = [
        [a.asset, utc(gap.start), gap.bars]
        for a in report.assets
        for gap in sorted(a.gaps, key=lambda gap: -gap.bars)[:GAPS_LISTED]
    ]
    return _html_table(["asset", "first missing bar", "bars"], rows) if rows else "<p>None.</p>"


def _html_table(headings: list[str], rows: list[list[object]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"

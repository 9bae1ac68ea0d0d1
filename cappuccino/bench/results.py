"""What is kept of a benchmark: its JSON, and the tables made from it for the terminal and for the page beside the benchmarks."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable
from typing import Any

from rich.table import Table

PACKAGES = ("jax", "jaxlib", "numpy", "numba")
MARKS = ("<!-- results -->\n", "<!-- end of results -->\n")
"""What stands between them on the page is replaced."""


def circumstances(root: pathlib.Path, command: str) -> dict[str, Any]:
    """Machine, versions, command, commit and date. A version is None where the package is not installed."""
    info = pathlib.Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    return {
        "machine": {
            "cpu": models[0].split(":", 1)[1].strip() if models else platform.processor(),
            "cores": os.cpu_count(),
            "load_before": round(os.getloadavg()[0], 2),
            "system": platform.system(),
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "command": command,
        "commit": _git(root, "rev-parse", "--short=12", "HEAD"),
        "uncommitted": sorted(
            path
            for line in (_git(root, "status", "--porcelain", "--", "cappuccino", "experiments", "conf") or "").splitlines()
            if not (path := line.split(maxsplit=1)[1]).startswith(
                ("experiments/benchmarks/results", "experiments/benchmarks/README")
            )
        ),
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
    }


def read_results(folder: pathlib.Path) -> list[dict[str, Any]]:
    """All results in a folder, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def terminal_table(results: Iterable[dict[str, Any]]) -> Table:
    """A line for every row of every benchmark that was measured."""
    table = Table("benchmark", "figure", "spread", "must reach", "aim", "", title_justify="left")
    for result in results:
        for row in result["rows"]:
            style = {"reached": "green", "falls short": "red"}.get(row["verdict"], "")
            name = f"{result['benchmark']}: {row['label']}"
            table.add_row(name, *_cells(row), f"[{style}]{row['verdict']}[/]" if style else row["verdict"])
    return table


def write_page(page: pathlib.Path, results: Iterable[dict[str, Any]]) -> None:
    """Put the results between the MARKS of a page."""
    text = page.read_text()
    head, rest = text.split(MARKS[0])
    tail = rest.split(MARKS[1])[1]
    page.write_text(head + MARKS[0] + page_text(results) + MARKS[1] + tail)


def page_text(results: Iterable[dict[str, Any]]) -> str:
    """The table in Markdown, with the command that made each result, on what and when."""
    lines = ["| benchmark | figure | spread | must reach | aim | |", "|---|---|---|---|---|---|"]
    sources = []
    for result in results:
        for row in result["rows"]:
            cells = [f"{result['benchmark']}: {row['label']}", *_cells(row), row["verdict"]]
            lines.append(f"| {' | '.join(cells)} |")
        machine, versions = result["machine"], result["versions"]
        named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        changed = f" with uncommitted changes in {', '.join(result['uncommitted'])}" if result["uncommitted"] else ""
        warm = {side: s for row in result["rows"] for side, s in row["warm_up_s"].items()}
        told = (
            f" Warm-up, compilation included, apart: {', '.join(f'{side} {s:.1f} s' for side, s in warm.items())}."
            if warm
            else ""
        )
        sources.append(
            f"- **{result['benchmark']}**: {result['question']} `{result['command']}`, {result['date']}, commit "
            f"{result['commit']}{changed}; {machine['cores']} cores of {machine['cpu']}, load {machine['load_before']} before it "
            f"began; {named}.{told}"
        )
    return "\n".join([*lines, "", *sources, ""])


def _cells(row: dict[str, Any]) -> list[str]:
    unit = f" {row['unit']}" if row["unit"] else ""
    sign = "≥" if row["higher_is_better"] else "≤"
    low, high = row["spread"]
    bars = (row["must"], row["aim"])
    return [
        f"{_short(row['median'])}{unit}",
        "exact" if row["exact"] else f"{_short(low)} to {_short(high)}",
        *("" if bar is None else f"{sign} {_short(bar)}{unit}" for bar in bars),
    ]


def _short(value: float) -> str:
    """Three digits; whole numbers whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(root: pathlib.Path, *words: str) -> str | None:
    """What git says; None where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.rstrip()

"""What is drawn of a validation, on its page as in its picture: figures over paths, and the path that is the mean of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.figures import OTHER_COLOURS
from cappuccino.evaluation.report import LOG_UNIT
from cappuccino.validation.crossed import Crossed

DISTRIBUTED = {
    "total_return": "equity at the end, start = 1 (log scale)",
    "sharpe": "Sharpe ratio, a year",
    "mean_log_growth": f"growth, {LOG_UNIT}",
}
"""Figures of METRICS whose distribution over paths is drawn, and how its axis is called."""
PATH_POINTS = 1000
"""Most points of each of many paths."""


def drawn_value(figure: str, value: float) -> float:
    """A figure as its distribution is drawn: total return as a multiple, growth in units of 1e-4."""
    return {"total_return": 1 + value, "mean_log_growth": 1e4 * value}.get(figure, value)


def over_paths(measured: Sequence[dict[str, float | None]], figure: str, quantile: float = 0.5) -> float | None:
    """A quantile over those paths for which a figure is defined; None where it is for none."""
    known = [value for one in measured if (value := one[figure]) is not None]
    return float(np.quantile(known, quantile)) if known else None


def path_values(numbers: dict[str, Any], figure: str) -> list[float]:
    """Of the agent over all paths and seeds, as drawn; where it is defined."""
    return [drawn_value(figure, one[figure]) for paths in numbers["metrics"][AGENT] for one in paths if one[figure] is not None]


def baseline_values(numbers: dict[str, Any], figure: str) -> dict[str, float]:
    """Of every baseline that has it, the median over paths, as drawn."""
    known = {
        name: [one[figure] for one in paths if one[figure] is not None]
        for name, paths in numbers["metrics"].items()
        if name != AGENT
    }
    return {name: drawn_value(figure, float(np.median(values))) for name, values in known.items() if values}


def baseline_colours(numbers: dict[str, Any]) -> dict[str, str]:
    """As in a run's report: the baselines' colours in their order."""
    return dict(zip([name for name in numbers["metrics"] if name != AGENT], OTHER_COLOURS, strict=False))


def mean_path(crossed: Crossed) -> Path:
    """The mean over paths and seeds, bar by bar: of log growth, of weights, and of money as a share of the equity before."""
    paths = [path for some in crossed.agent for path in some]
    first = paths[0]
    equity = first.equity[0] * np.exp(np.concatenate([[0.0], np.cumsum(crossed.growth())]))

    def mean_share(field: str) -> Float[np.ndarray, "N"]:
        return np.mean([getattr(path, field) / path.equity[:-1] for path in paths], axis=0) * equity[:-1]

    return dataclasses.replace(
        first,
        equity=equity,
        weights=np.mean([path.weights for path in paths], axis=0),
        notional=mean_share("notional"),
        fees=mean_share("fees"),
        slippage=mean_share("slippage"),
    )


def counted(number: int, what: str) -> str:
    """A number of things in words: "1 path", "2 paths"."""
    return f"{number:,} {what}{'s' * (number != 1)}"

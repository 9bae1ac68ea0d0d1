"""The equity chart: the trader's own line from its journal, beside it what a replay of its session found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cappuccino.dashboard.replays import Replays
from cappuccino.dashboard.traders import Trader
from cappuccino.thinning import thin
from cappuccino.trading.journal_reading import read_equity
from cappuccino.trading.review_table import MEANING

POINTS = 1500
"""Most points of a drawn line."""

OWN = "trader"

CAUSE_MEANING = {
    **MEANING,
    "carried": "what earlier differences changed in holdings",
    "unexplained": "none of these",
}


def chart(trader: Trader, replays: Replays) -> dict[str, Any]:
    """`lines`: name, `x` (closes, Unix milliseconds), `y` (quote currency), `last` and `change`, the trader's own first; `said`: why
    there is no backtest, empty where there is one or it is being made, which `is_waiting` says."""
    equity = read_equity(trader.journal)
    length = trader.bar_seconds() if equity else 0
    lines = [_line(OWN, [bar + length for bar, _ in equity], [value for _, value in equity])] if equity else []
    replay = replays.of(trader, equity[-1][0] if equity else None)
    if replay is not None and "lines" in replay:
        lines += [_line(name, replay["closes"], values) for name, values in replay["lines"].items()]
    return {"lines": lines, "said": "" if replay is None else replay.get("said", ""), "is_waiting": replay is None}


def _line(name: str, closes: Sequence[float], values: Sequence[float]) -> dict[str, Any]:
    kept = thin(np.asarray(values, np.float64), POINTS).tolist()
    return {
        "name": name,
        "x": [int(1000 * closes[at]) for at in kept],
        "y": [round(values[at], 2) for at in kept],
        "last": values[-1],
        "change": values[-1] / values[0] - 1 if values[0] > 0 else 0.0,
    }

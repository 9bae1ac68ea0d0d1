"""What a trader's journal shows of its artifact, as the registry keeps it."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cappuccino.trading.folder import JOURNAL_NAME
from cappuccino.trading.journal_reading import read_decisions, read_marks
from cappuccino.trading.review import Session, review


def shown(folder: pathlib.Path, session: Session) -> dict[str, Any]:
    """Of a trader's folder and its session: first and last bar, decisions, bars with something unexplained, risk stops, the largest
    fall from the highest equity as a share, and equity in quote currency by bar's opening."""
    marks = read_marks(folder / JOURNAL_NAME)
    decided = [row for row in read_decisions(folder / JOURNAL_NAME) if row["reason"] is None]
    equity = np.array([mark["equity"] for mark in marks])
    return {
        "first_bar": marks[0]["bar"],
        "last_bar": marks[-1]["bar"],
        "decisions": len(decided),
        "bars_unexplained": sum(not row.is_explained for row in review(session)),
        "stops": stops([mark["risk"] for mark in marks]),
        "drawdown": float(np.max(1 - equity / np.maximum.accumulate(equity))),
        "equity": {str(mark["bar"]): mark["equity"] for mark in marks},
    }


def stops(records: Sequence[dict[str, Any] | None]) -> int:
    """How often the risk rules newly stopped something, by the records of marks in a row; what the first one holds is older."""
    found = 0
    for before, now in itertools.pairwise(records):
        if before is not None and now is not None:
            found += sum(now[name] and not before[name] for name in ("is_stopped", "is_day_stopped"))
            found += sum(later > sooner for sooner, later in zip(before["resting"], now["resting"], strict=True))
    return found

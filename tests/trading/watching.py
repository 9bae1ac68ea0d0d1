"""A watch that remembers what a trader told it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from cappuccino.trading.trader import Trader
from cappuccino.trading.watch import BarReport


class Notes:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.bars: list[BarReport] = []
        self.events: list[tuple[str, str]] = []
        self.statuses: list[int] = []

    def event(self, kind: str, message: str, **values: Any) -> None:
        del values
        self.events.append((kind, message))

    def bar(self, report: BarReport) -> None:
        self.bars.append(report)

    def request(self, status: int) -> None:
        self.statuses.append(status)

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def watched(one: Trader) -> Notes:
    """Have `Notes` watch a trader, and nobody else."""
    notes = Notes()

    @contextlib.contextmanager
    def remembering(log: Any) -> Iterator[Notes]:
        del log
        yield notes

    one._watched = remembering  # type: ignore[assignment]  # pyright: ignore
    return notes

"""One UTC day of trading in a few lines."""

from __future__ import annotations

import collections
import datetime

from cappuccino.trading.watch.protocol import BarReport

DAY_S = 86_400


class Day:
    """Gathers bars and rejects from `since` (Unix seconds) until its UTC day is over."""

    def __init__(self, since: float) -> None:
        self._since, self._number = since, since // DAY_S
        self._first: float | None = None
        self._last: float | None = None
        self._bars = self._fills = 0
        self.rejects = 0
        self._reasons: collections.Counter[str] = collections.Counter()

    def is_over(self, at: float) -> bool:
        """Whether `at` is on a later day."""
        return at // DAY_S > self._number

    def add(self, report: BarReport) -> None:
        """A bar of this day."""
        self._bars += 1
        self._fills += report.fills
        if report.equity is not None:
            self._first = report.equity if self._first is None else self._first
            self._last = report.equity
        if report.reason is not None:
            self._reasons[report.reason] += 1

    def text(self) -> str:
        """The summary. The change is from the first equity of the day that was seen."""
        start = datetime.datetime.fromtimestamp(self._since, datetime.UTC)
        begins = f"{start:%Y-%m-%d}" if self._since % DAY_S == 0 else f"{start:%Y-%m-%d from %H:%M} UTC"
        if self._first is None or self._last is None:
            money = "equity unknown"
        else:
            share = f" ({self._last / self._first - 1:+.2%})" if self._first > 0 else ""
            money = f"equity {self._last:,.2f}, {self._last - self._first:+,.2f}{share}"
        lines = [
            f"{begins}: {money}",
            f"{self._bars} bars, {self._fills} orders filled, {self.rejects} rejected",
            *(f"{count} bars without a decision: {reason}" for reason, count in self._reasons.most_common()),
        ]
        return "\n".join(lines)

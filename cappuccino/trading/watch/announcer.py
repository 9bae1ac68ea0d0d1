"""What of a trader's events goes out to people, and when: never on the thread that trades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cappuccino.trading.log import Log
from cappuccino.trading.watch.background import Background
from cappuccino.trading.watch.notify import Heartbeat, Target
from cappuccino.trading.watch.protocol import BarReport, Kind
from cappuccino.trading.watch.summary import DAY_S, Day

ANNOUNCED: frozenset[Kind] = frozenset({"halt", "stop", "reject", "stale", "recovered", "refused", "crashed"})


class Undelivered(Exception):
    """The other side did not take it."""


class Announcer:
    """A `Watch` that sends. Each target and the heartbeat has a queue and a thread of its own: one that hangs delays no other.

    name: the trader's, in every title. failed: called for each thing that was not delivered.
    """

    def __init__(
        self,
        name: str,
        targets: Sequence[Target],
        heartbeat: Heartbeat | None,
        now: float,
        log: Log,
        failed: Callable[[], None],
    ) -> None:
        self._name = name
        self._lines = [(target, Background(target.label, log, failed)) for target in targets]
        self._heartbeat = heartbeat
        self._pulse = None if heartbeat is None else Background("heartbeat", log, failed, size=2)
        self._day = Day(now)

    def event(self, kind: Kind, message: str, **values: Any) -> None:
        """See `Watch.event`."""
        if kind == "reject":
            self._day.rejects += 1
        if kind in ANNOUNCED:
            details = [f"{name}: {value}" for name, value in values.items()]
            self._send(f"{self._name}: {kind}", "\n".join([message, *details]))

    def bar(self, report: BarReport) -> None:
        """See `Watch.bar`. The summary of a UTC day goes out with its last bar, or the first one later."""
        if self._day.is_over(report.bar):
            self._end_day(report.bar)
        self._day.add(report)
        if self._day.is_over(report.at):
            self._end_day(report.at)
        if self._pulse is not None and self._heartbeat is not None:
            self._pulse.put(lambda beat=self._heartbeat.beat: _deliver(beat))

    def request(self, status: int) -> None:
        """See `Watch.request`: nobody is told."""
        del status

    def close(self, timeout_s: float) -> None:
        """Send what waits, at most for `timeout_s` a queue."""
        for _, line in self._lines:
            line.close(timeout_s)
        if self._pulse is not None:
            self._pulse.close(timeout_s)

    def _end_day(self, at: float) -> None:
        """Tell of the day; another one begins, which `at` is in."""
        self._send(f"{self._name}: daily summary", self._day.text())
        self._day = Day(at // DAY_S * DAY_S)

    def _send(self, title: str, body: str) -> None:
        for target, line in self._lines:
            line.put(lambda send=target.send: _deliver(lambda: send(title, body)))


def _deliver(send: Callable[[], bool]) -> None:
    if not send():
        raise Undelivered

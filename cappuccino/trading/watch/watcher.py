"""All that watches a trader behind one face, put together from configuration and environment."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cappuccino.config.watch import WatchConfig
from cappuccino.trading.log import Log
from cappuccino.trading.watch import notify
from cappuccino.trading.watch.announcer import Announcer
from cappuccino.trading.watch.protocol import BarReport, Kind, Watch

CLOSE_S = 5.0
"""Seconds that a trader waits at its end for what is still to be sent, for each queue."""


class Watcher:
    """A `Watch` that tells others, each of whom may fail without the trader or the next one noticing: it is logged and counted."""

    def __init__(self, watches: Sequence[Watch], log: Log, failed: Callable[[], None]) -> None:
        self._watches, self._log, self._failed = tuple(watches), log, failed

    def event(self, kind: Kind, message: str, **values: Any) -> None:
        """See `Watch.event`."""
        self._tell(lambda watch: watch.event(kind, message, **values))

    def bar(self, report: BarReport) -> None:
        """See `Watch.bar`."""
        self._tell(lambda watch: watch.bar(report))

    def request(self, status: int) -> None:
        """See `Watch.request`."""
        self._tell(lambda watch: watch.request(status))

    def _tell(self, tell: Callable[[Watch], None]) -> None:
        for watch in self._watches:
            try:
                tell(watch)
            except Exception as error:  # noqa: BLE001 - who watches does not stop who trades
                self._report(type(watch).__name__, error)

    def _report(self, who: str, error: Exception) -> None:
        try:
            self._failed()
            self._log.error("watch failed", queue=who, error=type(error).__name__)
        except Exception:  # noqa: BLE001 - a full disk, say
            print(f"watch failed: {who}, {type(error).__name__}, and it could not be logged", file=sys.stderr)


@contextlib.contextmanager
def open_watch(
    config: WatchConfig,
    name: str,
    log: Log,
    now: Callable[[], float],
    bar_seconds: int,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Watcher]:
    """What the configuration and the environment ask for, for as long as the block lasts; at its end what waits is sent.

    name: the trader's. now: the trader's time, which other threads ask for.
    Raises InputError for a URL in the environment that is none, and an address that cannot be listened at.
    """
    targets, heartbeat = notify.targets(environment), notify.heartbeat(config.heartbeat_deadline_s, environment)
    watches: list[Watch] = []
    failed: Callable[[], None] = _nothing
    with contextlib.ExitStack() as stack:
        if config.port is not None:
            from cappuccino.trading.watch.endpoint import Endpoint
            from cappuccino.trading.watch.metrics import Metrics

            metrics = Metrics(now, bar_seconds)
            endpoint = Endpoint(metrics, config.host, config.port)
            stack.callback(endpoint.close)
            log.info("watch listens", host=config.host, port=endpoint.port)
            watches.append(metrics)
            failed = metrics.undelivered
        if targets or heartbeat is not None:
            announcer = Announcer(name, targets, heartbeat, now(), log, failed)
            stack.callback(announcer.close, CLOSE_S)
            watches.append(announcer)
        yield Watcher(watches, log, failed)


def watch_hosts(config: WatchConfig, environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The hosts that notifications and heartbeat speak to, for `hosts.allowed_hosts(named=...)`."""
    heartbeat = notify.heartbeat(config.heartbeat_deadline_s, environment)
    own = frozenset() if heartbeat is None else frozenset({heartbeat.host})
    return own.union(config.hosts, *(target.hosts() for target in notify.targets(environment)))


def _nothing() -> None:
    """Nobody counts."""

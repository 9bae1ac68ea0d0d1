"""The trader in figures, as Prometheus reads them, and its health in one word. Imported only where a port is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypedDict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from cappuccino.trading.watch.protocol import KINDS, BarReport, Kind

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds; a decision takes below 0.02."""

STALE_BARS = 2
"""Bars' time without a handled bar, or without a new one from the venue, from which on a trader is stale."""

State = Literal["running", "halted", "stale"]


class Health(TypedDict):
    """state: running, halted or stale. last_bar: opening of the last handled bar; age_s: seconds of the trader's time since it
    was handled, or since the start. unknown_orders: orders whose fate is not known."""

    state: State
    last_bar: int | None
    age_s: float
    unknown_orders: int


class Metrics:
    """A `Watch` that counts.

    now: the trader's time; safe to call from another thread.
    """

    def __init__(self, now: Callable[[], float], bar_seconds: int) -> None:
        self.registry = CollectorRegistry()
        self._now, self._limit = now, STALE_BARS * bar_seconds
        self._handled_at = now()
        self._report: BarReport | None = None
        self._is_halted = False

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"cappuccino_{name}", about, labels, registry=self.registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"cappuccino_{name}", about, labels, registry=self.registry)

        self._values = {
            "equity": gauge("equity", "The trader's equity at the last close, quote currency"),
            "drawdown": gauge("drawdown_ratio", "Share of the highest equity that is lost"),
            "cash": gauge("cash", "The trader's cash, quote currency"),
            "open_orders": gauge("open_orders", "Orders that may still fill"),
            "unknown_orders": gauge("unknown_orders", "Orders whose fate is not known"),
            "differences": gauge("reconcile_differences", "Differences between venue and ledger at the last look"),
        }
        self._weights = gauge("weight_ratio", "Share of equity in an asset", "asset")
        age = gauge("last_bar_age_seconds", "Trader's time since the close of the last bar that the venue served")
        age.set_function(lambda: self._age())
        gauge("stale", "Whether no bar came or was handled for two bars' time").set_function(lambda: self._is_stale())
        gauge("halted", "Whether the kill switch is thrown").set_function(lambda: self._is_halted)
        self._latency = Histogram(
            "cappuccino_decision_latency_seconds",
            "Bars parsed to orders planned",
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._bars = counter("bars", "Bars handled", "decided")
        self._fills = counter("fills", "Orders filled, in part at least")
        self._events = counter("events", "What was told", "kind")
        self._rejects = counter("rejects", "Orders that the venue refused")
        self._requests = counter("requests", "Answers of the venue by HTTP status", "status")
        self._limited = counter("rate_limited", "Answers of the venue with status 429")
        self._failed = counter("notifications_failed", "Notifications and heartbeats that were not delivered")
        for kind in KINDS:
            self._events.labels(kind)
        for decided in ("true", "false"):
            self._bars.labels(decided)

    def event(self, kind: Kind, message: str, **values: Any) -> None:
        """See `Watch.event`."""
        del message, values
        self._events.labels(kind).inc()
        if kind == "reject":
            self._rejects.inc()
        if kind in ("halt", "started"):
            self._is_halted = kind == "halt"

    def bar(self, report: BarReport) -> None:
        """See `Watch.bar`."""
        self._handled_at, self._report = report.at, report
        for name, value in self._values.items():
            told = getattr(report, name)
            if told is not None:
                value.set(told)
        for asset, weight in report.weights.items():
            self._weights.labels(asset).set(weight)
        if report.latency_s is not None:
            self._latency.observe(report.latency_s)
        self._bars.labels("true" if report.reason is None else "false").inc()
        self._fills.inc(report.fills)

    def request(self, status: int) -> None:
        """See `Watch.request`."""
        self._requests.labels(str(status)).inc()
        if status == 429:
            self._limited.inc()

    def undelivered(self) -> None:
        """A notification or heartbeat failed."""
        self._failed.inc()

    def health(self) -> Health:
        """How it stands now."""
        report = self._report
        return {
            "state": "halted" if self._is_halted else "stale" if self._is_stale() else "running",
            "last_bar": None if report is None else report.bar,
            "age_s": round(self._now() - self._handled_at, 3),
            "unknown_orders": 0 if report is None else report.unknown_orders,
        }

    def _age(self) -> float:
        report = self._report
        if report is None or report.age is None:
            return self._now() - self._handled_at
        return self._now() - report.at + report.age

    def _is_stale(self) -> bool:
        return max(self._age(), self._now() - self._handled_at) > self._limit

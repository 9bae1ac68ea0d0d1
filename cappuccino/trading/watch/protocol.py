"""What the trader tells whoever watches it. No call delays or raises into the order path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

Kind = Literal["started", "stopped", "halt", "stop", "reject", "stale", "recovered", "refused", "crashed"]
"""halt: the kill switch. stop: a risk rule's. reject: an order the venue refused. stale, recovered: bars at which the policy decides
nothing begin and end, or the venue does not answer. refused: a person has to look. crashed: a defect of ours ends the process."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclasses.dataclass(frozen=True)
class BarReport:
    """What there is to say of one bar once it was handled; None where it is not known.

    bar: its opening; at: the trader's time; both Unix seconds. equity, cash: quote currency; drawdown: share of the highest
    equity, 0 at it. weights: by asset. age: seconds since the close of the last bar that the venue served. open_orders,
    unknown_orders, differences: counts, the last of the reconciliation's. latency_s: bars parsed to orders planned.
    fills: orders that filled, in part at least. reason: why the policy decided nothing; None where it did.
    """

    bar: int
    at: float
    equity: float | None = None
    drawdown: float | None = None
    cash: float | None = None
    weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    age: float | None = None
    open_orders: int = 0
    unknown_orders: int = 0
    latency_s: float | None = None
    differences: int = 0
    fills: int = 0
    reason: str | None = None


@runtime_checkable
class Watch(Protocol):
    """Someone who watches."""

    def event(self, kind: Kind, message: str, **values: Any) -> None:
        """Something a person may want to know at once."""
        ...

    def bar(self, report: BarReport) -> None:
        """A bar was handled."""
        ...

    def request(self, status: int) -> None:
        """The venue answered a request with an HTTP status. Called from any thread."""
        ...


class Unwatched:
    """Nobody watches."""

    def event(self, kind: Kind, message: str, **values: Any) -> None:
        """See `Watch.event`."""
        del kind, message, values

    def bar(self, report: BarReport) -> None:
        """See `Watch.bar`."""
        del report

    def request(self, status: int) -> None:
        """See `Watch.request`."""
        del status

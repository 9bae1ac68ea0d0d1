"""What the journal holds: intents, decisions, marks, anchors, halts and adjustments, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from cappuccino.broker.protocol import Side

State = Literal[
    "planned", "sent", "unknown", "accepted", "partially_filled", "filled", "canceled", "rejected", "expired", "abandoned"
]
FINAL: frozenset[State] = frozenset({"filled", "canceled", "rejected", "expired", "abandoned"})
"""States in which an intent is done. `abandoned`: never sent, or the venue does not know it and it is too late to send."""

_TOLD: frozenset[State] = frozenset({"accepted", "partially_filled", "filled", "canceled", "expired", "rejected"})
"""States that only the venue's word leads to."""

_SENT: frozenset[State] = frozenset({"sent", "abandoned"})
_UNTOLD: frozenset[State] = frozenset({"planned", "unknown"})
_ACCEPTED: frozenset[State] = frozenset({"accepted"})
_NONE: frozenset[State] = frozenset()

NEXT: Mapping[State, frozenset[State]] = {
    "planned": _SENT,
    "sent": _SENT | _UNTOLD | _TOLD,
    "unknown": _SENT | _TOLD,
    "accepted": _TOLD,
    "partially_filled": _TOLD - _ACCEPTED,
    "abandoned": _TOLD,
    "filled": _NONE,
    "canceled": _NONE,
    "rejected": _NONE,
    "expired": _NONE,
}
"""The state machine: where an intent may go from each state. `sent` to `planned`: the venue did nothing (too many requests).
`abandoned` to what the venue says: an order that turned up late, and is adopted."""

Phase = Literal["sells", "buys", "done", "none"]

OVER = "the replay is over"
"""How the reason begins why nothing was decided at the last bar of a replay."""

CASH = "USD"
"""The key of the quote currency in figures by asset."""


@dataclasses.dataclass(frozen=True)
class Intent:
    """An order that is wanted, and what has become of it. Quantities are gross, in base units.

    sequence: 0 for the order of a bar's plan, 1 and more for what else is ordered of the asset before the next bar closes.
    """

    client_order_id: str
    bar: int
    asset: str
    side: Side
    quantity: Decimal
    created_at: float
    updated_at: float
    sequence: int = 0
    state: State = "planned"
    venue_id: str | None = None
    filled_quantity: Decimal = Decimal(0)
    filled_price: Decimal | None = None
    sent_at: float | None = None
    error: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it is known how the order ended."""
        return self.state in FINAL

    @property
    def filled_value(self) -> Decimal:
        """What was paid or received, before fees, in quote currency."""
        return Decimal(0) if self.filled_price is None else self.filled_quantity * self.filled_price


@dataclasses.dataclass(frozen=True)
class Decision:
    """What was decided at the close of `bar` (its opening, Unix seconds), and from what.

    phase: what is to be done next, `sells` or `buys`; `done`; or `none` where nothing was. reason: why the policy decided nothing; with
    another phase than `none` the risk rules sell of what is held, which is then what was `asked`.
    weights, targets, closes, tradable, buys, asked, increments: one per asset in the artifact's order, empty in
    phase `none`; `buys` are those wanted before they are fitted to the cash, in base units; `asked` are the policy's targets, which
    the risk rules made `targets`; `increments` the steps of quantities as the venue listed them.
    equity, cash: the trader's own, in quote currency.
    notes: what a person should know, by kind.
    """

    bar: int
    decided_at: float
    phase: Phase
    reason: str | None = None
    equity: float | None = None
    cash: float | None = None
    weights: tuple[float, ...] = ()
    targets: tuple[float, ...] = ()
    closes: tuple[float, ...] = ()
    tradable: tuple[bool, ...] = ()
    buys: tuple[float, ...] = ()
    asked: tuple[float, ...] = ()
    increments: tuple[float, ...] = ()
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Mark:
    """Equity (closes of `bar`), cash and positions of the trader when `bar` had closed.

    risk: what the risk rules remember, as `trading.ruled` writes it; None without rules.
    """

    bar: int
    at: float
    equity: float
    cash: Decimal
    positions: dict[str, Decimal]
    risk: dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Anchor:
    """The trader's own figures when they last agreed with the venue's, every fill up to then counted.

    own, reserve: by asset, CASH for the quote currency; the venue's figures are their sum. The reserve is what of the account
    is not the trader's. pending: fees that the venue may yet take, by UTC day of the fill (its beginning) and asset.
    """

    at: float
    own: dict[str, Decimal]
    reserve: dict[str, Decimal]
    pending: dict[int, dict[str, Decimal]] = dataclasses.field(default_factory=dict)

    @property
    def net(self) -> dict[str, Decimal]:
        """The trader's own figures as if the venue had taken all fees that are due: what it can spend and sell."""
        nothing = Decimal(0)
        return {
            name: figure - sum((fees.get(name, nothing) for fees in self.pending.values()), nothing)
            for name, figure in self.own.items()
        }


class FillSince(NamedTuple):
    """What an order filled since the last anchor: gross quantity, and value before fees."""

    client_order_id: str
    asset: str
    side: Side
    quantity: Decimal
    value: Decimal


@dataclasses.dataclass(frozen=True)
class Adjustment:
    """A difference that was taken over from the venue: `change` of asset (or CASH) beyond what the journal explains.

    how: accept (a person said so), adopt or ignore (the configuration did); what is ignored goes to the reserve.
    """

    at: float
    asset: str
    change: Decimal
    how: Literal["accept", "adopt", "ignore"]


@dataclasses.dataclass(frozen=True)
class Halt:
    """The kill switch: whether it is thrown, since when, why and by whom (command, file, dashboard, trader), and whether to flatten."""

    at: float
    is_halted: bool
    reason: str
    source: str
    flatten: bool = False

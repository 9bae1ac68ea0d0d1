"""What becomes of a market order that does not simply fill."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from cappuccino.broker.exchange.orders import LedgerOrder

NS = 1_000_000_000
NEVER = 2**62
"""A stamp that no replay comes to."""

PART = 3
"""A partial fill is this part of the order first: a third."""


@dataclasses.dataclass(frozen=True)
class Fate:
    """One of `faults.ORDER`, or None: it fills at once. Seconds as in FaultsConfig."""

    fault: str | None = None
    rest_s: float | int = 0.0
    stick_s: float | int = 0.0

    def give(self, order: LedgerOrder, increment: Decimal, stamp: int, price: Decimal) -> None:
        """Mark an order that was just accepted. `price`: at which it would fill now."""
        later = stamp + round(self.rest_s * NS)
        if self.fault in ("partial", "rest", "stick", "reject", "race"):
            order.reserved = price
        if self.fault == "partial":
            part = order.size / PART
            part = part // increment * increment if increment > 0 else part
            order.part, order.next_rest = (part, later) if part > 0 else (None, 0)
        elif self.fault == "rest":
            order.rests_until = later
        elif self.fault == "reject":
            order.rests_until, order.ends_at, order.ends_as = NEVER, later, "rejected"
        elif self.fault == "race":
            order.rests_until, order.fills_on_cancel = NEVER, True
        elif self.fault == "stick":
            order.rests_until, order.sticks_ns = NEVER, round(self.stick_s * NS)


FILLS = Fate()

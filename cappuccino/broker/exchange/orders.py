"""What the exchange's ledger holds: tickets as sent, orders as accepted, fills, holdings."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Literal

from cappuccino.broker.protocol import TERMINAL, Side


@dataclasses.dataclass(frozen=True)
class Ticket:
    """An order as sent: either `quantity` (base) or `notional` (quote currency), a `limit_price` for limit orders."""

    asset: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None
    type: str
    time_in_force: str
    limit_price: Decimal | None
    order_class: str
    client_order_id: str


@dataclasses.dataclass
class LedgerOrder:
    """An order that was accepted. Stamps are nanoseconds; `size` is the quantity to fill, in base units.

    rests_until: before then nothing fills. part: what fills first where not all of it does at once, and the rest from
    `next_rest` on. reserved: price at which a
    resting market buy holds cash. ends_as: how it ends at `ends_at` (None: not by itself).
    fills_on_cancel, sticks_ns: what its cancellation does, and how long it takes.
    """

    id: str
    ticket: Ticket
    size: Decimal
    submitted: int
    updated: int
    status: str = "new"
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    filled_at: int | None = None
    canceled_at: int | None = None
    rests_until: int = 0
    part: Decimal | None = None
    next_rest: int = 0
    reserved: Decimal | None = None
    ends_at: int | None = None
    ends_as: str = "canceled"
    fills_on_cancel: bool = False
    sticks_ns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it can still fill."""
        return self.status not in TERMINAL


@dataclasses.dataclass(frozen=True)
class Fill:
    """An execution: gross `quantity` at `price`, and the `fee` in `fee_in`. `filled`, `left`: of its order, after it."""

    id: str
    order_id: str
    asset: str
    side: Side
    quantity: Decimal
    filled: Decimal
    left: Decimal
    price: Decimal
    fee: Decimal
    fee_in: Literal["base", "quote"]
    at: int


@dataclasses.dataclass
class Holding:
    """Net quantity, and what it cost, fees included."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)

"""What the exchange refuses, in Alpaca's statuses, codes and words."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from cappuccino.broker.exchange.arithmetic import plain
from cappuccino.broker.exchange.orders import Ticket
from cappuccino.broker.protocol import MAX_CLIENT_ID

ORDER_TYPES = ("market", "limit")
TIMES_IN_FORCE = ("gtc", "ioc")


class Refused(Exception):
    """HTTP status, Alpaca's code (None where it sends none), message, and what else the body holds."""

    def __init__(self, status: int, code: int | None, message: str, more: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, dict(more or {})

    def body(self) -> dict[str, object]:
        """The error's JSON."""
        code = {} if self.code is None else {"code": self.code}
        return {**self.more, **code, "message": self.message}


def validation(message: str, code: int = 42210000) -> Refused:
    """A request that is wrong in itself."""
    return Refused(422, code, message)


def insufficient_balance(asset: str, requested: Decimal, available: Decimal, balance: Decimal) -> Refused:
    """A sale of more than is free."""
    return Refused(
        403,
        40310000,
        f"insufficient balance for {asset} (requested: {plain(requested)}, available: {plain(available)})",
        {"available": plain(available), "balance": plain(balance), "symbol": "USD"},
    )


def check_wording(ticket: Ticket, assets: tuple[str, ...]) -> None:
    """Raises Refused for an order that no account could place."""
    if ticket.asset not in assets:
        raise validation(f'asset "{ticket.asset}" not found')
    if ticket.order_class not in ("", "simple"):
        raise validation(f"crypto orders not allowed for advanced order_class: {ticket.order_class}")
    if ticket.type not in ORDER_TYPES:
        raise validation("invalid order type for crypto order", 40010001)
    if ticket.time_in_force not in TIMES_IN_FORCE:
        raise validation("invalid crypto time_in_force")
    if not 1 <= len(ticket.client_order_id) <= MAX_CLIENT_ID:
        raise validation(f"client_order_id must be no more than {MAX_CLIENT_ID} characters", 40010001)
    if (ticket.quantity is None) == (ticket.notional is None):
        raise validation("qty or notional is required, not both", 40010001)
    if ticket.quantity is not None and ticket.quantity <= 0:
        raise validation("qty must be > 0", 40010001)
    if ticket.notional is not None and ticket.notional <= 0:
        raise validation("notional must be > 0", 40010001)
    if ticket.notional is not None and ticket.notional != round(ticket.notional, 2):
        raise validation("notional value must be limited to 2 decimal places")
    if (ticket.type == "limit") != (ticket.limit_price is not None):
        raise validation("limit orders require limit_price, market orders must not have it", 40010001)
    if ticket.limit_price is not None and ticket.limit_price <= 0:
        raise validation("limit_price must be > 0", 40010001)

"""Requests read: tickets, numbers, times and symbols, with Alpaca's answers to what cannot be read."""

from __future__ import annotations

import datetime
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from cappuccino.broker.exchange.orders import Ticket
from cappuccino.broker.exchange.refusals import ORDER_TYPES, Refused, validation
from cappuccino.broker.protocol import Side

DIGITS = 30
"""Digits that a number may have before and after the point: more would leave the ledger's exact arithmetic."""


def body(content: bytes) -> dict[str, Any]:
    """A JSON object, its numbers as the decimals that were written. Raises Refused."""
    try:
        value = json.loads(content, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, InvalidOperation):
        value = None
    if not isinstance(value, dict):
        raise Refused(400, 40010000, "request body format is invalid")
    return value


def number(value: Any, name: str) -> Decimal:
    """A number, or a string that holds one. Raises Refused."""
    if not isinstance(value, str | Decimal):
        raise validation(f"{name} is not a number", 40010001)
    try:
        result = Decimal(value)
    except InvalidOperation:
        raise validation(f"{name} is not a number", 40010001) from None
    if not result.is_finite() or result.adjusted() > DIGITS or cast(int, result.as_tuple().exponent) < -DIGITS:
        raise validation(f"{name} is not a number of at most {DIGITS} digits before and after the point", 40010001)
    return result


def asset_of(symbol: str) -> str:
    """`BTC` of `BTC/USD` or `BTCUSD`; what does not end in USD stays as it is."""
    return symbol.removesuffix("USD").removesuffix("/") if symbol.endswith("USD") else symbol


def ticket(raw: Mapping[str, Any]) -> Ticket:
    """An order as sent; an id is made up where there is none. Raises Refused."""

    def text(name: str, default: str) -> str:
        value = raw.get(name)
        if not isinstance(value, str | None):
            raise validation(f"{name} is not a string", 40010001)
        return value if value is not None else default

    def amount(name: str) -> Decimal | None:
        return number(raw[name], name) if raw.get(name) is not None else None

    side = text("side", "")
    if side not in ("buy", "sell"):
        raise validation(f"invalid side: {side}", 40010001)
    if raw.get("extended_hours"):
        raise validation("extended hours order must be DAY limit orders")
    if raw.get("stop_price") is not None and text("type", "") in ORDER_TYPES:
        raise validation("market and limit orders must not have stop_price", 40010001)
    return Ticket(
        asset=asset_of(text("symbol", "")),
        side=cast(Side, side),
        quantity=amount("qty"),
        notional=amount("notional"),
        type=text("type", ""),
        time_in_force=text("time_in_force", ""),
        limit_price=amount("limit_price"),
        order_class=text("order_class", ""),
        client_order_id=text("client_order_id", "") or str(uuid.uuid4()),
    )


def nanoseconds(value: str) -> int:
    """A date or an RFC 3339 time, UTC without an offset, to the microsecond. Raises Refused."""
    try:
        at = datetime.datetime.fromisoformat(value)
    except ValueError:
        raise validation(f"invalid time: {value}") from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=datetime.UTC)
    since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since // datetime.timedelta(microseconds=1)) * 1000


def whole(value: str | None, name: str, default: int, most: int) -> int:
    """An integer from 1 to `most`, or the default. Raises Refused."""
    if value is None:
        return default
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise validation(f"{name} must be from 1 to {most}, got {value}")
    return int(value)

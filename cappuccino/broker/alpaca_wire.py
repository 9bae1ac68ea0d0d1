"""Alpaca's JSON read into the broker's values: tolerant of what it adds, exact in what it says."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from cappuccino.broker.protocol import AccountState, Asset, Order, Position, Quote, Side

QUOTE = "USD"

BarRow = tuple[int, float, float, float, float, float]
"""Opening time, open, high, low, close, volume."""


class Unreadable(Exception):
    """An answer that does not hold what it must."""


def symbol(asset: str) -> str:
    """`BTC` as `BTC/USD`."""
    return f"{asset}/{QUOTE}"


def base(name: str, asset_class: str = "crypto") -> str:
    """`BTC/USD` and `BTCUSD` as `BTC`; a symbol of another quote or class stays whole."""
    if asset_class != "crypto":
        return name
    return name.removesuffix(QUOTE).removesuffix("/") if name.endswith(QUOTE) and name != QUOTE else name


def timeframe(bar_seconds: int) -> str:
    """Alpaca's name of a bar length. Raises ValueError for a length that it does not serve."""
    for unit, seconds, most in (("Min", 60, 59), ("Hour", 3600, 23), ("Day", 86400, 1), ("Week", 604800, 1)):
        if bar_seconds % seconds == 0 and 1 <= bar_seconds // seconds <= most:
            return f"{bar_seconds // seconds}{unit}"
    raise ValueError(f"bars of {bar_seconds} s are not served; 1 to 59 minutes, 1 to 23 hours, a day or a week are")


def seconds(text: Any) -> float:
    """An RFC 3339 time, of up to nine fractional digits and any offset, in Unix seconds."""
    if not isinstance(text, str):
        raise Unreadable(f"not a time: {text!r}")
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Unreadable(f"not a time: {text!r}") from None
    if at.tzinfo is None:
        raise Unreadable(f"a time without an offset: {text!r}")
    return at.timestamp()


def rfc3339(at: int) -> str:
    """Whole Unix seconds as Alpaca writes them."""
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimal(value: Any) -> Decimal:
    """A number, or a string that holds one, exactly as written."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable(f"not a number: {value!r}")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise Unreadable(f"not a number: {value!r}") from None
    if not number.is_finite():
        raise Unreadable(f"not a finite number: {value!r}")
    return number


def record(value: Any) -> Mapping[str, Any]:
    """`value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise Unreadable(f"expected an object, got {type(value).__name__}")
    return value


def records(value: Any) -> list[Mapping[str, Any]]:
    """`value` if it is a JSON list of objects."""
    if not isinstance(value, list):
        raise Unreadable(f"expected a list, got {type(value).__name__}")
    return [record(item) for item in value]


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"{name} is {value!r}")
    return value


def account(raw: Mapping[str, Any]) -> AccountState:
    """The account; a crypto status that is not given is not held against it."""
    blocked = [f"{name} is {raw[name]}" for name in ("status", "crypto_status") if raw.get(name, "ACTIVE") != "ACTIVE"]
    flags = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
    return AccountState(
        id=_text(raw, "id"),
        equity=decimal(raw.get("equity")),
        cash=decimal(raw.get("cash")),
        buying_power=decimal(raw.get("non_marginable_buying_power")),
        blocked=(*blocked, *(name for name in flags if raw.get(name, False) is not False)),
    )


def asset(raw: Mapping[str, Any]) -> Asset:
    """One crypto asset."""
    return Asset(
        symbol=base(_text(raw, "symbol")),
        tradable=raw.get("tradable") is True and raw.get("status") == "active",
        min_order_size=decimal(raw.get("min_order_size")),
        increment=decimal(raw.get("min_trade_increment")),
        price_increment=decimal(raw.get("price_increment")),
    )


def position(raw: Mapping[str, Any]) -> Position:
    """One holding."""
    quantity = decimal(raw.get("qty"))
    return Position(
        asset=base(_text(raw, "symbol"), str(raw.get("asset_class"))),
        quantity=quantity,
        available=decimal(raw["qty_available"]) if raw.get("qty_available") is not None else quantity,
        average_price=decimal(raw.get("avg_entry_price")),
    )


def order(raw: Mapping[str, Any]) -> Order:
    """One order."""
    side = raw.get("side")
    if side not in ("buy", "sell"):
        raise Unreadable(f"side is {side!r}")
    price = raw.get("filled_avg_price")
    return Order(
        id=_text(raw, "id"),
        client_order_id=_text(raw, "client_order_id"),
        asset=base(_text(raw, "symbol"), str(raw.get("asset_class"))),
        side=cast(Side, side),
        quantity=decimal(raw["qty"]) if raw.get("qty") is not None else None,
        filled_quantity=decimal(raw.get("filled_qty")),
        filled_average_price=decimal(price) if price is not None else None,
        status=_text(raw, "status"),
        submitted_at=seconds(raw.get("submitted_at")),
        filled_at=seconds(raw["filled_at"]) if raw.get("filled_at") is not None else None,
    )


def quote(raw: Mapping[str, Any]) -> Quote:
    """One quote."""
    return Quote(bid=decimal(raw.get("bp")), ask=decimal(raw.get("ap")), at=seconds(raw.get("t")))


def bar(raw: Mapping[str, Any]) -> BarRow:
    """Opening time, open, high, low, close, volume."""
    values = []
    for name in "ohlcv":
        value = raw.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Unreadable(f"{name} of a bar is {value!r}")
        values.append(float(value))
    opened = seconds(raw.get("t"))
    if opened != int(opened):
        raise Unreadable(f"a bar opens at {raw.get('t')!r}")
    o, h, low, c, v = values
    return int(opened), o, h, low, c, v


def bar_page(raw: Any) -> tuple[dict[str, list[BarRow]], str | None]:
    """Bars by asset, and the token of the next page."""
    page = record(raw)
    token = page.get("next_page_token")
    if not (token is None or isinstance(token, str)):
        raise Unreadable(f"next_page_token is {token!r}")
    found = record(page.get("bars") or {})
    return {base(name): [bar(item) for item in records(bars)] for name, bars in found.items()}, token


def error_body(text: str) -> tuple[int, str]:
    """Code and message of an error; HTML, an empty body and a body without a code give code 0."""
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return 0, text if text.strip() else "no message"
    code = body.get("code")
    return (code if isinstance(code, int) and not isinstance(code, bool) else 0), str(body.get("message", "no message"))

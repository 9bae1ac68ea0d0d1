"""Figures and times as the page writes them: the minus a minus, times UTC, what is not known a dash."""

from __future__ import annotations

import datetime
from typing import Any

NOTHING = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"


def money(value: float | None, *, sign: bool = False) -> str:
    """Dollars and cents."""
    if value is None:
        return NOTHING
    amount = f"{abs(value):,.2f}"
    before = "" if float(amount.replace(",", "")) == 0 else _MINUS if value < 0 else "+" if sign else ""
    return f"{before}${amount}"


def percent(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    """A share as percent."""
    if value is None:
        return NOTHING
    text = f"{value:{'+' if sign else ''}.{digits}%}"
    return text.replace("-", _MINUS)


def number(value: Any, digits: int = 6) -> str:
    """To so many digits, with thousands set off."""
    if value is None:
        return NOTHING
    return f"{float(value):,.{digits}g}".replace("-", _MINUS)


def price(value: Any) -> str:
    """To six digits, without an exponent."""
    if value is None:
        return NOTHING
    figure = float(value)
    decimals = 2 if abs(figure) >= 1000 else 4 if abs(figure) >= 1 else 6
    return f"{figure:,.{decimals}f}"


def time(seconds: float | None) -> str:
    """`2023-10-01 13:00`, to the minute; the page says UTC where it stands."""
    if seconds is None:
        return NOTHING
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def moment(seconds: float | None) -> str:
    """As `time`, to the second."""
    if seconds is None:
        return NOTHING
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def duration(seconds: float) -> str:
    """`3 h`, in the largest unit of which there are two."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


FILTERS = {
    "money": money,
    "percent": percent,
    "number": number,
    "price": price,
    "time": time,
    "moment": moment,
    "duration": duration,
}

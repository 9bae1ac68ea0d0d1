"""Decimals of the exchange: read from numbers as they are written, and calculated with widely enough to be exact."""

from __future__ import annotations

import decimal
import functools
from collections.abc import Callable
from decimal import Decimal
from typing import ParamSpec, TypeVar

from cappuccino.errors import InputError

ARITHMETIC = decimal.Context(prec=60, traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow])
"""Wide enough that cash is exact: quantity, price, costs and fee have together fewer digits."""

QUANTUM = Decimal("0.000000001")
"""Step of a quantity that the exchange works out itself, from an order's cost."""

P = ParamSpec("P")
R = TypeVar("R")


def exact(value: float | int | str | Decimal) -> Decimal:
    """The decimal that a number is written as: 0.1 is one tenth. Raises InputError for what is not a finite number."""
    number = value if isinstance(value, Decimal) else Decimal(value if isinstance(value, str) else repr(float(value)))
    if not number.is_finite():
        raise InputError(f"expected a finite number, got {value}")
    return number


def plain(value: Decimal) -> str:
    """All digits, without an exponent or zeros at the end."""
    return f"{value.normalize(ARITHMETIC):f}"


def exactly(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, calculating in ARITHMETIC: the default context would round to 28 digits."""

    @functools.wraps(function)
    def calculate(*args: P.args, **options: P.kwargs) -> R:
        with decimal.localcontext(ARITHMETIC):
            return function(*args, **options)

    return calculate

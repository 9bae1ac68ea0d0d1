"""What the trader should hold by its own journal, and whether the venue's figures can be that.

The journal counts gross fills; the venue takes a fee of each, out of what is received, at the fill or at the end of its UTC day
(both are documented). So a figure is expected between two bounds: all fees that may be due taken, and none of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from cappuccino.trading.records import CASH, Anchor, FillSince

DAY_S = 86_400

POSTED_WITHIN_S = DAY_S
"""Seconds after the end of a fill's UTC day by which its fee has been taken."""

CENT = Decimal("0.01")
"""Tolerance of cash, and once more for each order: average prices are rounded."""


class Difference(NamedTuple):
    """A figure of the venue's (without the reserve) outside what the journal explains: low <= figure <= high was expected."""

    asset: str
    low: Decimal
    high: Decimal
    found: Decimal

    @property
    def change(self) -> Decimal:
        """What must be added to the nearer bound to come to the venue's figure."""
        return self.found - (self.low if self.found < self.low else self.high)

    def __str__(self) -> str:
        return f"{self.asset}: the venue has {self.found:f}, the journal {self.low:f} to {self.high:f}"


class Comparison(NamedTuple):
    """differences: none if journal and venue agree. anchor: the venue's figures as the trader's own, fees still due with them."""

    differences: tuple[Difference, ...]
    anchor: Anchor


def compare(
    anchor: Anchor,
    fills: Sequence[FillSince],
    found: Mapping[str, Decimal],
    increments: Mapping[str, Decimal],
    *,
    now: float,
    fee: Decimal,
) -> Comparison:
    """Compare the venue's figures with the last anchor and the fills since.

    found: cash (CASH) and position of each asset, the venue's figure less the reserve. increments: by asset, the tolerance of a
    position. fee: the most that the venue takes of what a fill brings, as a fraction. now: Unix seconds.
    Fees taken are set against those due the longest. Those of a day of which half were taken are due no more: the venue charges
    less than `fee`, or was paid something besides. A fee that is seen not to be taken POSTED_WITHIN_S after its day is due no more
    either.
    """
    today = int(now // DAY_S) * DAY_S
    pending = {day: dict(fees) for day, fees in anchor.pending.items()}
    gross = {name: anchor.own.get(name, Decimal(0)) for name in found}
    orders = len({fill.client_order_id for fill in fills})
    for fill in fills:
        is_buy = fill.side == "buy"
        gross[fill.asset] += fill.quantity if is_buy else -fill.quantity
        gross[CASH] += -fill.value if is_buy else fill.value
        name, received = (fill.asset, fill.quantity) if is_buy else (CASH, fill.value)
        due = pending.setdefault(today, {})
        due[name] = due.get(name, Decimal(0)) + received * fee
    differences, taken_today = [], []
    for name, figure in found.items():
        tolerance = CENT * (1 + orders) if name == CASH else increments[name]
        due = sum((fees.get(name, Decimal(0)) for fees in pending.values()), Decimal(0))
        low, high = gross[name] - due - tolerance, gross[name] + tolerance
        if not low <= figure <= high:
            differences.append(Difference(name, low, high, figure))
        taken_today += _take(pending, name, gross[name] - figure, today)
    if taken_today and sum(taken_today) >= len(taken_today) / 2:
        pending.pop(today)  # this venue takes them at the fill
    left = {
        day: {name: due for name, due in fees.items() if due > 0}
        for day, fees in sorted(pending.items())
        if now < day + DAY_S + POSTED_WITHIN_S
    }
    kept = Anchor(now, dict(found), dict(anchor.reserve), {day: fees for day, fees in left.items() if fees})
    return Comparison(tuple(differences), kept)


def _take(pending: dict[int, dict[str, Decimal]], name: str, charged: Decimal, today: int) -> list[bool]:
    """Set what the venue took of `name` against the fees that are due, the oldest first; whether half of today's were, if any are."""
    taken_today = []
    for day in sorted(pending):
        due = pending[day].get(name, Decimal(0))
        taken = min(max(charged, Decimal(0)), due)
        pending[day][name] = due - taken if day == today or 2 * taken < due else Decimal(0)
        charged -= taken
        if day == today and due > 0:
            taken_today.append(2 * taken >= due)
    return taken_today


def set_aside(anchor: Anchor, differences: Sequence[Difference]) -> Anchor:
    """The anchor with the differences moved out of the trader's own figures into the reserve: they are not the trader's."""
    own, reserve = dict(anchor.own), dict(anchor.reserve)
    for difference in differences:
        own[difference.asset] -= difference.change
        reserve[difference.asset] = reserve.get(difference.asset, Decimal(0)) + difference.change
    return dataclasses.replace(anchor, own=own, reserve=reserve)

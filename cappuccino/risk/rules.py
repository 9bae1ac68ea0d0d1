"""The rules, each a pure function from target weights to target weights over the array namespace `xp` it is given.

They apply in the order of RULES. The caps come first, then the move towards what they leave is slowed down as a whole, then the
caps again, for what has drifted above them, and the stops: what a cap or a stop sells is not held back by turnover. No venue takes
an order of any size: at last the move is slowed down, again as a whole, to the largest one.
Rules of one's own stand before all of them, so that these still bound what they leave.
A rule only takes from the targets, or stays on the way to them from what is held: a portfolio stays one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cappuccino.extensions import add
from cappuccino.risk.limits import Limits
from cappuccino.risk.state import Marks, RiskState


def cap_weight(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """No asset above its share of equity."""
    del state, marks
    return xp.minimum(targets, limits.weight)


def cap_gross(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """All assets scaled to the gross exposure that is allowed."""
    del state, marks
    return _scaled_to(targets, limits.gross, xp=xp)


def keep_cash(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """All assets scaled so that the cash is left over."""
    del state
    return _scaled_to(targets, xp.maximum(1 - limits.cash / marks.equity, 0), xp=xp)


def slow_orders(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """As far towards the targets as no order, at the close, is larger than allowed."""
    del state
    change = targets - marks.weights
    return _slowed(targets, change, xp.max(xp.abs(change), axis=0) * marks.equity, limits.order, marks, xp=xp)


def slow_turnover(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """As far towards the targets as the day's turnover lasts."""
    change = targets - marks.weights
    left = xp.maximum(limits.turnover * state.day_equity - state.turnover, 0)
    return _slowed(targets, change, xp.sum(xp.abs(change), axis=0) * marks.equity, left, marks, xp=xp)


def stop_assets(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """Nothing of an asset that rests after its stop-loss or its trailing stop."""
    del marks, limits
    return xp.where(state.resting > 0, 0, targets)


def stop_day(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """Nothing until the UTC day is over in which too much was lost."""
    del marks, limits
    return xp.where(state.is_day_stopped, 0, targets)


def stop_all(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """Nothing after too deep a drawdown, until a person resets it."""
    del marks, limits
    return xp.where(state.is_stopped, 0, targets)


class Rule(NamedTuple):
    """A rule by the name under which its acting is reported."""

    name: str
    apply: Callable[..., Any]


_CAPS = (Rule("max_weight", cap_weight), Rule("max_gross", cap_gross), Rule("cash_floor", keep_cash))
RULES: tuple[Rule, ...] = (
    *_CAPS,
    Rule("max_order", slow_orders),
    Rule("max_day_turnover", slow_turnover),
    *_CAPS,
    Rule("stop", stop_assets),
    Rule("max_day_loss", stop_day),
    Rule("max_drawdown", stop_all),
    Rule("max_order", slow_orders),
)


OWN_RULES: dict[str, Rule] = {}
"""Rules from outside, by name. One acts where it has a limit, `risk.own.NAME`."""


def add_rule(rule: Rule) -> None:
    """Make a rule of your own one that `+risk.own.NAME=LIMIT` switches on, in trader and environment alike.

    It finds its limit in `limits.own[rule.name]`, and must compute over NumPy and over JAX, `xp`, without a branch on data.
    """
    add("risk rule", OWN_RULES, rule.name, rule)


def rules_of(limits: Limits) -> tuple[Rule, ...]:
    """All rules in the order in which they apply: those of one's own that have a limit, by name, then RULES."""
    return (*(OWN_RULES[name] for name in sorted(limits.own or ())), *RULES)


def limited(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """The target weights (A, ...) after all rules. state: of the same close as marks."""
    for rule in rules_of(limits):
        targets = rule.apply(targets, state, marks, limits, xp=xp)
    return targets


def _scaled_to(targets: Any, most: Any, *, xp: Any) -> Any:
    gross = xp.sum(targets, axis=0)
    return targets * _share(most, gross, xp=xp)


def _slowed(targets: Any, change: Any, planned: Any, most: Any, marks: Marks, *, xp: Any) -> Any:
    """The share most / planned of the way; the targets themselves, to the bit, where that is all of it."""
    return xp.where(planned > most, marks.weights + change * _share(most, planned, xp=xp), targets)


def _share(most: Any, wanted: Any, *, xp: Any) -> Any:
    """most / wanted where more is wanted, else one."""
    is_more = wanted > most
    return xp.where(is_more, most / xp.where(is_more, wanted, 1), 1)

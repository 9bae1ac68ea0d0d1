"""A risk rule: no asset's weight changes by more than a share of equity at one bar."""

from __future__ import annotations

from typing import Any

from cappuccino.risk import Limits, Marks, RiskState, Rule, add_rule

NAME = "max_step"


def slow_steps(targets: Any, state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> Any:
    """Towards the targets (A, ...) from what is held, by the limit at most. The same in NumPy and in JAX."""
    del state
    step = limits.own[NAME]
    return xp.minimum(xp.maximum(targets, marks.weights - step), marks.weights + step)


add_rule(Rule(NAME, slow_steps))

"""Risk rules: what a policy's target weights become before they are planned. The same functions in trader and environment."""

from cappuccino.risk.limits import Limits
from cappuccino.risk.rules import RULES, Rule, add_rule, limited, rules_of
from cappuccino.risk.state import Marks, RiskState, day_of, first, observe, reset

__all__ = [
    "RULES",
    "Limits",
    "Marks",
    "RiskState",
    "Rule",
    "add_rule",
    "day_of",
    "first",
    "limited",
    "observe",
    "reset",
    "rules_of",
]

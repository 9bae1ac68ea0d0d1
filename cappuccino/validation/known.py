"""What the registry keeps of a validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cappuccino.evaluation.baselines import EQUAL_REBALANCED
from cappuccino.evaluation.comparison import AGENT


def figures_of(numbers: Mapping[str, Any], last_bar: int) -> dict[str, Any]:
    """Of a validation's numbers (`validation.json`) what the gates of a promotion ask for.

    last_bar: opening of the last bar that anything of it read.
    """
    verdict, overfitting = numbers["verdict"], numbers["overfitting"]
    growth = numbers["intervals"][AGENT]["growth"]
    information = numbers["intervals"][EQUAL_REBALANCED]["information"]
    return {
        "found": verdict["found"],
        "said": numbers["said"],
        "deflated": verdict["deflated"],
        "trials": verdict["trials"],
        "pbo": None if overfitting is None else overfitting["pbo"],
        "information_low": None if information is None else information["low"],
        "growth": None
        if growth is None or growth["low"] is None
        else {name: growth[name] for name in ("estimate", "low", "deviation")},
        "growth_by_fees": numbers["growth_by_fees"],
        "last_bar": last_bar,
    }

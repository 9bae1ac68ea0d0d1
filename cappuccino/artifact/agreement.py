"""What several policies decide together: the mean of their targets, for the assets on whose direction enough of them agree."""

from __future__ import annotations

import math
from typing import Any

_ROUNDING = 1e-3
"""Two of three are a share of 0.6667 too."""


def agreed(targets: Any, weights: Any, agreement: float, *, xp: Any) -> Any:
    """Target weights (A,) of members with targets (M, A) that hold weights (A,), over the array namespace `xp`.

    An asset moves from its weight to the mean of the members' targets if at least the share `agreement` of them wants it to move that
    way, and stays otherwise; 0 moves all. What moves up has what is then left of the whole: all of it shrinks by one factor where that
    is not enough, so that portfolios stay one.
    """
    mean = xp.mean(targets, axis=0)
    with_it = xp.sign(targets - weights) == xp.sign(mean - weights)
    moves = xp.sum(with_it, axis=0) >= math.ceil(agreement * len(targets) - _ROUNDING)
    wanted = xp.where(moves, mean, weights)
    kept = xp.minimum(wanted, weights)
    rise = xp.sum(wanted - kept)
    left = 1 - xp.sum(kept)
    is_short = rise > left
    share = xp.where(left > 0, left, xp.zeros_like(left)) / xp.where(is_short, rise, xp.ones_like(rise))
    return xp.where(is_short, kept + (wanted - kept) * share, wanted)

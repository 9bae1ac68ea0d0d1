"""How far a sum may have strayed by chance, however often one looks: a boundary that holds at all times at once."""

from __future__ import annotations

import math


def normal_mixture_bound(variance: float, alpha: float, *, tightest: float) -> float:
    """What a sum of mean zero, or below, and of this variance so far exceeds at any time at all with a probability of at most `alpha`.

    sqrt(2 (v + rho) log(sqrt((v + rho) / rho) / (2 alpha) + 1)) of the variance v: the one-sided boundary of Robbins' normal mixture,
    in the closed form of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021.
    rho puts it close to its tightest at the variance `tightest`. For sums of normal terms it is exact but for being rounded up; for
    others, and for terms that depend on one another and have this long-run variance, it holds for sums of many.

    Both variances are above zero, or it is zero; alpha is in (0, 0.5).
    """
    if variance == 0:
        return 0.0
    level = 2 * math.log(1 / (2 * alpha))
    rho = tightest / (level + math.log(1 + level))
    return math.sqrt(2 * (variance + rho) * math.log(math.sqrt((variance + rho) / rho) / (2 * alpha) + 1))

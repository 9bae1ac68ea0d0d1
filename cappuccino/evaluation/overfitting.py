"""Probability of backtest overfitting, by combinatorially symmetric cross-validation.

Bailey, Borwein, Lopez de Prado and Zhu, "The probability of backtest overfitting", 2017: choose the best of many configurations on one
half of the bars and see what it is worth on the other, for every way to halve them.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import linregress

from cappuccino.errors import InputError

MOST_BLOCKS = 20
"""Blocks with 184,756 halves; four more have 2,704,156."""
_ROUNDING = 1e-7
"""A standard deviation below this share of the root mean square that it is computed from is rounding, not variation."""


class Overfitting(NamedTuple):
    """What choosing the best configuration in-sample was worth, over H halves of the bars. Sharpe ratios are per bar.

    pbo: share of halves in which the chosen one is at most the median out-of-sample; about 0.5 where there is nothing to choose,
    near 1 where what was good turns bad, reject above 0.1. logits (H,): of its relative rank there, ln(w / (1 - w)), w = rank /
    (C + 1), rank 1 the worst and ties averaged. chosen (H,): column. in_sample, out_of_sample (H,): its Sharpe ratios.
    probability_of_loss: share of halves in which the latter is negative. slope, intercept: of the regression of the latter on the
    former; None where all of the former are the same. dominance_violation: how far the distribution function of the chosen ones' ratios
    out-of-sample lies above that of a configuration chosen at random, where it does so most; 0 where they are stochastically larger to
    first order (the one-sided statistic of Kolmogorov and Smirnov).
    """

    pbo: float
    logits: Float[np.ndarray, "H"]
    chosen: Int[np.ndarray, "H"]
    in_sample: Float[np.ndarray, "H"]
    out_of_sample: Float[np.ndarray, "H"]
    probability_of_loss: float
    slope: float | None
    intercept: float | None
    dominance_violation: float


def pbo(returns: Float[np.ndarray, "T C"], blocks: int = 16) -> Overfitting:
    """Of out-of-sample returns per bar of C configurations over the same T bars, in order of time.

    The first T mod `blocks` bars are left out. The Sharpe ratio of a half in which a configuration returns nothing is 0.
    Raises InputError for fewer than two configurations; an odd number of blocks, or none, or more than MOST_BLOCKS; fewer than two
    bars in a half; a return that is not finite; and returns that do not vary, over all bars or, without being zero, in a half.
    """
    bars, configurations = returns.shape
    _check(returns, blocks)
    kept = returns[bars % blocks :].astype(np.float64)
    each = len(kept) // blocks
    halves = _halves(blocks)
    inside = _sharpes(kept.reshape(blocks, each, configurations), halves)
    outside = inside[::-1]  # the complement of a half is as far from the end of the list as the half from its beginning
    chosen = np.argmax(inside, axis=1)
    rows = np.arange(len(halves))
    best, worth = inside[rows, chosen], outside[rows, chosen]
    rank = (outside < worth[:, None]).sum(axis=1) + ((outside == worth[:, None]).sum(axis=1) + 1) / 2
    share = rank / (configurations + 1)
    logits = np.log(share / (1 - share))
    line: Any = linregress(best, worth) if np.ptp(best) > 0 else None
    return Overfitting(
        pbo=float(np.mean(logits <= 0)),
        logits=logits,
        chosen=chosen,
        in_sample=best,
        out_of_sample=worth,
        probability_of_loss=float(np.mean(worth < 0)),
        slope=None if line is None else float(line.slope),
        intercept=None if line is None else float(line.intercept),
        dominance_violation=_most_above(worth, outside.ravel()),
    )


def _halves(blocks: int) -> Bool[np.ndarray, "H S"]:
    """Every choice of half of the blocks, in lexicographic order."""
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    halves = np.zeros((len(chosen), blocks), bool)
    np.put_along_axis(halves, chosen, values=True, axis=1)
    return halves


def _sharpes(blocks: Float[np.ndarray, "S B C"], halves: Bool[np.ndarray, "H S"]) -> Float[np.ndarray, "H C"]:
    """The Sharpe ratio of every configuration in every half, N - 1 in the standard deviation, from sums over blocks.

    Sums are of differences from the configuration's mean over all bars, so that squares do not swamp the variance.
    """
    number = halves.shape[1] // 2 * blocks.shape[1]
    middle = blocks.mean(axis=(0, 1))
    apart = blocks - middle
    weights = halves.astype(np.float64)
    total, squares = weights @ apart.sum(axis=1), weights @ (apart**2).sum(axis=1)
    idle = weights @ (blocks != 0).sum(axis=1) == 0
    mean = middle + total / number
    deviation = np.sqrt(np.maximum(squares - total**2 / number, 0) / (number - 1))
    still = ~idle & (deviation <= _ROUNDING * np.sqrt(squares / number))
    if still.any():
        half, configuration = np.argwhere(still)[0]
        raise InputError(
            f"configuration {configuration} returns {mean[half, configuration]:g} in every bar of blocks "
            f"{', '.join(map(str, np.flatnonzero(halves[half])))}; a Sharpe ratio takes returns that vary"
        )
    return np.where(idle, 0.0, mean / np.where(idle, 1.0, deviation))


def _most_above(chosen: Float[np.ndarray, "H"], random: Float[np.ndarray, "N"]) -> float:
    """The most by which the distribution function of the first lies above that of the second, whose values include its own."""
    values = np.sort(random)
    ours = np.searchsorted(np.sort(chosen), values, side="right") / len(chosen)
    theirs = np.searchsorted(values, values, side="right") / len(values)
    return float(np.max(ours - theirs))


def _check(returns: Float[np.ndarray, "T C"], blocks: int) -> None:
    bars, configurations = returns.shape
    if configurations < 2:
        raise InputError(f"the number of configurations is {configurations}; choosing takes at least 2")
    if blocks % 2 or not 2 <= blocks <= MOST_BLOCKS:
        halves = f" (it has {math.comb(blocks, blocks // 2):,} halves)" if blocks > MOST_BLOCKS else ""
        raise InputError(f"blocks is {blocks}{halves}; it must be even, from 2 to {MOST_BLOCKS}")
    if bars // blocks * (blocks // 2) < 2:
        raise InputError(f"there are {bars} bars for {blocks} blocks; a half takes at least 2 bars")
    unfit = np.argwhere(~np.isfinite(returns))
    if len(unfit):
        bar, configuration = unfit[0]
        raise InputError(
            f"configuration {configuration} returns {returns[bar, configuration]} in bar {bar}; returns must be finite"
        )
    constant = np.flatnonzero(np.ptp(returns, axis=0) == 0)
    if len(constant):
        raise InputError(
            f"configuration {constant[0]} returns {returns[0, constant[0]]:g} in all {bars} bars; a Sharpe ratio takes returns that vary"
        )

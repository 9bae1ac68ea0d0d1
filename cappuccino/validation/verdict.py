"""Whether a configuration was worth anything on bars that it never saw, by a rule that is fixed before it runs."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.bootstrap import Interval, active_growth, bootstrap_interval
from cappuccino.config.verdict import VerdictConfig
from cappuccino.evaluation.baselines import CASH, EQUAL_REBALANCED
from cappuccino.evaluation.metrics import hedged, return_figures
from cappuccino.evaluation.report import MINUS, signed
from cappuccino.evaluation.sharpe import expected_maximum_sharpe, probabilistic_sharpe
from cappuccino.validation.crossed import Crossed


class Verdict(NamedTuple):
    """found: `active.low` is above zero and `deflated` above what the rule asks for.

    benchmark: the better of cash and equal weight rebalanced over the tested bars. active: log growth per bar beyond it, the mean over
    paths and seeds; zero, both ends too, of one that did just what the benchmark does. hedged: Sharpe ratio per bar of returns hedged
    against equal weight, None where they do not vary. luck: the ratio of the best of so many trials of nothing, 0 for one trial.
    deflated: probability that the true hedged ratio is above `luck`; 0 where returns do not vary.
    """

    found: bool
    benchmark: str
    active: Interval
    hedged: float | None
    luck: float
    deflated: float
    trials: int


def judge(crossed: Crossed, rule: VerdictConfig, trials: Float[np.ndarray, "C"]) -> Verdict:
    """trials: hedged Sharpe ratios per bar of every configuration that was tried before this one was chosen; fewer than two for none.

    The returns judged are the means over paths and seeds at every bar, so that bars are the only sample: paths share them.
    Raises InputError where the paths are too short for an interval.
    """
    benchmark = max((CASH, EQUAL_REBALANCED), key=lambda name: crossed.baseline_growth(name).sum())
    growth = np.stack([crossed.growth(), crossed.baseline_growth(benchmark)], axis=1)
    if np.array_equal(growth[:, 0], growth[:, 1]):
        interval = Interval(0.0, 0.0, 0.0, 1.0, 0.0)
    else:
        rng = np.random.default_rng(rule.seed)
        interval = bootstrap_interval(np.expm1(growth), active_growth, rng=rng, draws=rule.draws, confidence=rule.confidence)
    returns = _hedged(crossed)
    figures = return_figures(returns, 1.0)
    ratio, skew, kurtosis = (figures[name] for name in ("sharpe", "skew", "kurtosis"))
    luck = expected_maximum_sharpe(trials) if len(trials) > 1 else 0.0
    probability = 0.0
    if ratio is not None and skew is not None and kurtosis is not None:
        probability = probabilistic_sharpe(ratio, luck, len(returns), skew, kurtosis)
    found = interval.low > 0 and probability > rule.deflated
    return Verdict(found, benchmark, interval, ratio, luck, probability, max(1, len(trials)))


def hedged_ratio(crossed: Crossed) -> float:
    """Sharpe ratio per bar of the mean returns, hedged against equal weight; 0 where they do not vary, as out of the market."""
    return return_figures(_hedged(crossed), 1.0)["sharpe"] or 0.0


def _hedged(crossed: Crossed) -> Float[np.ndarray, "N"]:
    equal = np.mean([path.returns for path in crossed.baselines[EQUAL_REBALANCED]], axis=0)
    return hedged(crossed.returns(), equal)


def sentence(verdict: Verdict, crossed: Crossed, rule: VerdictConfig, bars_a_year: float) -> str:
    """The verdict in a sentence or two, for people."""
    active, year = verdict.active, math.sqrt(bars_a_year)
    paths = len(crossed.agent) * len(crossed.agent[0])
    estimate, low, high = (signed(f"{1e4 * end:+.3f}") for end in (active.estimate, active.low, active.high))
    gain = (
        f"growth beyond {verdict.benchmark} is {estimate} of 1e{MINUS}4 a bar, with {rule.confidence:.0%} confidence "
        f"between {low} and {high}"
    )
    ratio = "undefined" if verdict.hedged is None else f"{signed(f'{verdict.hedged * year:.2f}')} a year"
    luck = (
        f"{signed(f'{verdict.luck * year:.2f}')}, what the best of {verdict.trials} tries of nothing would have"
        if verdict.trials > 1
        else "zero"
    )
    chance = f"the Sharpe ratio of its hedged returns is {ratio}, with a probability of {verdict.deflated:.2f} above {luck}"
    head = "Found" if verdict.found else "Nothing found"
    return (
        f"{head}: out of sample and after costs, over {paths} paths of {len(crossed.rows):,} bars, {gain}; {chance}. "
        f"To be found takes a lower bound above zero and a probability above {rule.deflated}."
    )

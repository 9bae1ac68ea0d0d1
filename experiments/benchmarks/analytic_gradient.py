"""Wall time to what PPO with independent starts has after 80 updates on the planted market: the analytic policy gradient.

Compilation is in both times, for every seed anew; the measuring between updates is in neither. Learning rate and batch of the
analytic gradient are a first guess: nothing was tuned.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import jax
from planted_market import PPO, Point, training
from setting import INDEPENDENT

from cappuccino.bench.interface import Benchmark, Row

SEEDS, UPDATES = 5, 80
APG = ("agent=apg", "env.clocks=64", "env.accounts=1", "agent.learning_rate=1e-2")
EVERY, MOST = 10, 600
LESS = ("data.bars=1500", "data.train_end=null", "data.valid_end=null")


def measure(small: bool) -> Iterator[Row]:
    updates, less = (1, LESS) if small else (UPDATES, ())
    ratios, ours, theirs, details = [], [], [], []
    for seed in range(SEEDS):
        jax.clear_caches()
        usual = next(training((*PPO, *INDEPENDENT, *less), seed=seed, every=updates))
        jax.clear_caches()
        points = list(_until(usual.training, (*APG, *less), seed, most=EVERY if small else MOST))
        reached = points[-1].training >= usual.training
        ratios.append(points[-1].seconds / usual.seconds if reached else float("inf"))
        ours.append(points[-1].seconds)
        theirs.append(usual.seconds)
        details.append({"seed": seed, "ppo": usual._asdict(), "apg": [point._asdict() for point in points]})
    yield Row(
        "analytic gradient over PPO, wall time to the same result",
        tuple(ratios),
        must=0.2,
        aim=0.1,
        higher_is_better=False,
        unit="x",
        details={"by seed": details},
    )
    yield Row("analytic gradient", tuple(ours), unit="s")
    yield Row(f"PPO with independent starts, {updates} updates", tuple(theirs), unit="s")


def _until(growth: float, overrides: tuple[str, ...], seed: int, most: int) -> Iterator[Point]:
    """Points up to the first that has `growth` over the training span."""
    for point in itertools.islice(training(overrides, seed=seed, every=EVERY), most // EVERY):
        yield point
        if point.training >= growth:
            return


BENCHMARK = Benchmark(
    question="In what share of PPO's wall time does the analytic policy gradient learn as much?",
    measure=measure,
)

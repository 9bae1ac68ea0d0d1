"""Updates that PPO with shared clocks needs for what PPO with independent starts has after 80, on the planted market.

Held against one another by mean log growth per bar over the training span under the deterministic policy; the held-out span is
told. Five seeds, each with a market of its own; both sides learn from the same bars.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from planted_market import PPO, Point, training
from setting import INDEPENDENT, SHARED

from cappuccino.bench.interface import Benchmark, Row

SEEDS, UPDATES, EVERY = 5, 80, 5


def measure(small: bool) -> Iterator[Row]:
    seeds, updates, every = (5, 2, 1) if small else (SEEDS, UPDATES, EVERY)
    less = ("data.bars=1500", "data.train_end=null", "data.valid_end=null") if small else ()
    needed, details = [], []
    for seed in range(seeds):
        usual = _points((*PPO, *INDEPENDENT, *less), seed, updates, every)
        ours = _points((*PPO, *SHARED, *less), seed, updates, every)
        needed.append(_updates_to(usual[-1].training, ours))
        details.append({"seed": seed, "independent": [p._asdict() for p in usual], "shared": [p._asdict() for p in ours]})
    mean = float(np.mean(needed))
    yield Row(
        f"updates to independent starts' {updates}, mean of {seeds} seeds",
        (mean,),
        must=45,
        aim=30,
        higher_is_better=False,
        unit="updates",
        exact=True,
        details={"by seed": needed, "curves": details},
    )
    for side in ("independent", "shared"):
        for span in ("training", "held_out"):
            ends = tuple(run[side][-1][span] for run in details)
            yield Row(f"{side} after {updates}, {span.replace('_', ' ')}", ends, unit="% a bar")


def _points(overrides: tuple[str, ...], seed: int, updates: int, every: int) -> list[Point]:
    return list(itertools.islice(training(overrides, seed=seed, every=every), updates // every))


def _updates_to(growth: float, points: list[Point]) -> float:
    """Updates at which the line through the points first has `growth`; infinite where it never does."""
    before = Point(0, 0.0, 0.0, 0.0)
    for point in points:
        if point.training >= growth:
            share = (growth - before.training) / (point.training - before.training)
            return before.update + share * (point.update - before.update)
        before = point
    return float("inf")


BENCHMARK = Benchmark(
    question="How many updates does PPO with shared clocks need for what it learns in 80 with independent starts?",
    measure=measure,
)

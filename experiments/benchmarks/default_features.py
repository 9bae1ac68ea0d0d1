"""What PPO has learnt, out of sample, from the default feature set and 80,000 bars: shared clocks against independent starts.

The planted market, of whose 14 features one is of use; both sides take the same env steps over the same bars, with the network of
`planted_market`. Five seeds, each with a market of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from planted_market import PPO, Point, training
from setting import INDEPENDENT, SHARED

from cappuccino.bench.interface import Benchmark, Row

SEEDS, UPDATES = 5, 80
LESS = ("data.bars=2500", "data.train_end=null", "data.valid_end=null")


def measure(small: bool) -> Iterator[Row]:
    updates, less = (1, LESS) if small else (UPDATES, ())
    ends: dict[str, list[Point]] = {"independent": [], "shared": []}
    for seed in range(SEEDS):
        for side, starts in (("independent", INDEPENDENT), ("shared", SHARED)):
            run = training((*PPO, *starts, *less), seed=seed, every=updates, experiment="planted_default_features")
            ends[side].append(next(run))
    held_out = {side: [point.held_out for point in points] for side, points in ends.items()}
    means = {side: float(np.mean(values)) for side, values in held_out.items()}
    yield Row(
        f"shared over independent, held out, means of {SEEDS} seeds after {updates} updates",
        (means["shared"] / means["independent"],),
        must=1.5,
        aim=3,
        unit="x",
        exact=True,
        details={"means": means},
    )
    for side, points in ends.items():
        yield Row(f"{side}, held out", tuple(point.held_out for point in points), unit="% a bar")
        yield Row(f"{side}, training", tuple(point.training for point in points), unit="% a bar")


BENCHMARK = Benchmark(
    question="What does PPO earn out of sample after the same env steps with the default features, by how accounts share clocks?",
    measure=measure,
)

"""Which clocks, accounts and epochs reach an out-of-sample result first, in seconds: how `setting` was chosen.

Default features, 80,000 bars, 1,024 accounts, as in `default_features`, but on five markets that no other benchmark reads. Time is
of training, its compilation and the measuring left out: the updates a setting needs, times the median seconds of its updates.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator

import numpy as np
from planted_market import PPO, Point, training

from cappuccino.bench.interface import Benchmark, Row

ENOUGH = 0.03
"""% a bar, held out: between what independent starts and shared clocks have after 80 updates."""
SEEDS, MOST, EVERY = range(100, 105), 80, 5
SETTINGS = ((64, 16, 1), (64, 16, 2), (64, 16, 4), (128, 8, 2), (128, 8, 4), (256, 4, 2))
LESS = ("data.bars=2500", "data.train_end=null", "data.valid_end=null")


def seconds_to(enough: float, points: list[Point]) -> float:
    """Infinite where the last point has not got there."""
    if points[-1].held_out < enough:
        return float("inf")
    chunks = np.diff([point.seconds for point in points])  # without the first, which was compiled in
    return points[-1].update / EVERY * statistics.median(chunks) if len(chunks) else points[-1].seconds


def until(enough: float, overrides: tuple[str, ...], seed: int, most: int) -> list[Point]:
    """Points up to the first whose held-out growth is `enough`."""
    points = []
    run = training(overrides, seed=seed, every=EVERY, experiment="planted_default_features", spans=False)
    for point in itertools.islice(run, most // EVERY):
        points.append(point)
        if point.held_out >= enough:
            break
    return points


def measure(small: bool) -> Iterator[Row]:
    settings, most, less = (((8, 2, 1),), EVERY, LESS) if small else (SETTINGS, MOST, ())
    found: dict[tuple[int, int, int], list[list[Point]]] = {setting: [] for setting in settings}
    for seed in SEEDS:
        for clocks, accounts, epochs in settings:
            words = (f"env.clocks={clocks}", f"env.accounts={accounts}", f"agent.epochs={epochs}")
            found[clocks, accounts, epochs].append(until(ENOUGH, (*PPO, *words, *less), seed, most))
    for (clocks, accounts, epochs), runs in found.items():
        yield Row(
            f"{clocks} clocks x {accounts} accounts, {epochs} epochs, to {ENOUGH} % a bar held out",
            tuple(seconds_to(ENOUGH, points) for points in runs),
            unit="s",
            details={"by seed": [{"seed": seed, "points": points} for seed, points in zip(SEEDS, runs, strict=True)]},
        )
        yield Row(
            f"{clocks} x {accounts}, {epochs} epochs, updates",
            tuple(float(points[-1].update) for points in runs),
            unit="updates",
        )


BENCHMARK = Benchmark(
    question="Which clocks, accounts and epochs reach a held-out result first?",
    measure=measure,
)

"""How long an artifact takes to decide."""

from __future__ import annotations

import pathlib
import time

import numpy as np

from cappuccino.artifact.observations import random_observations
from cappuccino.artifact.runtime import load_artifact

DECISIONS, UNTIMED, ROUNDS = 500, 20, 3
"""Of a round, those of it that are not counted, and rounds: the quickest counts, for whatever else runs only makes them slower."""


def measured_limits(folder: pathlib.Path) -> dict[str, float]:
    """Load the artifact and let it decide on random windows: milliseconds of a decision at the 99th percentile.

    Raises InputError where it does not load, or decides what is no portfolio.
    """
    artifact = load_artifact(folder)
    observations = list(zip(*random_observations(artifact.manifest, DECISIONS, np.random.default_rng(0)), strict=True))
    rounds = []
    for _ in range(ROUNDS):
        took = []
        for window, weights in observations:
            begun = time.perf_counter()
            artifact.decide(window, weights)
            took.append(time.perf_counter() - begun)
        rounds.append(float(np.quantile(took[UNTIMED:], 0.99)))
    return {"decide_ms": 1e3 * min(rounds)}

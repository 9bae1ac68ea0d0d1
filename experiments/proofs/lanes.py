"""Seeds as lanes of one program, eight of them at a time, and each alone: the same trainings in float32.

Rounding differs between the two programs and grows over updates, so that trainings part, now and then as far as two seeds are apart;
what they learn on average must not. The measure is mean log growth per bar on the validation span after the last update, by the same
backtest for both. The differences within pairs of the first eight seeds are put to a paired t test, which fails to see a difference;
those of all seeds to two one-sided ones (Schuirmann 1987), which show that there is none as large as half a standard deviation
between seeds.
"""

from __future__ import annotations

import argparse
import sys

import jax
import numpy as np
from flax import nnx
from scipy.stats import ttest_1samp, ttest_rel

from cappuccino.assemble import Training, load_market, training_of
from cappuccino.config.composition import compose
from cappuccino.evaluation.backtest import backtest_span, policy_strategy
from cappuccino.mesh import mesh_of
from cappuccino.training.lanes import RUNNING, LaneProgram, begin_all, lanes_chunk
from cappuccino.training.learner import train_chunk

SEEDS = 8
"""Lanes of a program, and pairs of the first test."""
WORDS = ("experiment=planted", "data.seed=300", "env.clocks=64", "env.accounts=4", "agent.anneal=false")
LEAST_P = 0.05
MARGIN = 0.5
"""Of a standard deviation between seeds: a mean difference that would matter."""


def objective(training: Training, weights: nnx.State, lookback: int) -> float:
    """Percent of log growth a bar on the validation span."""
    data = training.data
    path = backtest_span(
        policy_strategy(training.policy(weights), lookback),
        data.market,
        data.spec,
        data.spans.valid,
        lookback,
        training.params.env,
    )
    return 100 * float(np.mean(np.log1p(path.returns)))


def trained_alone(training: Training, updates: int, lookback: int) -> float:
    given = (training.begin(), training.frozen, training.data.market, training.starts, training.params)
    state, _ = train_chunk(*given, learner=training.learner, updates=updates)
    return objective(training, state.weights, lookback)


def trained_as_lanes(trainings: list[Training], updates: int, lookback: int) -> list[float]:
    """All at once on one device, one chunk long."""
    learner, market, mesh = trainings[0].learner, trainings[0].data.market, mesh_of(jax.devices()[:1])
    lanes = begin_all(learner, [training.lane() for training in trainings], market, mesh)
    program = LaneProgram(learner, updates, at_once=len(trainings))
    lanes, report = lanes_chunk(lanes, market, program=program, mesh=mesh)
    assert (np.asarray(report.status) == RUNNING).all()
    return [
        objective(training, jax.tree.map(lambda leaf, lane=lane: leaf[lane], lanes.state.weights), lookback)
        for lane, training in enumerate(trainings)
    ]


def main(argv: list[str]) -> int:
    """0 if the two are indistinguishable."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=32)
    given = parser.parse_args(argv)
    if given.seeds < SEEDS or given.seeds % SEEDS:
        parser.error(f"--seeds is {given.seeds}; it must be a multiple of {SEEDS}")
    configs = [compose("train", [*WORDS, f"seed={seed}"]) for seed in range(given.seeds)]
    lookback = configs[0].network.lookback
    data = load_market(configs[0].data, tuple(configs[0].features.names), lookback)
    trainings = [training_of(config, data) for config in configs]
    alone = [trained_alone(training, given.updates, lookback) for training in trainings]
    together = [
        value
        for first in range(0, given.seeds, SEEDS)
        for value in trained_as_lanes(trainings[first : first + SEEDS], given.updates, lookback)
    ]
    steps = trainings[0].learner.env_steps_per_update
    print(f"{given.updates} updates of {steps:,} env steps; log growth a bar on the validation span, %")
    for seed, (one, other) in enumerate(zip(alone, together, strict=True)):
        print(f"  seed {seed}: alone {one:+.4f}, as a lane {other:+.4f}")
    apart = np.subtract(together, alone)
    spread = float(np.std(alone, ddof=1))
    print(
        f"  alone {np.mean(alone):+.4f} +- {spread:.4f} over seeds, as lanes {np.mean(together):+.4f} +- "
        f"{np.std(together, ddof=1):.4f}"
    )
    p = float(ttest_rel(together[:SEEDS], alone[:SEEDS]).pvalue) if apart[:SEEDS].any() else 1.0
    print(f"  {SEEDS} pairs apart by {apart[:SEEDS].mean():+.5f}, paired t test p = {p:.3f} (at least {LEAST_P})")
    margin = MARGIN * spread
    below, above = (
        float(ttest_1samp(apart, bound, alternative=side).pvalue) if apart.any() else 0.0
        for bound, side in ((margin, "less"), (-margin, "greater"))
    )
    print(
        f"  {given.seeds} pairs apart by {apart.mean():+.5f} +- {apart.std(ddof=1):.5f}, the largest {np.abs(apart).max():.4f}; "
        f"within {margin:.4f} of zero: p = {max(below, above):.2g} (at most {LEAST_P})"
    )
    good = p >= LEAST_P and max(below, above) <= LEAST_P
    print("  indistinguishable" if good else "  DIFFERENT")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Eight seeds as lanes of one program, and each alone: the same trainings in float32.

Rounding differs between the two programs and grows over updates, so that the trainings part; what they learn must not. The measure
is mean log growth per bar on the validation span after the last update, by the same backtest for both. The differences within
pairs are put to a paired t test, and the largest is held against the spread between seeds.
"""

from __future__ import annotations

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.stats import ttest_rel

from cappuccino.assemble import Training, load_market, training_of
from cappuccino.config.composition import compose
from cappuccino.env import starts_at
from cappuccino.evaluation.backtest import backtest_span, policy_strategy, span_rows
from cappuccino.mesh import mesh_of
from cappuccino.training.lanes import RUNNING, Lane, LaneProgram, begin_all, lanes_chunk
from cappuccino.training.learner import train_chunk

SEEDS = 8
WORDS = ("experiment=planted", "data.seed=300", "env.clocks=64", "env.accounts=4", "agent.anneal=false")
LEAST_P = 0.05


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


def main(argv: list[str]) -> int:
    """0 if the two are indistinguishable."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=60)
    updates = parser.parse_args(argv).updates
    configs = [compose("train", [*WORDS, f"seed={seed}"]) for seed in range(SEEDS)]
    lookback = configs[0].network.lookback
    data = load_market(configs[0].data, tuple(configs[0].features.names), lookback)
    trainings = [training_of(config, data) for config in configs]
    learner = trainings[0].learner
    valid = starts_at(span_rows(data.spec, data.spans.valid, lookback))

    alone = []
    for training in trainings:
        state, _ = train_chunk(
            training.begin(), training.frozen, data.market, training.starts, training.params, learner=learner, updates=updates
        )
        alone.append(objective(training, state.weights, lookback))

    lanes = begin_all(
        learner,
        [
            Lane(
                weights=training.weights,
                frozen=training.frozen,
                starts=training.starts,
                params=training.params,
                valid=valid,
                judged=training.judged,
                patience=jnp.int32(updates),
                key=training.key,
            )
            for training in trainings
        ],
        data.market,
        mesh_of(jax.devices()[:1]),
    )
    program = LaneProgram(learner, updates, at_once=SEEDS)
    lanes, report = lanes_chunk(lanes, data.market, program=program, mesh=mesh_of(jax.devices()[:1]))
    assert (np.asarray(report.status) == RUNNING).all()
    together = [
        objective(training, jax.tree.map(lambda leaf, lane=lane: leaf[lane], lanes.state.weights), lookback)
        for lane, training in enumerate(trainings)
    ]

    print(f"{updates} updates of {learner.env_steps_per_update:,} env steps; log growth a bar on the validation span, %")
    for seed in range(SEEDS):
        print(f"  seed {seed}: alone {alone[seed]:+.4f}, as a lane {together[seed]:+.4f}")
    apart = np.subtract(together, alone)
    p = float(ttest_rel(together, alone).pvalue) if apart.any() else 1.0
    print(
        f"  alone {np.mean(alone):+.4f} +- {np.std(alone, ddof=1):.4f} over seeds, as lanes {np.mean(together):+.4f} +- "
        f"{np.std(together, ddof=1):.4f}"
    )
    print(
        f"  difference within pairs {apart.mean():+.5f} +- {apart.std(ddof=1):.5f}, paired t test p = {p:.3f} (at least {LEAST_P})"
    )
    good = p >= LEAST_P and np.abs(apart).max() <= 2 * np.std(alone, ddof=1)
    print(f"  largest difference {np.abs(apart).max():.4f}, at most two standard deviations between seeds")
    print("  indistinguishable" if good else "  DIFFERENT")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Sixteen small trainings as lanes of one program against one of them alone: env steps per second in total.

64 accounts, a network of width 64, 98 features a bar. Lanes divide over as many devices as there are cores; a training alone has
all cores to itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from setting import ASSETS, EPOCHS

from cappuccino.assemble import load_market, training_of
from cappuccino.bench.interface import Benchmark, Row, interleaved
from cappuccino.config.composition import compose
from cappuccino.env import starts_at
from cappuccino.evaluation.backtest import span_rows
from cappuccino.mesh import mesh_of
from cappuccino.training.lanes import Lane, LaneProgram, begin_all, lanes_chunk
from cappuccino.training.learner import train_chunk

LANES = 16
BARS = {5: (1.5, 3), 48: (1.1, 2)}
"""Look-back to (must, aim)."""
WORDS = (
    ASSETS,
    "data.bars=6000",
    "network=mlp",
    "network.hidden=[64]",
    "network.head=[64]",
    "env.clocks=16",
    "env.accounts=4",
    f"agent.epochs={EPOCHS}",
)
UPDATES = 2
VALID = 64
"""Validation rows: as few as this, so that what is compared is training."""


SMALL = (
    "data.bars=1500",
    "env.clocks=4",
    "training.rollout_steps=8",
    "env.episode_bars=8",
    "network.hidden=[8]",
    "network.head=[8]",
)


def sides(lookback: int, number: int, *overrides: str) -> tuple[dict[str, Callable[[], Any]], int]:
    """One call each of: a training alone, and `number` lanes, on one device and on all; and the env steps of one training in it."""
    config = compose("train", [*WORDS, f"network.lookback={lookback}", *overrides])
    data = load_market(config.data, tuple(config.features.names), lookback)
    training = training_of(config, data)
    learner, weights, frozen = training.learner, training.weights, training.frozen
    starts, params = training.starts, training.params
    valid = starts_at(span_rows(data.spec, data.spans.valid, lookback)[:VALID])
    lanes = [
        Lane(weights, frozen, starts, params, valid, params.env, jnp.int32(10**6), jax.random.key(seed))
        for seed in range(number)
    ]

    def alone() -> Callable[[], None]:
        holder = [training.begin()]

        def run() -> None:
            holder[0], metrics = train_chunk(holder[0], frozen, data.market, starts, params, learner=learner, updates=UPDATES)
            jax.block_until_ready(metrics)

        return run

    def together(devices: list[jax.Device], at_once: int) -> Callable[[], None]:
        mesh, program = mesh_of(devices), LaneProgram(learner, UPDATES, at_once)
        holder = [begin_all(learner, lanes, data.market, mesh)]

        def run() -> None:
            holder[0], report = lanes_chunk(holder[0], data.market, program=program, mesh=mesh)
            jax.block_until_ready(report)

        return run

    devices = jax.devices()
    found = {"alone": alone(), "lanes": together(devices, 1)}
    found["lanes, one device, all at once"] = together(devices[:1], number)
    found["lanes, one device, one after another"] = together(devices[:1], 1)
    return found, UPDATES * learner.env_steps_per_update


def measure(small: bool) -> Iterator[Row]:
    jax.config.update("jax_num_cpu_devices", min(2, os.cpu_count() or 1))
    for lookback, (must, aim) in ({5: BARS[5]} if small else BARS).items():
        number = 4 if small else LANES
        calls, steps = sides(lookback, number, *(SMALL if small else ()))
        timings = interleaved(calls, repeats=5 if small else 7)
        ratios = tuple(number * ratio for ratio in timings.speed_ups("lanes", over="alone"))
        yield Row(
            f"{number} lanes over one, look-back {lookback}", ratios, must=must, aim=aim, unit="x", warm_up_s=timings.warm_up_s
        )
        for name in calls:
            work = steps * (1 if name == "alone" else number) / 1e3
            yield Row(f"{name}, look-back {lookback}", timings.rates(name, work), unit="k steps/s")


BENCHMARK = Benchmark(
    question="How many env steps a second do sixteen trainings make as lanes of one program, against one alone?",
    measure=measure,
)

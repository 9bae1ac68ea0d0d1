"""PPO's env steps per second and memory by look-back, and against one window per sample.

1,024 accounts, 64 steps, 8 minibatches, a 2 x 128 network over 98 features a bar; rollout and epochs in one program. The other
side is the same network, schedule and program with every account on a clock of its own, so that each sample has its own window;
windows are cut from the table where they are needed and never stored there either. Its minibatches are of single samples, as is
usual, or of our stretches of bars, whose windows share multiplications: speed is judged against the faster of the two, memory against
single samples, whose windows are their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from setting import ASSETS, INDEPENDENT, SHARED

from cappuccino.assemble import load_market, training_of
from cappuccino.bench.interface import Benchmark, Row, interleaved
from cappuccino.config.composition import compose
from cappuccino.training.learner import compile_chunk

SMALL = ("env.clocks=8", "env.accounts=4", "training.rollout_steps=16", "env.episode_bars=16")


class Program(NamedTuple):
    """One update, compiled. run: does one and waits. steps: env steps in it. temporary: bytes of its temporaries."""

    run: Callable[[], Any]
    steps: int
    temporary: int


def program(lookback: int, *overrides: str, bars: int = 6000) -> Program:
    words = (f"data.bars={bars}", ASSETS, "network=mlp", "network.head=[128]", "network.hidden=[128]")
    config = compose("train", [*words, f"network.lookback={lookback}", *overrides])
    training = training_of(config, load_market(config.data, tuple(config.features.names), lookback))
    learner, given = training.learner, (training.frozen, training.data.market, training.starts, training.params)
    holder = [training.begin()]
    compiled = compile_chunk(learner, 1, holder[0], *given)

    def run() -> None:
        holder[0], metrics = compiled(holder[0], *given)
        jax.block_until_ready(metrics)

    analysis = compiled.memory_analysis()
    assert analysis is not None
    return Program(run, learner.env_steps_per_update, analysis.temp_size_in_bytes)


def measure(small: bool) -> Iterator[Row]:
    shared, independent = (SMALL, (*SMALL, "env.clocks=32", "env.accounts=1")) if small else (SHARED, INDEPENDENT)
    bars = 1500 if small else 6000
    one, long, single, stretches = (
        "look-back 1",
        "look-back 48",
        "one window per sample, single samples",
        "one window per sample, stretches",
    )
    sides = {
        one: program(1, *shared, bars=bars),
        "look-back 5": program(5, *shared, bars=bars),
        long: program(48, *shared, bars=bars),
        single: program(48, *independent, bars=bars),
        stretches: program(48, *independent, "agent.stretch=16", bars=bars),
    }
    timings = interleaved({name: side.run for name, side in sides.items()}, repeats=5 if small else 7)
    usual = min(single, stretches, key=lambda side: min(timings.seconds[side]))
    ratio = timings.speed_ups
    yield Row("look-back 48 over look-back 1", ratio(long, over=one), must=0.5, aim=0.8, unit="x", warm_up_s=timings.warm_up_s)
    yield Row(
        "look-back 48 over one window per sample", ratio(long, over=usual), must=5, aim=8, unit="x", details={"against": usual}
    )
    temporary = {name: side.temporary for name, side in sides.items()}
    for label, other, must, aim in (
        ("bytes, look-back 48 over look-back 1", one, 1.6, 1.1),
        ("bytes, look-back 48 over one window per sample", single, 0.2, 0.1),
        ("bytes, look-back 48 over one clock per account with our stretches", stretches, None, None),
    ):
        yield Row(
            label,
            (temporary[long] / temporary[other],),
            must=must,
            aim=aim,
            higher_is_better=False,
            unit="x",
            exact=True,
            details=temporary,
        )
    for name, side in sides.items():
        yield Row(name, timings.rates(name, side.steps / 1e3), unit="k steps/s")


BENCHMARK = Benchmark(
    question="What does a long look-back cost PPO, in time and memory, and what would it cost with one window per sample?",
    measure=measure,
)

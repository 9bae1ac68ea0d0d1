"""A backtest of one year of hourly bars under 1,000 cost settings at once: the default network, seven assets, compiled before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from setting import ASSETS

from cappuccino.assemble import load_market, training_of
from cappuccino.bench.interface import Benchmark, Row, interleaved
from cappuccino.config.composition import compose
from cappuccino.evaluation.backtest import policy_strategy, replay
from cappuccino.market import Market

YEAR, SETTINGS = 8760, 1000


def year(bars: int, settings: int) -> Callable[[], Any]:
    """Equity by bar and setting of an untrained policy: taker fees of 0 to 50 bps by half-spreads of 0 to 20 bps."""
    config = compose("train", [f"data.bars={bars + 1500}", ASSETS])
    lookback = config.network.lookback
    training = training_of(config, load_market(config.data, tuple(config.features.names), lookback))
    strategy = policy_strategy(training.policy(training.weights), lookback)
    market, spec, params = training.data.market, training.data.spec, training.params.env
    rows = jnp.asarray(spec.decision_rows(0, len(spec.timestamps) - 1, lookback)[:bars])
    assert len(rows) == bars
    side = int(np.ceil(settings**0.5))
    fees, spreads = (grid.ravel()[:settings] for grid in np.meshgrid(np.linspace(0, 50e-4, side), np.linspace(0, 20e-4, side)))
    cash = jnp.zeros(len(spec.assets), jnp.float32)

    @jax.jit
    def run(arrays: Any, market: Market, fee: jax.Array, spread: jax.Array) -> jax.Array:
        def one(fee: jax.Array, spread: jax.Array) -> jax.Array:
            costs = params.costs._replace(taker_fee=fee, half_spread=spread)
            return replay(strategy.rule, arrays, market, rows, params._replace(costs=costs), cash).equity

        return jax.vmap(one, out_axes=1)(fee, spread)

    given = (strategy.arrays, market, jnp.asarray(fees, jnp.float32), jnp.asarray(spreads, jnp.float32))
    return lambda: jax.block_until_ready(run(*given))


def measure(small: bool) -> Iterator[Row]:
    bars, settings = (200, 20) if small else (YEAR, SETTINGS)
    timings = interleaved({"grid": year(bars, settings)}, repeats=5)
    yield Row(
        f"{bars:,} hourly bars under {settings:,} cost settings",
        timings.seconds["grid"],
        must=5,
        aim=2,
        higher_is_better=False,
        unit="s",
        warm_up_s=timings.warm_up_s,
    )


BENCHMARK = Benchmark(
    question="How long does a backtest of one year of hourly bars take under 1,000 cost settings?",
    measure=measure,
)

"""A backtest of one year of hourly bars under 1,000 cost settings at once: the default network, seven assets, compiled before.

The settings divide over as many devices as there are cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from setting import ASSETS

from cappuccino.assemble import load_market, training_of
from cappuccino.bench.interface import Benchmark, Row, interleaved
from cappuccino.config.composition import compose
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs
from cappuccino.mesh import mesh_of

YEAR, SETTINGS = 8760, 1000


def year(bars: int, settings: int) -> Callable[[], Any]:
    """Equity by bar and setting of an untrained policy: taker fees of 0 to 50 bps by half-spreads of 0 to 20 bps."""
    config = compose("train", [f"data.bars={bars + 1500}", ASSETS])
    lookback = config.network.lookback
    training = training_of(config, load_market(config.data, tuple(config.features.names), lookback))
    strategy = policy_strategy(training.policy(training.weights), lookback)
    market, spec, params = training.data.market, training.data.spec, training.params.env
    rows = spec.decision_rows(0, len(spec.timestamps) - 1, lookback)[:bars]
    assert len(rows) == bars
    side = int(np.ceil(settings**0.5))
    fees, spreads = (grid.ravel()[:settings] for grid in np.meshgrid(np.linspace(0, 50e-4, side), np.linspace(0, 20e-4, side)))
    costs = CostSettings(fees, spreads, np.full(settings, float(params.costs.slippage)))
    mesh = mesh_of()
    return lambda: jax.block_until_ready(equity_by_costs(strategy, market, rows, params, costs, mesh))


def measure(small: bool) -> Iterator[Row]:
    jax.config.update("jax_num_cpu_devices", min(2, os.cpu_count() or 1))
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

"""What a configuration would have grown under other costs than those that it was trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.assemble import Data, env_params
from cappuccino.config.roots import LearningConfig
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs
from cappuccino.evaluation.folds import Folds
from cappuccino.mesh import mesh_of
from cappuccino.validation.crossed import Tested
from cappuccino.validation.trained import Trained

FEES_BPS = (0, 5, 10, 15, 20, 25, 30, 35, 40)
SPREADS_BPS = (0, 3, 6, 12, 24)
"""Half-spread and slippage together: a fill pays their sum."""


class CostSurface(NamedTuple):
    """growth: log growth per bar, the mean over paths and seeds, under each fee and each half-spread with slippage (bps of notional,
    rising; the configuration's own among them).

    break_even_bps: lowest fee at which it is not above zero, half-spread and slippage being the configuration's own, between two fees
    of the grid by a straight line; 0 where there is no growth without a fee, None where there is under the highest too.
    """

    fees_bps: tuple[float, ...]
    spreads_bps: tuple[float, ...]
    own_bps: tuple[float, float]
    growth: Float[np.ndarray, "S F"]
    break_even_bps: float | None


def cost_surface(
    config: LearningConfig, data: Data, folds: Folds, trained: Mapping[tuple[int, int], Trained], seeds: Sequence[int]
) -> CostSurface:
    """Run every fold's policies over its test blocks, from cash each, under all costs at once. They stay as they were trained."""
    costs, lookback = config.costs, config.network.lookback
    own = (float(costs.taker_fee_bps), float(costs.half_spread_bps + costs.slippage_bps))
    fees, spreads = (
        tuple(sorted({float(x) for x in grid} | {one})) for grid, one in zip((FEES_BPS, SPREADS_BPS), own, strict=True)
    )
    spread, fee = (grid.ravel() / 1e4 for grid in np.meshgrid(spreads, fees, indexing="ij"))
    settings = CostSettings(fee, np.zeros_like(fee), spread)
    params = env_params(costs, config.env, data.spec.assets)
    tested, mesh = Tested.of(data.spec, folds, lookback), mesh_of()
    total, steps = np.zeros(len(fee)), 0
    for fold, (rows, number) in enumerate(zip(tested.rows, tested.number, strict=True)):
        begins = np.diff(rows[:number], prepend=rows[0] - 2) != 1
        for seed in seeds:
            strategy = policy_strategy(trained[fold, seed].policy, lookback)
            equity = np.asarray(equity_by_costs(strategy, data.market, rows, params, settings, mesh), np.float64)[:number]
            before = np.where(begins[:, None], float(params.capital), np.roll(equity, 1, axis=0))
            total += np.log(equity / before).sum(axis=0)
            steps += number
    growth = (total / steps).reshape(len(spreads), len(fees))
    return CostSurface(fees, spreads, own, growth, break_even(fees, growth[spreads.index(own[1])]))


def break_even(fees: Sequence[float], growth: Float[np.ndarray, "F"]) -> float | None:
    """Where growth first is not above zero, as `CostSurface` says."""
    lost = np.flatnonzero(growth <= 0)
    if len(lost) == 0:
        return None
    k = int(lost[0])
    if k == 0:
        return float(fees[0])
    return float(fees[k - 1] + (fees[k] - fees[k - 1]) * growth[k - 1] / (growth[k - 1] - growth[k]))

"""What is left of a policy's growth where trading is dearer and later than it is said to be."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Int

from cappuccino.config.sweep import RobustConfig
from cappuccino.env import EnvParams
from cappuccino.evaluation.backtest import Strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
from cappuccino.market import Market
from cappuccino.mesh import mesh_of


def robust_growth(
    strategy: Strategy, market: Market, rows: Int[np.ndarray, "N"], number: int, params: EnvParams, config: RobustConfig
) -> float:
    """The `config.quantile` of mean log growth per bar over all costs and delays of `config`, each as probable as the other.

    rows: at which the strategy decides, from cash wherever they do not follow on each other; the first `number` count, the others are
    copies of the last. Minus infinity where the quantile is that of an account that lost all, or lies beside it.
    """
    factor, delay = np.array(list(itertools.product(config.cost_factors, config.delays)), float).T
    costs = params.costs
    settings = CostSettings(
        *(factor * float(cost) for cost in (costs.taker_fee, costs.half_spread, costs.slippage)), delay=delay.astype(int)
    )
    equity = equity_by_costs(strategy, market, rows, params, settings, mesh_of())
    growth = mean_log_growth(equity[:number], rows[:number], float(params.capital))
    with np.errstate(invalid="ignore"):
        found = float(np.quantile(growth, config.quantile))
    return -math.inf if math.isnan(found) else found

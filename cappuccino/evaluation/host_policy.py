"""A policy that JAX does not run, such as an exported one: what it decides bar by bar, on accounts that the environment moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cappuccino.env import Account, Costs, EnvParams, mark, open_account, trade
from cappuccino.env.environment import bar_at
from cappuccino.env.ruled import opened_risk, under_rules
from cappuccino.market import Market
from cappuccino.risk import Limits, RiskState

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""window (L, A, F) of raw features, asset weights (A,) -> target weights (A,)."""


def host_targets(
    decide: Decide, market: Market, rows: Int[np.ndarray, "N"], params: EnvParams, lookback: int
) -> Float[np.ndarray, "N A"]:
    """The target weights of a backtest over rows, each decided on the account that those before it made.

    As in `evaluation.backtest`, step k decides at the close of rows[k], and where rows[k] is not rows[k-1] + 1 an episode begins,
    from cash. Replayed as a table (`table_strategy`) the targets are the backtest of the policy: the same environment moved the
    account that it saw.
    """
    dtype, assets = market.close.dtype, market.close.shape[1]
    costs = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params.costs)
    costs = costs._replace(rules=costs.rules._replace(increment=costs.rules.increment.reshape(-1, 1)))
    limits = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params.risk)
    features, cash = np.asarray(market.features), np.zeros(assets, dtype)
    begins = np.diff(rows, prepend=rows[0] - 2) != 1
    targets = np.zeros((len(rows), assets), dtype)
    account: Any = None
    risk: RiskState | None = None
    weights: Any = cash
    for k, row in enumerate(rows.tolist()):
        if begins[k]:
            bar = bar_at(market, jnp.int32(row))
            account = open_account(jnp.asarray(cash)[:, None], bar.close, jnp.asarray(params.capital, dtype))
            risk = opened_risk(account, bar, limits)
            weights = cash
        targets[k] = decide(features[row + 1 - lookback : row + 1], np.asarray(weights))
        account, risk, weights = _step(account, risk, targets[k], np.int32(row), market, costs, limits)
    return targets


@jax.jit
def _step(
    account: Account,
    risk: RiskState | None,
    targets: Float[Array, "A"],
    row: Int[Array, ""],
    market: Market,
    costs: Costs,
    limits: Limits | None,
) -> tuple[Account, RiskState | None, Float[Array, "A"]]:
    """The account after the bar, what the risk rules remember, and its weights at its close."""
    bar = bar_at(market, row)
    allowed, risk = under_rules(targets[:, None], risk, account, bar, limits)
    account, _ = trade(account, allowed, bar, costs)
    return account, risk, mark(account, bar.next_close)[:, 0]

"""The reference of the planted market, whose drift is known: how well could one trade if one saw it?

Not the optimum, but a strong player: it weighs drift, variance and costs, with one number fitted on the training span.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from cappuccino.env import EnvParams
from cappuccino.evaluation.backtest import Strategy, replay_one, span_rows
from cappuccino.evaluation.splits import Span
from cappuccino.market import Market, MarketSpec

MOVES = 16
"""A move shifts at most 1 / MOVES of equity; a bar has enough of them to shift all of it."""

HORIZONS = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0, 22.0, 32.0, 45.0, 64.0)


class Vision(NamedTuple):
    """drift: expected log return of bar t + 1 in row t. variance: of that log return. cost: of trading one way, a share.
    horizon: bars over which a position bought now is credited with today's drift."""

    drift: Float[Array, "T A"]
    variance: Float[Array, ""]
    cost: Float[Array, ""]
    horizon: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class OracleRule:
    """Maximises horizon x (w . mean - variance |w|^2 / 2) - cost |w - w_now|_1 over portfolios, by moves of up to 1 / MOVES,
    where mean = drift + variance / 2 is the expected simple return.

    Every move takes weight from the worst holding (or cash) to the best, as long as that gains more than it costs: a
    no-trade band around the growth-optimal portfolio, as wide as cost / horizon on each side.
    """

    def prepare(self, arrays: Vision, market: Market, rows: Int[Array, "N"]) -> Float[Array, "N A"]:
        del market
        return arrays.drift[rows]

    def decide(self, arrays: Vision, inputs: Float[Array, "A"], weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        return jax.vmap(functools.partial(self._decide, arrays, inputs), in_axes=1, out_axes=1)(weights)

    def _decide(self, arrays: Vision, inputs: Float[Array, "A"], weights: Float[Array, "A"]) -> Float[Array, "A"]:
        fee = jnp.append(jnp.full_like(inputs, arrays.cost), 0)
        drift = jnp.append(inputs, 0)
        risky = jnp.append(jnp.ones_like(inputs), 0)

        def move(_: Any, shares: Float[Array, "A1"]) -> Float[Array, "A1"]:
            worth = arrays.horizon * (drift + arrays.variance * (0.5 - shares)) * risky
            giving = jnp.where(shares > 0, worth + fee, jnp.inf)
            taking = worth - fee
            worst, best = jnp.argmin(giving), jnp.argmax(taking)
            amount = jnp.where(taking[best] > giving[worst], jnp.minimum(shares[worst], 1 / MOVES), 0)
            return shares.at[worst].add(-amount).at[best].add(amount)

        shares = jnp.append(weights, jnp.maximum(1 - jnp.sum(weights), 0))
        return jax.lax.fori_loop(0, MOVES + len(shares), move, shares)[:-1]


class OracleFit(NamedTuple):
    """The strategy with the best horizon, and the mean log growth per bar of every horizon tried, on the span fitted on."""

    strategy: Strategy
    horizon: float
    mean_log_growth: dict[float, float]


def oracle_strategy(
    drift: Float[Array | np.ndarray, "T A"], noise: float, params: EnvParams, horizon: float, *, dtype: Any
) -> Strategy:
    """Sees drift[t] (expected log return of bar t + 1) at the close of t. noise: standard deviation of that log return."""
    cost = params.costs.taker_fee + params.costs.half_spread + params.costs.slippage
    return Strategy(
        OracleRule(),
        Vision(
            drift=jnp.asarray(drift, dtype),
            variance=jnp.asarray(noise**2, dtype),
            cost=jnp.asarray(cost, dtype),
            horizon=jnp.asarray(horizon, dtype),
        ),
    )


def fit_oracle(
    drift: Float[Array | np.ndarray, "T A"],
    noise: float,
    market: Market,
    spec: MarketSpec,
    span: Span,
    lookback: int,
    params: EnvParams,
) -> OracleFit:
    """Choose the horizon out of HORIZONS with the highest log growth on a span, which should be the training span.

    All horizons run side by side in one compiled program. Raises InputError for a span without a decision row.
    """
    dtype = market.close.dtype
    rows = jnp.asarray(span_rows(spec, span, lookback), int)
    strategy = oracle_strategy(drift, noise, params, HORIZONS[0], dtype=dtype)
    scores = np.asarray(_growth_by_horizon(jnp.asarray(HORIZONS, dtype), strategy.arrays, market, rows, params))
    best = HORIZONS[int(np.argmax(scores))]
    return OracleFit(
        strategy=oracle_strategy(drift, noise, params, best, dtype=dtype),
        horizon=best,
        mean_log_growth=dict(zip(HORIZONS, scores.tolist(), strict=True)),
    )


@jax.jit
def _growth_by_horizon(
    horizons: Float[Array, "H"], vision: Vision, market: Market, rows: Int[Array, "N"], params: EnvParams
) -> Float[Array, "H"]:
    cash = jnp.zeros(market.close.shape[1], market.close.dtype)
    last = jnp.append(jnp.diff(rows) != 1, jnp.ones(1, bool))

    def growth(horizon: Float[Array, ""]) -> Float[Array, ""]:
        equity = replay_one(OracleRule(), vision._replace(horizon=horizon), market, rows, params, cash).equity
        return jnp.sum(jnp.where(last, jnp.log(equity / params.capital), 0)) / len(rows)

    return jax.vmap(growth)(horizons)

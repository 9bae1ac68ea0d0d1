"""One strategy under many costs and delays at once: an account for each setting, the accounts divided over the devices."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from cappuccino.env import EnvParams
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import LONGEST_DELAY, Rule, Strategy, replay
from cappuccino.market import Market
from cappuccino.mesh import AXIS


class CostSettings(NamedTuple):
    """Costs of S settings, as fractions of the notional (see `cappuccino.env.Costs`), and by how many bars targets reach the
    venue late (see `replay`); None: no setting has a delay."""

    taker_fee: Float[Array | np.ndarray, "S"]
    half_spread: Float[Array | np.ndarray, "S"]
    slippage: Float[Array | np.ndarray, "S"]
    delay: Int[Array | np.ndarray, "S"] | None = None


def equity_by_costs(
    strategy: Strategy,
    market: Market,
    rows: Int[np.ndarray, "N"],
    params: EnvParams,
    settings: CostSettings,
    mesh: Mesh,
) -> Float[Array, "N S"]:
    """Equity (quote currency) after each step and under each setting, from cash; all else as in `backtest`.

    One program is compiled for every rule, shape and number of settings, with and without delays. Raises InputError where the
    settings are not rows of one length, or a delay is not a whole number of 0 to LONGEST_DELAY bars.
    """
    shapes = [np.shape(part) for part in settings if part is not None]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1 or shapes[0][0] == 0:
        raise InputError(f"cost settings have the shapes {shapes}; they must be rows of one length of at least 1")
    delay = settings.delay
    if delay is not None and not np.isin(np.asarray(delay), np.arange(LONGEST_DELAY + 1)).all():
        raise InputError(f"delays are {np.unique(np.asarray(delay)).tolist()} bars; each must be one of 0 to {LONGEST_DELAY}")
    number = shapes[0][0]

    def even(part: Array | np.ndarray, dtype: Any) -> Array:
        """Filled up with copies of the last, so that every device has as many; what they give is cut off."""
        return jnp.asarray(np.pad(part, (0, -number % mesh.size), mode="edge"), dtype)

    filled = CostSettings(
        *(even(part, market.close.dtype) for part in settings[:3]),
        delay=None if delay is None else even(delay, jnp.int32),
    )
    equity = _equities(strategy.rule, strategy.arrays, market, jnp.asarray(rows, int), params, filled, mesh=mesh)
    return equity[:, :number]


@functools.partial(jax.jit, static_argnames=("rule", "mesh"))
def _equities(
    rule: Rule, arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings, *, mesh: Mesh
) -> Float[Array, "N S"]:
    def on_device(
        arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings
    ) -> Float[Array, "N s"]:
        fee, half_spread, slippage, delay = settings
        costs = params.costs._replace(taker_fee=fee, half_spread=half_spread, slippage=slippage)
        cash = jnp.zeros((market.close.shape[1], len(fee)), market.close.dtype)
        late = None if delay is None else jnp.asarray(delay)
        return replay(rule, arrays, market, rows, params._replace(costs=costs), cash, late).equity

    same, spread = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(same, same, same, same, spread), out_specs=PartitionSpec(None, AXIS), check_vma=False
    )(arrays, market, rows, params, settings)


def mean_log_growth(
    equity: Float[Array | np.ndarray, "N S"], rows: Int[np.ndarray, "N"], capital: float
) -> Float[np.ndarray, "S"]:
    """Mean log growth per bar of accounts that start from `capital` wherever a run of rows begins; -inf where one lost all."""
    last = np.append(np.diff(rows) != 1, True)
    with np.errstate(divide="ignore"):
        growth = np.log(np.asarray(equity, np.float64)[last] / capital)
    return growth.sum(axis=0) / len(rows)

"""One strategy under many costs at once: an account for each setting, the accounts divided over the devices."""

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
from cappuccino.evaluation.backtest import Rule, Strategy, replay
from cappuccino.market import Market
from cappuccino.mesh import AXIS


class CostSettings(NamedTuple):
    """Costs of S settings, as fractions of the notional; see `cappuccino.env.Costs`."""

    taker_fee: Float[Array | np.ndarray, "S"]
    half_spread: Float[Array | np.ndarray, "S"]
    slippage: Float[Array | np.ndarray, "S"]


def equity_by_costs(
    strategy: Strategy,
    market: Market,
    rows: Int[np.ndarray, "N"],
    params: EnvParams,
    settings: CostSettings,
    mesh: Mesh,
) -> Float[Array, "N S"]:
    """Equity (quote currency) after each step and under each setting, from cash; all else as in `backtest`.

    One program is compiled for every rule, shape and number of settings. Raises InputError where the settings are not three
    rows of one length.
    """
    shapes = [np.shape(part) for part in settings]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1 or shapes[0][0] == 0:
        raise InputError(f"cost settings have the shapes {shapes}; they must be three rows of one length of at least 1")
    number = shapes[0][0]
    # Filled up with copies of the last, so that every device has as many; what they give is cut off.
    missing = -number % mesh.size
    filled = CostSettings(*(jnp.asarray(np.pad(part, (0, missing), mode="edge"), market.close.dtype) for part in settings))
    equity = _equities(strategy.rule, strategy.arrays, market, jnp.asarray(rows, int), params, filled, mesh=mesh)
    return equity[:, :number]


@functools.partial(jax.jit, static_argnames=("rule", "mesh"))
def _equities(
    rule: Rule, arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings, *, mesh: Mesh
) -> Float[Array, "N S"]:
    def on_device(
        arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings
    ) -> Float[Array, "N s"]:
        costs = params.costs._replace(**settings._asdict())
        cash = jnp.zeros((market.close.shape[1], len(settings.taker_fee)), market.close.dtype)
        return replay(rule, arrays, market, rows, params._replace(costs=costs), cash).equity

    same, spread = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(same, same, same, same, spread), out_specs=PartitionSpec(None, AXIS), check_vma=False
    )(arrays, market, rows, params, settings)

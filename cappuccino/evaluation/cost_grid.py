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
from cappuccino.evaluation.backtest import MOST_DELAY, Rule, Strategy, replay
from cappuccino.market import Market
from cappuccino.mesh import AXIS


class CostSettings(NamedTuple):
    """Costs of S settings, as fractions of the notional (see `cappuccino.env.Costs`), and bars from each decision to its orders, 0 to
    MOST_DELAY; None for no delay in any."""

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

    One program is compiled for every rule, shape and number of settings, and another one for delays. Raises InputError where the
    settings are not rows of one length, and for a delay out of range.
    """
    shapes = [np.shape(part) for part in settings if part is not None]
    if len(shapes[0]) != 1 or len(set(shapes)) != 1 or shapes[0][0] == 0:
        raise InputError(f"cost settings have the shapes {shapes}; they must be rows of one length of at least 1")
    if settings.delay is not None and not ((delay := np.asarray(settings.delay)) >= 0).all() & (delay <= MOST_DELAY).all():
        raise InputError(f"delays run from {delay.min()} to {delay.max()}; they must be 0 to {MOST_DELAY} bars")
    number = shapes[0][0]
    # Filled up with copies of the last, so that every device has as many; what they give is cut off.
    missing = -number % mesh.size
    padded = [part if part is None else np.pad(part, (0, missing), mode="edge") for part in settings]
    costs = (jnp.asarray(part, market.close.dtype) for part in padded[:3])
    filled = CostSettings(*costs, delay=None if padded[3] is None else jnp.asarray(padded[3], jnp.int32))
    equity = _equities(strategy.rule, strategy.arrays, market, jnp.asarray(rows, int), params, filled, mesh=mesh)
    return equity[:, :number]


@functools.partial(jax.jit, static_argnames=("rule", "mesh"))
def _equities(
    rule: Rule, arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings, *, mesh: Mesh
) -> Float[Array, "N S"]:
    def on_device(
        arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, settings: CostSettings
    ) -> Float[Array, "N s"]:
        costs = params.costs._replace(
            taker_fee=settings.taker_fee, half_spread=settings.half_spread, slippage=settings.slippage
        )
        cash = jnp.zeros((market.close.shape[1], len(settings.taker_fee)), market.close.dtype)
        delay = None if settings.delay is None else jnp.asarray(settings.delay)
        return replay(rule, arrays, market, rows, params._replace(costs=costs), cash, delay).equity

    same, spread = PartitionSpec(), PartitionSpec(AXIS)
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(same, same, same, same, spread), out_specs=PartitionSpec(None, AXIS), check_vma=False
    )(arrays, market, rows, params, settings)

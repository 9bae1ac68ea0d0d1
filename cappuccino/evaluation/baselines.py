"""Strategies that anyone can have for nothing, run through the same environment and costs as the agent."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from cappuccino.evaluation.backtest import Strategy, episode_begins
from cappuccino.market import Market, MarketSpec

BUYING_BARS = 2
"""Bars at an episode's start in which the cash left is spent: one order for all of it fills only to 1 / (1 + the venue's
buying-power margin)."""

CASH = "cash"
EQUAL_HELD = "equal weight held"
EQUAL_REBALANCED = "equal weight rebalanced"
REBALANCE_SECONDS = 86_400


class Holding(NamedTuple):
    """shares: of the cash spent on each asset; none of it where all are zero. every: bars between rebalancings, 0 for never."""

    shares: Float[Array, "A"]
    every: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class HoldingRule:
    """Spends its cash in fixed shares, then asks for the weights it has, but for the bars in which it rebalances."""

    def prepare(self, arrays: Holding, market: Market, rows: Int[Array, "N"]) -> tuple[Bool[Array, "N"], Bool[Array, "N"]]:
        del market
        step = jnp.arange(len(rows))
        begins = jnp.where(episode_begins(rows), step, 0)
        age = step - jnp.maximum.accumulate(begins)
        return age < BUYING_BARS, (arrays.every > 0) & (age % jnp.maximum(arrays.every, 1) == 0)

    def decide(self, arrays: Holding, inputs: Any, weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        buying, rebalancing = inputs
        shares = arrays.shares[:, None]
        spent = weights + jnp.maximum(1 - jnp.sum(weights, axis=0), 0) * shares
        return jnp.where(rebalancing, shares, jnp.where(buying, spent, weights))


def holding_strategy(shares: Float[Array, "A"], every: int = 0) -> Strategy:
    """Buy assets in these shares and hold them; rebalance to the shares every so many bars of an episode, 0 for never."""
    return Strategy(HoldingRule(), Holding(shares, jnp.asarray(every, jnp.int32)))


def held_name(spec: MarketSpec) -> str:
    """Name of the single-asset baseline: BTC where the market has it, its first asset otherwise."""
    return f"{'BTC' if 'BTC' in spec.assets else spec.assets[0]} held"


def baselines(spec: MarketSpec, dtype: Any) -> dict[str, Strategy]:
    """Cash; one coin bought and held; equal weight held; equal weight rebalanced once a day, or every bar if bars are longer.

    All four are one compiled program: they differ in arrays only.
    """
    assets = len(spec.assets)
    equal = jnp.full(assets, 1 / assets, dtype)
    name = held_name(spec)
    single = jnp.zeros(assets, dtype).at[spec.assets.index(name.removesuffix(" held"))].set(1)
    return {
        CASH: holding_strategy(jnp.zeros(assets, dtype)),
        name: holding_strategy(single),
        EQUAL_HELD: holding_strategy(equal),
        EQUAL_REBALANCED: holding_strategy(equal, max(1, REBALANCE_SECONDS // spec.bar_seconds)),
    }

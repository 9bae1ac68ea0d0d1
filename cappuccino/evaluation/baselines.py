"""Strategies that anyone can have for nothing, run through the same environment and costs as the agent.

Their shares are tables by market row, made on the host from closes up to that row; so all of them are one compiled program.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Array, Bool, Float, Int

from cappuccino.evaluation.backtest import Path, Strategy, episode_begins
from cappuccino.holding import BUYING_BARS, CASH, EQUAL_HELD, held_name
from cappuccino.market import Market, MarketSpec

EQUAL_REBALANCED = "equal weight rebalanced"
MOMENTUM = "momentum"
INVERSE_VOLATILITY = "inverse volatility"
RANDOM = "random trades"
DAY_SECONDS = 86_400
LOOK_BACK_SECONDS = 21 * DAY_SECONDS
"""What momentum and inverse volatility look back on: three weeks, as the momentum factor of Liu, Tsyvinski and Wu, "Common risk factors
in cryptocurrency", 2022. Until a segment holds as much before a row, and one return at least twice, shares are equal."""


class Holding(NamedTuple):
    """By market row: the share of equity wanted in each asset, summing to at most one, and whether to rebalance to it at that close."""

    shares: Float[Array, "T A"]
    rebalances: Bool[Array, "T"]


@dataclasses.dataclass(frozen=True)
class HoldingRule:
    """At an episode's start spends cash up to the shares, later asks for the weights it has, but in the rows of a rebalancing."""

    def prepare(
        self, arrays: Holding, market: Market, rows: Int[Array, "N"]
    ) -> tuple[Float[Array, "N A"], Bool[Array, "N"], Bool[Array, "N"]]:
        del market
        step = jnp.arange(len(rows))
        begins = jnp.where(episode_begins(rows), step, 0)
        buying = step - jnp.maximum.accumulate(begins) < BUYING_BARS
        return arrays.shares[rows], buying, arrays.rebalances[rows]

    def decide(self, arrays: Holding, inputs: Any, weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        del arrays
        row, buying, rebalancing = inputs
        shares, total = row[:, None], jnp.sum(row)
        missing = jnp.maximum(total - jnp.sum(weights, axis=0), 0)
        spent = weights + missing * shares / jnp.where(total > 0, total, 1)
        return jnp.where(rebalancing, shares, jnp.where(buying, spent, weights))


def holding_strategy(shares: Float[np.ndarray, "#T A"], rebalances: Bool[np.ndarray, "T"], dtype: Any) -> Strategy:
    """Buy assets in these shares and hold them; rebalance to those of the row in the rows that say so."""
    table = np.broadcast_to(shares, (len(rebalances), shares.shape[1]))
    return Strategy(HoldingRule(), Holding(jnp.asarray(table, dtype), jnp.asarray(rebalances)))


def baselines(market: Market, spec: MarketSpec) -> dict[str, Strategy]:
    """Cash; one asset bought and held; equal weight held; and, rebalanced at the end of every day (UTC): equal weight, momentum
    (`momentum_shares`) and inverse volatility (`inverse_volatility_shares`). Where bars are longer than a day, at every close.

    They run as one compiled program: they differ in arrays only.
    """
    bars, assets = market.close.shape
    dtype, name = market.close.dtype, held_name(spec.assets)
    equal = np.full((1, assets), 1 / assets)
    single = np.array([[float(f"{asset} held" == name) for asset in spec.assets]])
    close = np.asarray(market.close, np.float64)
    never, daily = np.zeros(bars, bool), day_ends(spec)
    return {
        CASH: holding_strategy(np.zeros((1, assets)), never, dtype),
        name: holding_strategy(single, never, dtype),
        EQUAL_HELD: holding_strategy(equal, never, dtype),
        EQUAL_REBALANCED: holding_strategy(equal, daily, dtype),
        MOMENTUM: holding_strategy(momentum_shares(close, spec), daily, dtype),
        INVERSE_VOLATILITY: holding_strategy(inverse_volatility_shares(close, spec), daily, dtype),
    }


def day_ends(spec: MarketSpec) -> Bool[np.ndarray, "T"]:
    """Rows whose bar closes on another day (UTC) than it opens on."""
    return (spec.timestamps + spec.bar_seconds) // DAY_SECONDS != spec.timestamps // DAY_SECONDS


def look_back(spec: MarketSpec) -> int:
    """LOOK_BACK_SECONDS in bars, and at least two."""
    return max(2, LOOK_BACK_SECONDS // spec.bar_seconds)


def momentum_shares(close: Float[np.ndarray, "T A"], spec: MarketSpec) -> Float[np.ndarray, "T A"]:
    """Equal shares of the better half of the assets, by return over `look_back` bars up to the row's close; an odd one more than half.

    Of assets with the same return the first in order are taken. Before the look-back is full all assets have equal shares.
    """
    bars, log = look_back(spec), np.log(close)
    trailing = np.full_like(close, np.nan)
    trailing[bars:] = np.where((spec.segment[bars:] == spec.segment[:-bars])[:, None], log[bars:] - log[:-bars], np.nan)
    rank = np.argsort(np.argsort(-trailing, axis=1, kind="stable"), axis=1)
    half = -(-close.shape[1] // 2)
    return _or_equal((rank < half) / half, trailing)


def inverse_volatility_shares(close: Float[np.ndarray, "T A"], spec: MarketSpec) -> Float[np.ndarray, "T A"]:
    """Shares in proportion to one over the standard deviation of log returns over `look_back` bars up to the row's close.

    An asset whose return did not vary in them has no share; where none did, and before the look-back is full, shares are equal.
    """
    growth = np.diff(np.log(close), axis=0, prepend=np.nan)
    growth[np.diff(spec.segment, prepend=-1) != 0] = np.nan
    bars = look_back(spec)
    deviation = np.asarray(pd.DataFrame(growth).rolling(bars).std())
    # Of what has stood still the moving deviation may be a rounding above zero, and its share then everything.
    varies = (deviation > 0) & (np.asarray(pd.DataFrame(growth != 0).rolling(bars).sum()) > 0)
    inverse = np.where(varies, 1 / np.where(varies, deviation, 1), 0)
    total = inverse.sum(axis=1, keepdims=True)
    return _or_equal(inverse / np.where(total > 0, total, 1), np.where(total > 0, deviation, np.nan))


def _or_equal(shares: Float[np.ndarray, "T A"], known: Float[np.ndarray, "T A"]) -> Float[np.ndarray, "T A"]:
    """Equal shares in the rows in which something is not known."""
    return np.where(np.isnan(known).any(axis=1, keepdims=True), 1 / shares.shape[1], shares)


def random_strategy(agent: Path, spec: MarketSpec, dtype: Any, *, rng: np.random.Generator) -> Strategy:
    """Random portfolios, taken up at an episode's start and changed at random bars, that turn over as much as the agent's path did.

    Every bar has a portfolio of its own, drawn evenly from all portfolios of the assets and cash. Of the bars in a random order so
    many are changed at, first ones aside, that the changes from one portfolio to the next, summed over assets and bars, just reach
    the value that the agent traded over equity before, summed; then all portfolios are scaled down so that the two are equal. Prices
    move the weights in between, and costs take some, so that what is traded is only about the same. One that trades more than a
    change at every bar is not reached.
    """
    steps, assets = len(agent), len(agent.assets)
    portfolios = rng.dirichlet(np.ones(assets + 1), steps)[:, :-1]
    order = rng.permutation(np.flatnonzero(~agent.begins))
    traded = float((agent.notional / agent.equity[:-1]).sum())

    def changes(number: int) -> Bool[np.ndarray, "N"]:
        chosen = agent.begins.copy()
        chosen[order[:number]] = True
        return chosen

    def turnover(number: int) -> float:
        """Never less for more changes: what is inserted between two portfolios cannot shorten the way."""
        at = np.flatnonzero(changes(number))
        before = np.where(agent.begins[at, None], 0, portfolios[np.roll(at, 1)])
        return float(np.abs(portfolios[at] - before).sum())

    fewest, most = 0, len(order)
    while fewest < most:
        middle = (fewest + most) // 2
        fewest, most = (fewest, middle) if turnover(middle) >= traded else (middle + 1, most)
    chosen = changes(fewest)
    current = np.maximum.accumulate(np.where(chosen, np.arange(steps), 0))
    shares, rebalances = np.zeros((len(spec.timestamps), assets)), np.zeros(len(spec.timestamps), bool)
    shares[agent.rows] = min(1.0, traded / turnover(fewest)) * portfolios[current]
    rebalances[agent.rows] = chosen
    return holding_strategy(shares, rebalances, dtype)

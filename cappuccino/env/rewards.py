"""Rewards of one account over one bar, by name, and the penalties that may be taken off.

A reward is a pair of pure functions, `init` and `step`, on a state of its own (`()` where it needs none), in the manner of an
Optax transformation. Its unit is named in its docstring; the sum is multiplied by `RewardWeights.scale` at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from cappuccino.extensions import add

State = Any


class RewardWeights(NamedTuple):
    """Traced weights of a reward.

    scale: factor on the whole. turnover: per unit of equity traded. drawdown: per unit by which the drawdown deepens.
    concentration: per unit of the weights' sum of squares, per bar. sharpe_rate: 1 / bars over which the moving moments of the
    differential Sharpe ratio forget.
    """

    scale: Float[Array, ""]
    turnover: Float[Array, ""]
    drawdown: Float[Array, ""]
    concentration: Float[Array, ""]
    sharpe_rate: Float[Array, ""]


class Outcome(NamedTuple):
    """What happened to accounts over one bar.

    growth: equity over equity before, a ratio. market_growth: the same for equal weights at closes, without costs.
    turnover: notional traded over equity before. deepening: rise of the drawdown from the peak, in shares of the peak, >= 0.
    weights: asset weights at the bar's close.
    """

    growth: Float[Array, "*B"]
    market_growth: Float[Array, "*b"]
    turnover: Float[Array, "*B"]
    deepening: Float[Array, "*B"]
    weights: Float[Array, "A *B"]


class Reward(NamedTuple):
    """init(equity) -> state; step(state, outcome, weights) -> (reward, state)."""

    init: Callable[[Float[Array, "*B"]], State]
    step: Callable[[State, Outcome, RewardWeights], tuple[Float[Array, "*B"], State]]


class SharpeMoments(NamedTuple):
    """Exponential moving mean and mean square of an account's log growth per bar."""

    mean: Float[Array, "*B"]
    square: Float[Array, "*B"]


def stateless(value: Callable[[Outcome], Float[Array, "*B"]]) -> Reward:
    """A reward that is a function of the bar's outcome alone."""

    def step(state: State, outcome: Outcome, weights: RewardWeights) -> tuple[Float[Array, "*B"], State]:
        del weights
        return value(outcome), state

    return Reward(init=lambda equity: (), step=step)  # noqa: ARG005


def _log_growth(outcome: Outcome) -> Float[Array, "*B"]:
    """Log growth of equity per bar, a pure number."""
    return jnp.log(outcome.growth)


def _excess(outcome: Outcome) -> Float[Array, "*B"]:
    """Log growth of equity less that of equal weights rebalanced at every close without costs, a pure number per bar."""
    return jnp.log(outcome.growth) - jnp.log(outcome.market_growth)


_MOMENT_FLOOR = 1e-8
"""Smallest variance of log growth in the differential Sharpe ratio: (1 bp a bar) squared."""

_MOMENT_START = 1e-4
"""Mean square of log growth that an account begins with: (1 % a bar) squared. From the floor, its first bars would count
100-fold."""


def _differential_sharpe() -> Reward:
    """Derivative of the moving Sharpe ratio with respect to the forgetting rate (Moody and Saffell 1998, eq. 8).

    rate x D, D = (B dA - A dB / 2) / (B - A^2)^(3/2), dA = x - A, dB = x^2 - B, x the log growth; A and B then move by the
    rate, sharpe_rate. A pure number per bar. The variance B - A^2 is at least (1 bp)^2 a bar: below that a Sharpe ratio means
    nothing.
    """

    def init(equity: Float[Array, "*B"]) -> SharpeMoments:
        return SharpeMoments(mean=jnp.zeros_like(equity), square=jnp.full_like(equity, _MOMENT_START))

    def step(state: SharpeMoments, outcome: Outcome, weights: RewardWeights) -> tuple[Float[Array, "*B"], SharpeMoments]:
        growth = jnp.log(outcome.growth)
        change, change_square = growth - state.mean, growth**2 - state.square
        variance = jnp.maximum(state.square - state.mean**2, _MOMENT_FLOOR)
        value = (state.square * change - 0.5 * state.mean * change_square) / variance**1.5
        rate = weights.sharpe_rate
        return rate * value, SharpeMoments(state.mean + rate * change, state.square + rate * change_square)

    return Reward(init=init, step=step)


REWARDS: dict[str, Reward] = {
    "log_growth": stateless(_log_growth),
    "excess": stateless(_excess),
    "differential_sharpe": _differential_sharpe(),
}


def add_reward(name: str, reward: Reward) -> None:
    """Make a reward of your own what `env.reward.name=NAME` trains by."""
    add("reward", REWARDS, name, reward)


def penalty(outcome: Outcome, weights: RewardWeights) -> Float[Array, "*B"]:
    """What is taken off the reward: the three penalties, each in units of the reward before scaling."""
    concentration = jnp.sum(outcome.weights**2, axis=0)
    return weights.turnover * outcome.turnover + weights.drawdown * outcome.deepening + weights.concentration * concentration

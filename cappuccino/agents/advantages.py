"""Advantages of a rollout: generalised estimates, and relative to the other accounts on the same tick."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def generalised_advantages(
    reward: Float[Array, "N *B"],
    value: Float[Array, "N *B"],
    terminated: Bool[Array, "N *B"],
    last_value: Float[Array, "*B"],
    gamma: Float[Array, ""],
    gae_lambda: Float[Array, ""],
) -> Float[Array, "N *B"]:
    """Generalised advantage estimates (Schulman et al. 2016).

    A termination cuts both the bootstrapped value and the sum behind it. A rollout ends in a truncation or in the middle of an
    episode, and both are bootstrapped with `last_value`.
    """

    def backwards(
        carry: tuple[Array, Array], step: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Float[Array, "*B"]]:
        advantage, next_value = carry
        reward_t, value_t, terminated_t = step
        alive = 1 - terminated_t.astype(value_t.dtype)
        delta = reward_t + gamma * next_value * alive - value_t
        advantage = delta + gamma * gae_lambda * alive * advantage
        return (advantage, value_t), advantage

    start = (jnp.zeros_like(last_value), last_value)
    _, advantages = jax.lax.scan(backwards, start, (reward, value, terminated), reverse=True)
    return advantages


def relative_to_others(advantage: Float[Array, "*N R"]) -> Float[Array, "*N R"]:
    """Each account's advantage less the mean of the R - 1 others on its tick; unchanged where there is no other.

    The accounts of a tick share the market's noise, which so cancels (common random numbers). The others' mean does not depend on
    the account's own action: a baseline of this kind leaves the expected gradient as it is.
    """
    accounts = advantage.shape[-1]
    if accounts == 1:
        return advantage
    return (advantage - jnp.mean(advantage, axis=-1, keepdims=True)) * (accounts / (accounts - 1))

"""Stepping a policy through the environment. Every bar's market features are encoded once, before the first step: clocks wait
for nobody, so the ticks of a rollout are known when it begins, and the window of a bar is shared by all accounts on it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cappuccino.agents.agent import StepMetrics, step_metrics
from cappuccino.agents.networks import Policy
from cappuccino.env import Environment, EnvParams, EnvState
from cappuccino.market import Market, windows

LOG_2PI = 1.8378770664093453

ENCODED_BARS = 512
"""Bars encoded at once: bounds the memory that windows take, whatever the number of clocks."""


class Rollout(NamedTuple):
    """What N steps left behind. `weights` are the accounts' asset weights when they acted, `action` the sampled logits."""

    tick: Int[Array, "N G"]
    weights: Float[Array, "N G R A"]
    action: Float[Array, "N G R A+1"]
    log_prob: Float[Array, "N G R"]
    value: Float[Array, "N G R"]
    reward: Float[Array, "N G R"]
    terminated: Bool[Array, "N G R"]
    last_value: Float[Array, "G R"]


def gaussian_log_prob(
    action: Float[Array, "*N K"], mean: Float[Array, "*N K"], log_std: Float[Array, ""]
) -> Float[Array, "*N"]:
    """Log density of independent Gaussians with one standard deviation, summed over the last axis."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z**2, axis=-1) - action.shape[-1] * (log_std + 0.5 * LOG_2PI)


def gaussian_entropy(dimensions: int, log_std: Float[Array, ""]) -> Float[Array, ""]:
    """Entropy in nats of that density."""
    return dimensions * (log_std + 0.5 * (LOG_2PI + 1))


def encode_ahead(policy: Policy, tick: Int[Array, "G"], steps: int, market: Market) -> Any:
    """Embeddings of the `steps` bars that begin at each clock's tick, leaves with axes (steps, G)."""
    lookback = policy.shape.lookback

    def encode(last: Int[Array, "*b"]) -> Any:
        return policy.encode(windows(market.features, last, lookback + steps - 1))

    together = max(1, ENCODED_BARS // steps)
    last = tick + (steps - 1)
    embeddings = encode(last) if together >= tick.shape[0] else jax.lax.map(encode, last, batch_size=together)
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), embeddings)


def observe(env: Environment, state: EnvState, market: Market) -> Float[Array, "G R A"]:
    """The accounts' part of the observation, as networks take it: assets last."""
    return jnp.moveaxis(env.weights(state, market), 0, -1)


def roll_out(
    policy: Policy, env: Environment, state: EnvState, steps: int, market: Market, params: EnvParams, *, key: PRNGKeyArray
) -> tuple[EnvState, Rollout, StepMetrics]:
    """`steps` steps of all accounts under the policy's Gaussian over logits."""
    key_fresh, key_noise = jax.random.split(key)
    embeddings = encode_ahead(policy, state.tick, steps + 1, market)
    fresh = env.random_weights(market.close.shape[1], market.close.dtype, key=key_fresh)
    log_std = policy.log_std[...]

    def step(state: EnvState, inputs: tuple) -> tuple[EnvState, tuple]:
        embedding, key = inputs
        weights = observe(env, state, market)
        mean = policy.logits(embedding, weights)
        action = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        after, out = env.step(state, jnp.moveaxis(policy.targets(action, weights), -1, 0), fresh, market, params)
        log_prob = gaussian_log_prob(action, mean, log_std)
        record = (state.tick, weights, action, log_prob, policy.value(embedding, weights), out.reward, out.terminated)
        return after, (record, step_metrics(state, out))

    now = jax.tree.map(lambda leaf: leaf[:-1], embeddings)
    state, (record, metrics) = jax.lax.scan(step, state, (now, jax.random.split(key_noise, steps)))
    last_value = policy.value(jax.tree.map(lambda leaf: leaf[-1], embeddings), observe(env, state, market))
    return state, Rollout(*record, last_value=last_value), jax.tree.map(jnp.mean, metrics)

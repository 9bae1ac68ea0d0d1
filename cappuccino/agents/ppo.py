"""Proximal policy optimisation (Schulman et al. 2017) over ticks: a minibatch is a set of ticks with all their accounts.

Time-major arrays (N, G, R): N steps, G clocks, R accounts. The window of a tick is encoded once per minibatch for all of its
accounts; no window is stored, only the tick.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cappuccino.agents.networks import Policy
from cappuccino.errors import InputError
from cappuccino.market import windows

LOG_2PI = 1.8378770664093453


@dataclasses.dataclass(frozen=True)
class PPOShape:
    """Epochs over a rollout and minibatches in an epoch. Changing it recompiles.

    relative: take each account's advantage relative to the other accounts on its tick, which lived through the same market.
    """

    epochs: int
    minibatches: int
    relative: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise InputError(f"agent.{name} is {getattr(self, name)}; it must be at least 1")


class PPOParams(NamedTuple):
    """Traced hyperparameters.

    clip bounds the ratio of probabilities, value_clip the move of the value (in units of the reward). target_kl ends an
    update's remaining minibatches once the mean KL divergence from the rollout's policy exceeds it (infinite: never).
    final_rate is the share of the learning rate left at the last of `updates` updates; the decay is linear.
    """

    learning_rate: Float[Array, ""]
    final_rate: Float[Array, ""]
    updates: Float[Array, ""]
    gamma: Float[Array, ""]
    gae_lambda: Float[Array, ""]
    clip: Float[Array, ""]
    value_clip: Float[Array, ""]
    entropy: Float[Array, ""]
    value_coefficient: Float[Array, ""]
    max_gradient_norm: Float[Array, ""]
    target_kl: Float[Array, ""]


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


class Samples(NamedTuple):
    """A minibatch: M ticks with their R accounts."""

    tick: Int[Array, "M"]
    weights: Float[Array, "M R A"]
    action: Float[Array, "M R A+1"]
    log_prob: Float[Array, "M R"]
    value: Float[Array, "M R"]
    returns: Float[Array, "M R"]
    advantage: Float[Array, "M R"]


class LossMetrics(NamedTuple):
    """Of one minibatch. kl: mean of ratio - 1 - log ratio (Schulman 2020). clipped: share of ratios beyond the clip."""

    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    entropy: Float[Array, ""]
    kl: Float[Array, ""]
    clipped: Float[Array, ""]
    gradient_norm: Float[Array, ""]


def gaussian_log_prob(
    action: Float[Array, "*N K"], mean: Float[Array, "*N K"], log_std: Float[Array, ""]
) -> Float[Array, "*N"]:
    """Log density of independent Gaussians with one standard deviation, summed over the last axis."""
    z = (action - mean) * jnp.exp(-log_std)
    return -0.5 * jnp.sum(z**2, axis=-1) - action.shape[-1] * (log_std + 0.5 * LOG_2PI)


def gaussian_entropy(dimensions: int, log_std: Float[Array, ""]) -> Float[Array, ""]:
    """Entropy in nats of that density."""
    return dimensions * (log_std + 0.5 * (LOG_2PI + 1))


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


def ppo_loss(
    policy: Policy, samples: Samples, features: Float[Array, "T A F"], params: PPOParams
) -> tuple[Float[Array, ""], LossMetrics]:
    """Clipped surrogate plus clipped value loss less the entropy bonus, averaged over a minibatch.

    `features` are normalised; the surrogate takes advantages standardised over the minibatch.
    """
    embedding = policy.embed(windows(features, samples.tick, policy.shape.lookback))
    mean = policy.logits(embedding, samples.weights)
    value = policy.value(embedding, samples.weights)
    log_std = policy.log_std[...]

    advantage = (samples.advantage - jnp.mean(samples.advantage)) / (jnp.std(samples.advantage) + 1e-8)
    log_ratio = gaussian_log_prob(samples.action, mean, log_std) - samples.log_prob
    ratio = jnp.exp(log_ratio)
    bounded = jnp.clip(ratio, 1 - params.clip, 1 + params.clip)
    policy_loss = -jnp.mean(jnp.minimum(ratio * advantage, bounded * advantage))

    near = samples.value + jnp.clip(value - samples.value, -params.value_clip, params.value_clip)
    value_loss = 0.5 * jnp.mean(jnp.maximum((value - samples.returns) ** 2, (near - samples.returns) ** 2))

    entropy = gaussian_entropy(mean.shape[-1], log_std)
    loss = policy_loss + params.value_coefficient * value_loss - params.entropy * entropy
    return loss, LossMetrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        kl=jnp.mean(ratio - 1 - log_ratio),
        clipped=jnp.mean((jnp.abs(ratio - 1) > params.clip).astype(ratio.dtype)),
        gradient_norm=jnp.zeros_like(loss),
    )


def optimiser(params: PPOParams) -> optax.GradientTransformation:
    """Adam behind a clip of the global gradient norm; the learning rate is applied by `ppo_update`, traced."""
    return optax.chain(optax.clip_by_global_norm(params.max_gradient_norm), optax.scale_by_adam(eps=1e-5))  # pyright: ignore[reportArgumentType]


def ppo_update(
    weights: nnx.State,
    opt_state: optax.OptState,
    frozen: nnx.State,
    graph: nnx.GraphDef[Policy],
    rollout: Rollout,
    features: Float[Array, "T A F"],
    update: Int[Array, ""],
    shape: PPOShape,
    params: PPOParams,
    *,
    key: PRNGKeyArray,
) -> tuple[nnx.State, optax.OptState, LossMetrics, Float[Array, ""]]:
    """Epochs of minibatches over one rollout.

    Returns parameters, optimiser state, the metrics' mean over the minibatches that were applied, and their share of all.
    """
    steps, clocks = rollout.tick.shape
    advantage = generalised_advantages(
        rollout.reward, rollout.value, rollout.terminated, rollout.last_value, params.gamma, params.gae_lambda
    )
    samples = Samples(
        tick=rollout.tick,
        weights=rollout.weights,
        action=rollout.action,
        log_prob=rollout.log_prob,
        value=rollout.value,
        returns=advantage + rollout.value,
        advantage=relative_to_others(advantage) if shape.relative else advantage,
    )
    samples = jax.tree.map(lambda x: x.reshape(steps * clocks, *x.shape[2:]), samples)
    progress = update.astype(params.updates.dtype) / params.updates
    rate = params.learning_rate * (1 - (1 - params.final_rate) * jnp.minimum(progress, 1))
    transform = optimiser(params)

    def loss(weights: nnx.State, minibatch: Samples) -> tuple[Float[Array, ""], LossMetrics]:
        return ppo_loss(nnx.merge(graph, weights, frozen), minibatch, features, params)

    def apply(carry: tuple, minibatch: Samples) -> tuple[tuple, LossMetrics]:
        weights, opt_state, _ = carry
        gradients, metrics = jax.grad(loss, has_aux=True)(weights, minibatch)
        changes, opt_state = transform.update(gradients, opt_state)
        weights = jax.tree.map(lambda weight, change: weight - rate * change, weights, changes)
        metrics = metrics._replace(gradient_norm=optax.tree.norm(gradients))
        return (weights, opt_state, metrics.kl > params.target_kl), metrics

    def skip(carry: tuple, minibatch: Samples) -> tuple[tuple, LossMetrics]:
        del minibatch
        return carry, LossMetrics(*([jnp.zeros_like(rate)] * len(LossMetrics._fields)))

    def step(carry: tuple, rows: Int[Array, "M"]) -> tuple[tuple, tuple[LossMetrics, Bool[Array, ""]]]:
        stopped = carry[2]
        minibatch = jax.tree.map(lambda x: x[rows], samples)
        carry, metrics = jax.lax.cond(stopped, skip, apply, carry, minibatch)
        return carry, (metrics, ~stopped)

    orders = jax.vmap(lambda k: jax.random.permutation(k, steps * clocks))(jax.random.split(key, shape.epochs))
    rows = orders.reshape(shape.epochs * shape.minibatches, -1)
    (weights, opt_state, _), (metrics, applied) = jax.lax.scan(step, (weights, opt_state, jnp.zeros((), bool)), rows)
    count = jnp.sum(applied.astype(rate.dtype))
    return weights, opt_state, jax.tree.map(lambda x: jnp.sum(x) / count, metrics), count / len(rows)

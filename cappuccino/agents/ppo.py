"""Proximal policy optimisation (Schulman et al. 2017) over stretches of bars: a minibatch is a set of stretches with all their
accounts. A stretch is encoded once per minibatch for all of its accounts; no window is stored, only the ticks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from cappuccino.agents.advantages import generalised_advantages, relative_to_others
from cappuccino.agents.agent import Learned, Progress, World
from cappuccino.agents.networks import Policy
from cappuccino.agents.optimisation import OptimiserParams, descend, rate_at
from cappuccino.agents.rollout import Rollout, gaussian_entropy, gaussian_log_prob, roll_out
from cappuccino.env import Environment
from cappuccino.errors import InputError
from cappuccino.market import windows


class PPOParams(NamedTuple):
    """Traced hyperparameters.

    clip bounds the ratio of probabilities, value_clip the move of the value (in units of the reward). target_kl ends an
    update's remaining minibatches once the mean KL divergence from the rollout's policy exceeds it (infinite: never).
    """

    optimiser: OptimiserParams
    gamma: Float[Array, ""]
    gae_lambda: Float[Array, ""]
    clip: Float[Array, ""]
    value_clip: Float[Array, ""]
    entropy: Float[Array, ""]
    value_coefficient: Float[Array, ""]
    target_kl: Float[Array, ""]


class Samples(NamedTuple):
    """A minibatch: M stretches of S ticks in a row, with their R accounts."""

    tick: Int[Array, "M S"]
    weights: Float[Array, "M S R A"]
    action: Float[Array, "M S R A+1"]
    log_prob: Float[Array, "M S R"]
    value: Float[Array, "M S R"]
    returns: Float[Array, "M S R"]
    advantage: Float[Array, "M S R"]


class PPOMetrics(NamedTuple):
    """kl: mean of ratio - 1 - log ratio (Schulman 2020). clipped: share of ratios beyond the clip."""

    policy_loss: Float[Array, ""]
    value_loss: Float[Array, ""]
    entropy: Float[Array, ""]
    kl: Float[Array, ""]
    clipped: Float[Array, ""]
    gradient_norm: Float[Array, ""]


class UpdateMetrics(NamedTuple):
    """Of one update: `minibatch` is the mean over the minibatches that were applied, `applied` their share of all.

    explained_variance: share of the returns' variance that the rollout's values explain.
    """

    minibatch: PPOMetrics
    applied: Float[Array, ""]
    explained_variance: Float[Array, ""]
    log_std: Float[Array, ""]


def ppo_loss(
    policy: Policy, samples: Samples, features: Float[Array, "T A F"], params: PPOParams
) -> tuple[Float[Array, ""], PPOMetrics]:
    """Clipped surrogate plus clipped value loss less the entropy bonus, averaged over a minibatch.

    `features` are normalised; the surrogate takes advantages standardised over the minibatch.
    """
    stretch = samples.tick.shape[1]
    embedding = policy.encode(windows(features, samples.tick[:, -1], policy.shape.lookback + stretch - 1))
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
    return loss, PPOMetrics(
        policy_loss=policy_loss,
        value_loss=value_loss,
        entropy=entropy,
        kl=jnp.mean(ratio - 1 - log_ratio),
        clipped=jnp.mean((jnp.abs(ratio - 1) > params.clip).astype(ratio.dtype)),
        gradient_norm=jnp.zeros_like(loss),
    )


@dataclasses.dataclass(frozen=True)
class PPO:
    """Epochs over a rollout and minibatches in an epoch. Changing it recompiles.

    stretch: bars in a row that stay together in a minibatch, at most: encoders share the bars of their windows, and the
    minibatches have fewer places in the market. relative: take each account's advantage relative to the other accounts on its
    tick, which lived through the same market.
    """

    compiler_options: ClassVar[Mapping[str, bool]] = {}

    epochs: int
    minibatches: int
    stretch: int = 16
    relative: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "minibatches", "stretch"):
            if getattr(self, name) < 1:
                raise InputError(f"agent.{name} is {getattr(self, name)}; it must be at least 1")

    def check(self, env: Environment, steps: int) -> None:
        """The ticks of a rollout divide into the minibatches, or InputError."""
        if (env.clocks * steps) % self.minibatches:
            raise InputError(
                f"agent.minibatches is {self.minibatches}; it must divide env.clocks x training.rollout_steps, "
                f"{env.clocks * steps}"
            )

    def stretch_of(self, steps: int, clocks: int) -> int:
        """Bars in a row that do stay together: at most `stretch`, and such that minibatches are of equal size."""
        return math.gcd(self.stretch, steps, steps * clocks // self.minibatches)

    def update(
        self, world: World, progress: Progress, params: PPOParams, update: Int[Array, ""], *, key: PRNGKeyArray
    ) -> Learned:
        """A rollout and the epochs over it, as `cappuccino.agents.agent.Agent.update`."""
        key_rollout, key_epochs = jax.random.split(key)
        graph, frozen, env, steps, market, env_params = world
        policy = nnx.merge(graph, progress.weights, frozen)
        state, rollout, metrics = roll_out(policy, env, progress.env, steps, market, env_params, key=key_rollout)
        weights, opt_state, minibatch, applied = self.epochs_over(
            rollout, graph, progress.weights, frozen, progress.opt_state, market.features, params, update, key=key_epochs
        )
        loss = UpdateMetrics(minibatch, applied, _explained_variance(rollout, params), policy.log_std[...])
        return Learned(Progress(weights, opt_state, state), metrics, loss)

    def epochs_over(
        self,
        rollout: Rollout,
        graph: nnx.GraphDef[Policy],
        weights: nnx.State,
        frozen: nnx.State,
        opt_state: optax.OptState,
        features: Float[Array, "T A F"],
        params: PPOParams,
        update: Int[Array, ""],
        *,
        key: PRNGKeyArray,
    ) -> tuple[nnx.State, optax.OptState, PPOMetrics, Float[Array, ""]]:
        """Epochs of minibatches over one rollout.

        Returns parameters, optimiser state, the metrics' mean over the minibatches that were applied, and their share of all.
        """
        samples = self.samples(rollout, params)
        stretches = samples.tick.shape[0]
        rate = rate_at(update, params.optimiser)

        def loss(weights: nnx.State, minibatch: Samples) -> tuple[Float[Array, ""], PPOMetrics]:
            return ppo_loss(nnx.merge(graph, weights, frozen), minibatch, features, params)

        orders = jax.vmap(lambda k: jax.random.permutation(k, stretches))(jax.random.split(key, self.epochs))
        rows = orders.reshape(self.epochs * self.minibatches, -1)

        def goes_on(carry: tuple) -> Bool[Array, ""]:
            applied, stopped = carry[0], carry[1]
            return (applied < len(rows)) & ~stopped

        def step(carry: tuple) -> tuple:
            applied, _, weights, opt_state, total = carry
            minibatch = jax.tree.map(lambda x: x[rows[applied]], samples)
            gradients, metrics = jax.grad(loss, has_aux=True)(weights, minibatch)
            weights, opt_state = descend(weights, opt_state, gradients, rate, params.optimiser)
            metrics = metrics._replace(gradient_norm=optax.tree.norm(gradients))
            return applied + 1, metrics.kl > params.target_kl, weights, opt_state, jax.tree.map(jnp.add, total, metrics)

        nothing = PPOMetrics(*([jnp.zeros_like(rate)] * len(PPOMetrics._fields)))
        begun = (jnp.int32(0), jnp.zeros((), bool), weights, opt_state, nothing)
        applied, _, weights, opt_state, total = jax.lax.while_loop(goes_on, step, begun)
        count = applied.astype(rate.dtype)
        return weights, opt_state, jax.tree.map(lambda x: x / count, total), count / len(rows)

    def samples(self, rollout: Rollout, params: PPOParams) -> Samples:
        """The rollout's steps with their advantages and returns, cut into stretches."""
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
            advantage=relative_to_others(advantage) if self.relative else advantage,
        )
        stretch = self.stretch_of(steps, clocks)

        def cut(x: Shaped[Array, "N G ..."]) -> Shaped[Array, "M S ..."]:
            by_clock = jnp.swapaxes(x.reshape(steps // stretch, stretch, clocks, *x.shape[2:]), 1, 2)
            return by_clock.reshape(-1, stretch, *x.shape[2:])

        return jax.tree.map(cut, samples)


def _explained_variance(rollout: Rollout, params: PPOParams) -> Float[Array, ""]:
    """1 - var(r + gamma V' - V) / var(r + gamma V'), one step ahead."""
    following = jnp.concatenate([rollout.value[1:], rollout.last_value[None]])
    target = rollout.reward + params.gamma * following * (1 - rollout.terminated.astype(rollout.value.dtype))
    return 1 - jnp.var(target - rollout.value) / (jnp.var(target) + 1e-12)

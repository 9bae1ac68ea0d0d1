"""Analytic policy gradient: the reward differentiated straight through the simulated accounts, over a truncated horizon.

A small account does not move the market and the accounting is differentiable, so the gradient of what a policy earns with
respect to its parameters needs no estimate from samples: it is the derivative of the simulation (Freeman et al. 2021; for
trading, Moody and Saffell 2001). What is not differentiable, the cut to increments, the minimum notional and refusals, is
passed straight through (`cappuccino.env.account`). The policy acts without noise; the critic is not used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cappuccino.agents.agent import Learned, Progress, StepMetrics, World, step_metrics
from cappuccino.agents.optimisation import OptimiserParams, descend, rate_at
from cappuccino.agents.rollout import encode_ahead, observe
from cappuccino.env import Environment, EnvState


class APGParams(NamedTuple):
    """Traced hyperparameters."""

    optimiser: OptimiserParams


class APGMetrics(NamedTuple):
    gradient_norm: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class APG:
    """One gradient a rollout. The gradient ends where the rollout begins: its steps are the horizon.

    A training is over in a few seconds, most of them compilation. On a CPU, XLA's older code generator takes half as long for
    this program as the newer one, which is a sixth faster to run (docs/design.md).
    """

    compiler_options: ClassVar[Mapping[str, bool]] = {"xla_cpu_use_fusion_emitters": False}

    def check(self, env: Environment, steps: int) -> None:
        """Any rollout will do."""
        del env, steps

    def update(
        self, world: World, progress: Progress, params: APGParams, update: Int[Array, ""], *, key: PRNGKeyArray
    ) -> Learned:
        """A rollout and one ascent of its mean reward, as `cappuccino.agents.agent.Agent.update`."""
        graph, frozen, env, steps, market, env_params = world
        fresh = env.random_weights(market.close.shape[1], market.close.dtype, key=key)

        def loss(weights: nnx.State) -> tuple[Float[Array, ""], tuple[EnvState, StepMetrics]]:
            policy = nnx.merge(graph, weights, frozen)

            @jax.checkpoint
            def step(state: EnvState, embedding: tuple[Array, Array]) -> tuple[EnvState, StepMetrics]:
                held = observe(env, state, market)
                targets = policy.targets(policy.logits(embedding, held), held)
                after, out = env.step(state, jnp.moveaxis(targets, -1, 0), fresh, market, env_params)
                return after, step_metrics(state, out)

            after, metrics = jax.lax.scan(step, progress.env, encode_ahead(policy, progress.env.tick, steps, market))
            metrics = jax.tree.map(jnp.mean, metrics)
            return -metrics.reward, (after, metrics)

        gradients, (state, metrics) = jax.grad(loss, has_aux=True)(progress.weights)
        rate = rate_at(update, params.optimiser)
        weights, opt_state = descend(progress.weights, progress.opt_state, gradients, rate, params.optimiser)
        return Learned(Progress(weights, opt_state, state), metrics, APGMetrics(optax.tree.norm(gradients)))

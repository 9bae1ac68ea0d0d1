"""What a learner asks of an agent: one update of its parameters from steps of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cappuccino.agents.networks import Policy
from cappuccino.env import Environment, EnvParams, EnvState, Step
from cappuccino.market import Market


class World(NamedTuple):
    """What an agent learns in, and leaves as it is. `graph`, `env` and `steps`, the length of a rollout, are static.

    The market's features are normalised (`Policy.normalise`), here and wherever an agent passes the market on.
    """

    graph: nnx.GraphDef[Policy]
    frozen: nnx.State
    env: Environment
    steps: int
    market: Market
    params: EnvParams


class Progress(NamedTuple):
    """What an update changes: the policy's parameters, the optimiser's state, and where the accounts stand."""

    weights: nnx.State
    opt_state: optax.OptState
    env: EnvState


class Learned(NamedTuple):
    """What an update leaves behind. steps: figures of the environment's steps; loss: a NamedTuple of the agent's own figures."""

    progress: Progress
    steps: StepMetrics
    loss: Any


class StepMetrics(NamedTuple):
    """Means per step and account: reward, log growth, notional traded over equity, share of steps that ended an account."""

    reward: Float[Array, ""]
    log_growth: Float[Array, ""]
    turnover: Float[Array, ""]
    terminated: Float[Array, ""]


@runtime_checkable
class Agent(Protocol):
    """A way to learn: hashable, free of arrays (changing it recompiles); its traced parameters come as an argument.

    compiler_options: what XLA is told when it compiles this agent's training, beside its flags.
    """

    compiler_options: ClassVar[Mapping[str, bool]]

    def check(self, env: Environment, steps: int) -> None:
        """Raises InputError where rollouts of `steps` steps in `env` do not suit this agent."""
        ...

    def update(self, world: World, progress: Progress, params: Any, update: Int[Array, ""], *, key: PRNGKeyArray) -> Learned:
        """Step all accounts `world.steps` times and learn from it. `update` counts updates from zero."""
        ...


def step_metrics(before: EnvState, out: Step) -> StepMetrics:
    """The figures of one step that began in `before`."""
    return StepMetrics(
        reward=jnp.mean(out.reward),
        log_growth=jnp.mean(out.log_growth),
        turnover=jnp.mean(out.trades.notional / before.account.equity),
        terminated=jnp.mean(out.terminated.astype(out.reward.dtype)),
    )

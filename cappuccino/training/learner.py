"""The compiled chunk: many updates, each a rollout and what the agent learns from it, in one device program.

Everything that changes from update to update is in `TrainState`; everything else is an argument (market, start rows, traced
parameters, frozen normaliser) or static (`Learner`). Nothing is closed over, nothing calls back to the host.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from cappuccino.agents import optimisation
from cappuccino.agents.agent import Agent, Progress, StepMetrics, World
from cappuccino.agents.apg import APGParams
from cappuccino.agents.networks import Policy
from cappuccino.agents.ppo import PPOParams
from cappuccino.env import Environment, EnvParams, EnvState, Starts
from cappuccino.errors import InputError
from cappuccino.market import Market


class TrainParams(NamedTuple):
    """All traced parameters of a training: the environment's and the agent's."""

    env: EnvParams
    agent: PPOParams | APGParams


class TrainState(NamedTuple):
    """What a checkpoint holds: with it a training goes on bit for bit as if never interrupted."""

    weights: nnx.State
    opt_state: optax.OptState
    env: EnvState
    key: PRNGKeyArray
    update: Int[Array, ""]


class UpdateMetrics(NamedTuple):
    """Of one update: figures of the environment's steps, and the agent's own (a NamedTuple)."""

    steps: StepMetrics
    loss: Any


@dataclasses.dataclass(frozen=True)
class Learner:
    """A training's static side: the policy's graph, the environment's shape, the agent, steps in a rollout.

    An episode is a whole number of rollouts, so that a truncation falls on a rollout's end, where the value is bootstrapped in
    any case. Raises InputError where it is not, or where the rollout does not suit the agent.
    """

    graph: nnx.GraphDef[Policy]
    env: Environment
    agent: Agent
    rollout_steps: int

    def __post_init__(self) -> None:
        if self.env.episode_bars % self.rollout_steps:
            raise InputError(
                f"env.episode_bars is {self.env.episode_bars}; it must be a multiple of training.rollout_steps, "
                f"{self.rollout_steps}"
            )
        self.agent.check(self.env, self.rollout_steps)

    def policy(self, weights: nnx.State, frozen: nnx.State) -> Policy:
        return nnx.merge(self.graph, weights, frozen)

    @property
    def env_steps_per_update(self) -> int:
        return self.env.clocks * self.env.accounts * self.rollout_steps

    def init(self, weights: nnx.State, market: Market, starts: Starts, params: TrainParams, *, key: PRNGKeyArray) -> TrainState:
        """The state before the first update."""
        return _init(weights, market, starts, params, key, learner=self)

    def update(
        self, state: TrainState, frozen: nnx.State, market: Market, starts: Starts, params: TrainParams
    ) -> tuple[TrainState, UpdateMetrics]:
        """One update; where an episode is over, the next one begins before it. The market's features are normalised."""
        key, key_begin, key_update = jax.random.split(state.key, 3)
        begun = self.env.begin(market, starts, params.env, key=key_begin)
        over = state.env.age >= self.env.episode_bars
        env = jax.tree.map(lambda new, old: jnp.where(over, new, old), begun, state.env)
        world = World(self.graph, frozen, self.env, self.rollout_steps, market, params.env)
        progress = Progress(state.weights, state.opt_state, env)
        learned = self.agent.update(world, progress, params.agent, state.update, key=key_update)
        state = TrainState(*learned.progress, key=key, update=state.update + 1)
        return state, UpdateMetrics(learned.steps, learned.loss)


@functools.partial(jax.jit, static_argnames="learner")
def _init(
    weights: nnx.State, market: Market, starts: Starts, params: TrainParams, key: PRNGKeyArray, *, learner: Learner
) -> TrainState:
    # One program: built operation by operation, as many would be compiled, for seconds before the first update.
    key, key_env = jax.random.split(key)
    env = learner.env.begin(market, starts, params.env, key=key_env)
    opt_state = optimisation.begin(weights, params.agent.optimiser)
    state = TrainState(weights, opt_state, env, key, jnp.zeros((), jnp.int32))
    # The chunk donates its state: every leaf needs a buffer of its own, and the caller may keep the weights it passed.
    return jax.tree.map(jnp.copy, state)


def updates_in_one(
    learner: Learner,
    updates: int,
    state: TrainState,
    frozen: nnx.State,
    market: Market,
    starts: Starts,
    params: TrainParams,
) -> tuple[TrainState, UpdateMetrics]:
    """`updates` updates; metrics have a leading axis of updates. The market's features are raw, and normalised here, once."""
    normalised = learner.policy(state.weights, frozen).normalise(market.features)
    market = market._replace(features=normalised)

    def one(state: TrainState, _: None) -> tuple[TrainState, UpdateMetrics]:
        return learner.update(state, frozen, market, starts, params)

    return jax.lax.scan(one, state, None, length=updates)


@functools.partial(jax.jit, static_argnames=("learner", "updates"), donate_argnames=("state",))
def train_chunk(
    state: TrainState,
    frozen: nnx.State,
    market: Market,
    starts: Starts,
    params: TrainParams,
    *,
    learner: Learner,
    updates: int,
) -> tuple[TrainState, UpdateMetrics]:
    """`updates_in_one` as one program. The state's buffers are donated."""
    return updates_in_one(learner, updates, state, frozen, market, starts, params)


def compile_chunk(
    learner: Learner,
    updates: int,
    state: TrainState,
    frozen: nnx.State,
    market: Market,
    starts: Starts,
    params: TrainParams,
) -> jax.stages.Compiled:
    """`train_chunk` compiled for these shapes with the agent's compiler options; call it with the last five arguments."""
    lowered = train_chunk.lower(state, frozen, market, starts, params, learner=learner, updates=updates)
    return lowered.compile(compiler_options=dict(learner.agent.compiler_options))

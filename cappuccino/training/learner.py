"""The compiled chunk: many updates, each a rollout and its PPO epochs, in one device program.

Everything that changes from update to update is in `TrainState`; everything else is an argument (market, start rows, traced
parameters, frozen normaliser) or static (`Learner`). Nothing is closed over, nothing calls back to the host.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cappuccino.agents.networks import Policy, target_weights
from cappuccino.agents.ppo import LossMetrics, PPOParams, PPOShape, Rollout, gaussian_log_prob, optimiser, ppo_update
from cappuccino.env import Environment, EnvParams, EnvState
from cappuccino.errors import InputError
from cappuccino.market import Market, windows


class TrainParams(NamedTuple):
    """All traced parameters of a training."""

    env: EnvParams
    ppo: PPOParams


class TrainState(NamedTuple):
    """What a checkpoint holds: with it a training goes on bit for bit as if never interrupted."""

    weights: nnx.State
    opt_state: optax.OptState
    env: EnvState
    key: PRNGKeyArray
    update: Int[Array, ""]


class UpdateMetrics(NamedTuple):
    """Of one update. Rewards and growth are means per step and account; turnover is notional over equity per bar.

    explained_variance: share of the returns' variance that the rollout's values explain. minibatches: share applied before the
    KL stop. terminated: share of steps that ended an account.
    """

    reward: Float[Array, ""]
    log_growth: Float[Array, ""]
    turnover: Float[Array, ""]
    terminated: Float[Array, ""]
    explained_variance: Float[Array, ""]
    log_std: Float[Array, ""]
    minibatches: Float[Array, ""]
    loss: LossMetrics


@dataclasses.dataclass(frozen=True)
class Learner:
    """A training's static side: the policy's graph, the environment's and PPO's shapes, steps in a rollout.

    An episode is a whole number of rollouts, so that a truncation falls on a rollout's end, where the value is bootstrapped in
    any case. Raises InputError where it is not, or where the ticks of a rollout do not divide into the minibatches.
    """

    graph: nnx.GraphDef[Policy]
    lookback: int
    env: Environment
    ppo: PPOShape
    rollout_steps: int

    def __post_init__(self) -> None:
        if self.env.episode_bars % self.rollout_steps:
            raise InputError(
                f"env.episode_bars is {self.env.episode_bars}; it must be a multiple of training.rollout_steps, "
                f"{self.rollout_steps}"
            )
        if (self.env.clocks * self.rollout_steps) % self.ppo.minibatches:
            raise InputError(
                f"agent.minibatches is {self.ppo.minibatches}; it must divide env.clocks x training.rollout_steps, "
                f"{self.env.clocks * self.rollout_steps}"
            )

    @property
    def env_steps_per_update(self) -> int:
        return self.env.clocks * self.env.accounts * self.rollout_steps

    def init(
        self, weights: nnx.State, market: Market, starts: Int[Array, "S"], params: TrainParams, *, key: PRNGKeyArray
    ) -> TrainState:
        """The state before the first update."""
        key, key_env = jax.random.split(key)
        env = self.env.begin(market, starts, params.env, key=key_env)
        state = TrainState(weights, optimiser(params.ppo).init(weights), env, key, jnp.zeros((), jnp.int32))
        # The chunk donates its state: every leaf needs a buffer of its own, and the caller may keep the weights it passed.
        return jax.tree.map(jnp.copy, state)

    def rollout(
        self,
        policy: Policy,
        features: Float[Array, "T A F"],
        state: EnvState,
        market: Market,
        params: EnvParams,
        *,
        key: PRNGKeyArray,
    ) -> tuple[EnvState, Rollout, Float[Array, "2"]]:
        """`rollout_steps` steps of all accounts. Every tick is encoded once, before the first step: clocks wait for nobody.

        Returns the state, the rollout, and the mean log growth and turnover per step.
        """
        key_fresh, key_noise = jax.random.split(key)
        ticks = state.tick + jnp.arange(self.rollout_steps + 1)[:, None]
        embeddings = policy.embed(windows(features, ticks, self.lookback))
        fresh = self.env.random_weights(market.close.shape[1], market.close.dtype, key=key_fresh)
        std = jnp.exp(policy.log_std[...])

        def observe(state: EnvState) -> Float[Array, "G R A"]:
            return jnp.moveaxis(self.env.weights(state, market), 0, -1)

        def step(state: EnvState, inputs: tuple) -> tuple[EnvState, tuple]:
            embedding, key = inputs
            weights = observe(state)
            mean = policy.logits(embedding, weights)
            action = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
            equity = state.account.equity
            tick = state.tick
            state, out = self.env.step(state, jnp.moveaxis(target_weights(action), -1, 0), fresh, market, params)
            log_prob = gaussian_log_prob(action, mean, policy.log_std[...])
            record = (tick, weights, action, log_prob, policy.value(embedding, weights), out.reward, out.terminated)
            return state, (record, jnp.stack([jnp.mean(out.log_growth), jnp.mean(out.trades.notional / equity)]))

        now = jax.tree.map(lambda x: x[:-1], embeddings)
        keys = jax.random.split(key_noise, self.rollout_steps)
        state, (record, account_metrics) = jax.lax.scan(step, state, (now, keys))
        last_value = policy.value(jax.tree.map(lambda x: x[-1], embeddings), observe(state))
        return state, Rollout(*record, last_value=last_value), jnp.mean(account_metrics, axis=0)

    def update(
        self,
        state: TrainState,
        frozen: nnx.State,
        features: Float[Array, "T A F"],
        market: Market,
        starts: Int[Array, "S"],
        params: TrainParams,
    ) -> tuple[TrainState, UpdateMetrics]:
        """One rollout and the epochs over it; where an episode is over, the next one begins before the rollout."""
        key, key_begin, key_rollout, key_update = jax.random.split(state.key, 4)
        begun = self.env.begin(market, starts, params.env, key=key_begin)
        over = state.env.age >= self.env.episode_bars
        env = jax.tree.map(lambda new, old: jnp.where(over, new, old), begun, state.env)

        policy = nnx.merge(self.graph, state.weights, frozen)
        env, rollout, (log_growth, turnover) = self.rollout(policy, features, env, market, params.env, key=key_rollout)
        weights, opt_state, loss, applied = ppo_update(
            state.weights,
            state.opt_state,
            frozen,
            self.graph,
            rollout,
            features,
            state.update,
            self.ppo,
            params.ppo,
            key=key_update,
        )
        metrics = UpdateMetrics(
            reward=jnp.mean(rollout.reward),
            log_growth=log_growth,
            turnover=turnover,
            terminated=jnp.mean(rollout.terminated.astype(jnp.float32)),
            explained_variance=_explained_variance(rollout, params.ppo),
            log_std=policy.log_std[...],
            minibatches=applied,
            loss=loss,
        )
        return TrainState(weights, opt_state, env, key, state.update + 1), metrics


def _explained_variance(rollout: Rollout, params: PPOParams) -> Float[Array, ""]:
    """1 - var(r + gamma V' - V) / var(r + gamma V'), one step ahead."""
    following = jnp.concatenate([rollout.value[1:], rollout.last_value[None]])
    target = rollout.reward + params.gamma * following * (1 - rollout.terminated.astype(rollout.value.dtype))
    return 1 - jnp.var(target - rollout.value) / (jnp.var(target) + 1e-12)


@functools.partial(jax.jit, static_argnames=("learner", "updates"), donate_argnames=("state",))
def train_chunk(
    state: TrainState,
    frozen: nnx.State,
    market: Market,
    starts: Int[Array, "S"],
    params: TrainParams,
    *,
    learner: Learner,
    updates: int,
) -> tuple[TrainState, UpdateMetrics]:
    """`updates` updates in one program. The state's buffers are donated; metrics have a leading axis of updates.

    Features are normalised once a chunk: the normaliser is frozen.
    """
    features = nnx.merge(learner.graph, state.weights, frozen).normalise(market.features)

    def one(state: TrainState, _: None) -> tuple[TrainState, UpdateMetrics]:
        return learner.update(state, frozen, features, market, starts, params)

    return jax.lax.scan(one, state, None, length=updates)

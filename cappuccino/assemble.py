"""From configuration to the objects of a training: market, environment, parameters, network."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, PRNGKeyArray

from cappuccino.agents.agent import Agent
from cappuccino.agents.apg import APG, APGParams
from cappuccino.agents.networks import NetworkShape, Policy
from cappuccino.agents.optimisation import OptimiserParams
from cappuccino.agents.ppo import PPO, PPOParams
from cappuccino.bars.table import BarTable
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import DataConfig
from cappuccino.config.risk import RiskConfig
from cappuccino.config.roots import LearningConfig
from cappuccino.config.training import APGConfig, EnvConfig, NetworkConfig, PPOConfig
from cappuccino.env import Costs, Environment, EnvParams, RewardWeights, Starts, starts_at
from cappuccino.evaluation.backtest import span_rows
from cappuccino.evaluation.splits import Holdout, holdout
from cappuccino.features.normaliser import Normaliser, fit_normaliser
from cappuccino.features.registry import FeatureSet
from cappuccino.market import Market, MarketSpec, build_market
from cappuccino.plan import OrderRules
from cappuccino.sources import load_bars
from cappuccino.training.lanes import Lane
from cappuccino.training.learner import Learner, TrainParams, TrainState
from cappuccino.training.loop import Schedule
from cappuccino.training.run import fresh_policy


class Data(NamedTuple):
    """A market with its meaning, and its rows for training, validation and test."""

    market: Market
    spec: MarketSpec
    spans: Holdout


def load_market(data: DataConfig, features: tuple[str, ...], lookback: int) -> Data:
    """The market table of a `data` group with the given features, split by its dates."""
    return market_of(load_bars(data), data, features, lookback)


def market_of(bars: BarTable, data: DataConfig, features: tuple[str, ...], lookback: int) -> Data:
    """As `load_market`, of bars that are there already."""
    market, spec = build_market(bars, FeatureSet(features, bars.bar_seconds))
    return Data(market, spec, holdout(spec, data.train_end, data.valid_end, lookback))


class Rows(NamedTuple):
    """Of a market's rows those that a training works on. fitted: of which the normaliser is fitted. starts: where its episodes
    begin. valid: at which its policy decides when it is validated, in order."""

    fitted: Bool[np.ndarray, "T"]
    starts: Starts
    valid: Starts


def holdout_rows(data: Data, lookback: int, episode_bars: int) -> Rows:
    """The training span to learn from, the validation span to validate on. Raises InputError where one is too short."""
    train = data.spans.train
    return Rows(
        fitted=training_rows(data),
        starts=starts_at(data.spec.start_rows(train.start, train.stop, lookback, episode_bars)),
        valid=starts_at(span_rows(data.spec, data.spans.valid, lookback)),
    )


def training_rows(data: Data) -> Bool[np.ndarray, "T"]:
    """Rows of the training span past their warm-up."""
    return data.spec.valid & (np.arange(len(data.spec.valid)) < data.spans.train.stop)


def normaliser_of(data: Data, rows: Bool[np.ndarray, "T"], clip: float) -> Normaliser:
    """Fitted on these rows, and on nothing else."""
    return fit_normaliser(np.asarray(data.market.features), rows, clip)


def network_shape(network: NetworkConfig, spec: MarketSpec) -> NetworkShape:
    return NetworkShape(
        kind=network.name,
        lookback=network.lookback,
        assets=len(spec.assets),
        features=len(spec.feature_names),
        hidden=tuple(network.hidden),
        head=tuple(network.head),
    )


def environment(env: EnvConfig) -> Environment:
    return Environment(clocks=env.clocks, accounts=env.accounts, episode_bars=env.episode_bars, reward=env.reward.name)


def env_params(
    costs: CostsConfig, risk: RiskConfig | None, env: EnvConfig, assets: tuple[str, ...], cost_factor: float = 1
) -> EnvParams:
    """Traced parameters of the environment, float32; increments have the shape (A, 1, 1) of accounts on clocks.

    cost_factor: on fee, half-spread and slippage.
    """
    increments = jnp.asarray(costs.increments_of(assets), jnp.float32)[:, None, None]
    rules = OrderRules(jnp.float32(costs.min_notional), increments, jnp.float32(costs.buying_power_margin))
    reward = env.reward
    return EnvParams(
        costs=Costs(
            taker_fee=jnp.float32(cost_factor * costs.taker_fee),
            half_spread=jnp.float32(cost_factor * costs.half_spread),
            slippage=jnp.float32(cost_factor * costs.slippage),
            rules=rules,
        ),
        reward=RewardWeights(
            scale=jnp.float32(reward.scale),
            turnover=jnp.float32(reward.turnover),
            drawdown=jnp.float32(reward.drawdown),
            concentration=jnp.float32(reward.concentration),
            sharpe_rate=jnp.float32(reward.sharpe_rate),
        ),
        capital=jnp.float32(env.capital),
        drawdown_limit=jnp.float32(env.drawdown_limit),
        risk=None if risk is None else jax.tree.map(jnp.float32, risk.limits),
    )


def train_params(config: LearningConfig, assets: tuple[str, ...], updates: int) -> TrainParams:
    """All traced parameters of a training of `updates` updates, float32."""
    agent = config.agent
    optimiser = OptimiserParams(
        learning_rate=jnp.float32(agent.learning_rate),
        final_rate=jnp.float32(0 if agent.anneal else 1),
        updates=jnp.float32(updates),
        max_gradient_norm=jnp.float32(agent.max_gradient_norm),
    )
    env = env_params(config.costs, config.risk, config.env, assets, config.training.cost_factor)
    if isinstance(agent, APGConfig):
        return TrainParams(env, APGParams(optimiser))
    assert isinstance(agent, PPOConfig)
    return TrainParams(
        env,
        PPOParams(
            optimiser=optimiser,
            gamma=jnp.float32(agent.gamma),
            gae_lambda=jnp.float32(agent.gae_lambda),
            clip=jnp.float32(agent.clip),
            value_clip=jnp.float32(agent.value_clip),
            entropy=jnp.float32(agent.entropy),
            value_coefficient=jnp.float32(agent.value_coefficient),
            target_kl=jnp.float32(np.inf if agent.target_kl is None else agent.target_kl),
        ),
    )


def agent_of(config: LearningConfig) -> Agent:
    """The agent's static side."""
    agent = config.agent
    if isinstance(agent, APGConfig):
        return APG()
    assert isinstance(agent, PPOConfig)
    return PPO(epochs=agent.epochs, minibatches=agent.minibatches, stretch=agent.stretch, relative=agent.relative)


class Training(NamedTuple):
    """What a training begins with. valid: rows that it is validated on, in the environment `judged`."""

    data: Data
    learner: Learner
    weights: nnx.State
    frozen: nnx.State
    starts: Starts
    valid: Starts
    params: TrainParams
    judged: EnvParams
    schedule: Schedule
    seed: int

    def begin(self) -> TrainState:
        """The state before the first update: a function of the seed."""
        return self.learner.init(self.weights, self.data.market, self.starts, self.params, key=self.key)

    @property
    def key(self) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.key(self.seed), 1)

    def policy(self, weights: nnx.State) -> Policy:
        """The policy with these parameters; with `self.weights` the untrained one."""
        return self.learner.policy(weights, self.frozen)

    def lane(self) -> Lane:
        """The training as one of many side by side."""
        return Lane(
            weights=self.weights,
            frozen=self.frozen,
            starts=self.starts,
            params=self.params,
            valid=self.valid,
            judged=self.judged,
            patience=jnp.int32(self.schedule.most_stale),
            key=self.key,
        )


def training_of(config: LearningConfig, data: Data, rows: Rows | None = None) -> Training:
    """The training of a configuration whose `data` group `data` is, on the rows of its hold-out where none are given."""
    lookback = config.network.lookback
    rows = rows or holdout_rows(data, lookback, config.env.episode_bars)
    normaliser = normaliser_of(data, rows.fitted, config.network.clip)
    policy = fresh_policy(config, network_shape(config.network, data.spec), normaliser)
    graph, weights, frozen = nnx.split(policy, nnx.Param, ...)
    learner = Learner(graph, environment(config.env), agent_of(config), config.training.rollout_steps)
    schedule = Schedule.covering(
        config.training.env_steps, learner.env_steps_per_update, config.training.updates_per_chunk, config.training.patience
    )
    params = train_params(config, data.spec.assets, schedule.updates)
    judged = env_params(config.costs, config.risk, config.env, data.spec.assets)
    return Training(data, learner, weights, frozen, rows.starts, rows.valid, params, judged, schedule, config.seed)

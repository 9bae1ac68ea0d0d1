"""PPO learns what is plain to see: on a market that announces its next bar, a short training beats the untrained network."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from training_cases import case

from cappuccino.evaluation.backtest import backtest, policy_strategy
from cappuccino.market import Market
from cappuccino.training.learner import train_chunk

UPDATES = 120


def announced_market(small) -> Market:
    """A market of the same size whose feature is the next bar's log return in units of 1 %, as the normaliser sees it."""
    rows, assets = small.data.market.close.shape
    returns = 0.01 * np.random.default_rng(0).standard_normal((rows + 1, assets))
    close = 100 * np.exp(np.cumsum(returns[:-1], axis=0))
    mean, std = (np.asarray(small.frozen[name][...]) for name in ("mean", "std"))
    return Market(
        open=jnp.asarray(np.concatenate([close[:1], close[:-1]]), jnp.float32),
        close=jnp.asarray(close, jnp.float32),
        features=jnp.asarray(returns[1:, :, None] / 0.01 * std + mean, jnp.float32),
        tradable=jnp.ones((rows, assets), bool),
    )


def test_a_short_training_finds_an_announced_return():
    small = case()
    market = announced_market(small)
    agent = small.params.agent
    optimiser = agent.optimiser._replace(learning_rate=jnp.float32(5e-3), final_rate=jnp.float32(1))
    params = small.params._replace(agent=agent._replace(optimiser=optimiser, gamma=jnp.float32(0.5)))
    held_out = np.arange(small.data.spans.train.stop, len(market.close) - 1)

    def growth(weights) -> float:
        """Mean log growth per bar, after costs, on bars that no training saw."""
        policy = nnx.merge(small.learner.graph, weights, small.frozen)
        record = backtest(
            policy_strategy(policy, small.config.network.lookback), market, held_out, params.env, np.zeros(3, np.float32)
        )
        return float(np.log(record.equity[-1] / params.env.capital)) / len(held_out)

    untrained = growth(small.weights)
    state = small.learner.init(small.weights, market, small.starts, params, key=jax.random.key(7))
    for _ in range(UPDATES):
        state, metrics = train_chunk(state, small.frozen, market, small.starts, params, learner=small.learner, updates=1)
    trained = growth(state.weights)
    assert abs(untrained) < 1e-3
    assert trained > untrained + 2e-3, f"{trained} after, {untrained} before"
    assert np.isfinite(float(metrics.loss.minibatch.policy_loss[0]))

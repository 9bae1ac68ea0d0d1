"""Small policies, rollouts and hyperparameters for the agents' tests, in float32 or float64."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cappuccino.agents.networks import NetworkShape, Policy, make_policy
from cappuccino.agents.optimisation import OptimiserParams
from cappuccino.agents.ppo import PPOParams
from cappuccino.agents.rollout import Rollout
from cappuccino.features.normaliser import Normaliser

LOOKBACK, ASSETS, FEATURES = 3, 4, 2
NORMALISER = Normaliser(np.array([0.5, -2.0]), np.array([1.5, 0.3]), 2.0)
KINDS = ("mlp", "per_asset", "conv", "transformer")


def shape_of(kind: str, hidden: tuple[int, ...] = (8,), head: tuple[int, ...] = (5, 4)) -> NetworkShape:
    return NetworkShape(kind, LOOKBACK, ASSETS, FEATURES, hidden, head)


def policy_of(kind: str, *, seed: int = 0, dtype: Any = np.float32, spread: float = 0.3, **shape: Any) -> Policy:
    """A policy whose parameters are all random: fresh ones have zero biases and nearly equal logits, and hide errors."""
    policy = make_policy(shape_of(kind, **shape), NORMALISER, log_std=-0.3, key=jax.random.key(seed))
    graph, arrays = nnx.split(policy)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(
        lambda leaf: jnp.asarray(np.asarray(leaf, np.float64) + spread * rng.standard_normal(leaf.shape), dtype), arrays
    )
    policy = nnx.merge(graph, moved)
    for name, value in NORMALISER._asdict().items():
        getattr(policy, name)[...] = jnp.asarray(value, dtype)
    policy.band[...] = jnp.asarray(0, dtype)
    return policy


def raw_windows(rng: np.random.Generator, *axes: int) -> np.ndarray:
    """Windows of raw features (*axes, L, A, F), float32, of which the normaliser clips some."""
    values = rng.standard_normal((*axes, LOOKBACK, ASSETS, FEATURES)) * 1.3 * NORMALISER.std + NORMALISER.mean
    return values.astype(np.float32)


def account_weights(rng: np.random.Generator, *axes: int) -> np.ndarray:
    """Asset weights (*axes, A), float32, with a sum below one."""
    return rng.dirichlet(np.ones(ASSETS + 1), axes)[..., :-1].astype(np.float32)


def ppo_params(dtype: Any = np.float32, **changes: float) -> PPOParams:
    """Hyperparameters under which no limit is reached, with some replaced."""
    values = {
        "learning_rate": 1e-3,
        "final_rate": 1.0,
        "updates": 10.0,
        "gamma": 0.97,
        "gae_lambda": 0.9,
        "clip": 0.2,
        "value_clip": 1e6,
        "entropy": 0.0,
        "value_coefficient": 0.5,
        "max_gradient_norm": 1e6,
        "target_kl": np.inf,
    }
    given = {name: jnp.asarray(value, dtype) for name, value in (values | changes).items()}
    optimiser = OptimiserParams(**{name: given.pop(name) for name in OptimiserParams._fields})
    return PPOParams(optimiser=optimiser, **given)


def rollout_of(seed: int, *, steps: int = 4, clocks: int = 3, accounts: int = 2, rows: int = 40) -> tuple[Rollout, np.ndarray]:
    """A rollout of arbitrary numbers over a table of `rows` normalised features, and the table; float32."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), jnp.float32)

    features = rng.standard_normal((rows, ASSETS, FEATURES)).astype(np.float32)
    batch = (steps, clocks, accounts)
    return Rollout(
        tick=jnp.asarray(rng.integers(LOOKBACK, rows, (steps, clocks)), jnp.int32),
        weights=jnp.asarray(account_weights(rng, *batch)),
        action=normal(*batch, ASSETS + 1),
        log_prob=-7 + normal(*batch),
        value=normal(*batch),
        reward=normal(*batch),
        terminated=jnp.asarray(rng.random(batch) < 0.2),
        last_value=normal(clocks, accounts),
    ), features

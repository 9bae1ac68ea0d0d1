"""The PPO loss: its value in plain NumPy, its gradient by finite differences, and where the clips stop the gradient."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent_cases import ASSETS, FEATURES, KINDS, LOOKBACK, account_weights, policy_of, ppo_params
from flax import nnx

from cappuccino.agents.ppo import Samples, ppo_loss
from cappuccino.market import windows

STRETCHES, STRETCH, ACCOUNTS, ROWS = 3, 2, 3, 20
TICKS = STRETCHES * STRETCH


@pytest.fixture(autouse=True)
def double():
    # Flax's layer norm raises its statistics to at least float32, which JAX refuses where it is strict about dtypes.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def samples_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    batch = (TICKS, ACCOUNTS)
    return {
        "tick": (rng.integers(LOOKBACK, ROWS - STRETCH, (STRETCHES, 1)) + np.arange(STRETCH)).ravel(),
        "weights": account_weights(rng, *batch).astype(np.float64),
        "action": rng.standard_normal((*batch, ASSETS + 1)),
        "value": rng.standard_normal(batch),
        "returns": rng.standard_normal(batch),
        "advantage": rng.standard_normal(batch),
    }


@functools.partial(jax.jit, static_argnames="graph")
def compiled(graph, state, features, tick, weights):
    policy = nnx.merge(graph, state)
    embedding = jax.tree.map(lambda leaf: leaf[:, 0], policy.encode(windows(features, tick, LOOKBACK)))
    return policy.logits(embedding, weights), policy.value(embedding, weights)


def forward(policy, arrays: dict[str, np.ndarray], features: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(log density of the actions, values, log standard deviation) of the policy now."""
    graph, state = nnx.split(policy)
    given = (jnp.asarray(features), jnp.asarray(arrays["tick"]), jnp.asarray(arrays["weights"]))
    mean, value = (np.asarray(part) for part in compiled(graph, state, *given))
    log_std = float(policy.log_std[...])
    z = (arrays["action"] - mean) / np.exp(log_std)
    log_prob = (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=-1)
    return log_prob, value, log_std


def case(kind: str, *, ratio: np.ndarray | None = None, seed: int = 0, **changes):
    """A policy, samples whose probability ratios are `ratio` (random ones otherwise), features and float64 hyperparameters."""
    rng = np.random.default_rng(seed)
    policy = policy_of(kind, dtype=np.float64)
    features = rng.standard_normal((ROWS, ASSETS, FEATURES))
    arrays = samples_of(rng)
    ratio = np.exp(0.3 * rng.standard_normal((TICKS, ACCOUNTS))) if ratio is None else ratio
    arrays["log_prob"] = forward(policy, arrays, features)[0] - np.log(ratio)
    arrays |= {name: value for name, value in changes.items() if name in arrays}
    params = ppo_params(np.float64, **{name: value for name, value in changes.items() if name not in arrays})
    return policy, arrays, features, params


def loss_and_gradient(policy, arrays, features, params):
    graph, weights, frozen = nnx.split(policy, nnx.Param, ...)
    samples = Samples(**{name: jnp.asarray(value).reshape(-1, STRETCH, *value.shape[1:]) for name, value in arrays.items()})

    def loss(weights):
        return ppo_loss(nnx.merge(graph, weights, frozen), samples, jnp.asarray(features), params)

    (value, metrics), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(weights)
    return value, metrics, gradient, weights, lambda weights: loss(weights)[0]


def norm(tree) -> float:
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_formula_in_numpy(kind):
    policy, arrays, features, params = case(kind, value_clip=0.4, entropy=0.01)
    loss, metrics, *_ = loss_and_gradient(policy, arrays, features, params)

    log_prob, value, log_std = forward(policy, arrays, features)
    scaled = (arrays["advantage"] - arrays["advantage"].mean()) / (arrays["advantage"].std() + 1e-8)
    ratio = np.exp(log_prob - arrays["log_prob"])
    surrogate = -np.minimum(ratio * scaled, np.clip(ratio, 0.8, 1.2) * scaled).mean()
    returns = arrays["returns"]
    near = arrays["value"] + np.clip(value - arrays["value"], -0.4, 0.4)
    value_loss = 0.5 * np.maximum((value - returns) ** 2, (near - returns) ** 2).mean()
    entropy = (ASSETS + 1) * (log_std + 0.5 * np.log(2 * np.pi * np.e))
    np.testing.assert_allclose(loss, surrogate + 0.5 * value_loss - 0.01 * entropy, rtol=1e-10)
    np.testing.assert_allclose(metrics.kl, (ratio - 1 - np.log(ratio)).mean(), rtol=1e-10)
    np.testing.assert_allclose(metrics.clipped, (np.abs(ratio - 1) > 0.2).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_finite_differences(kind):
    policy, arrays, features, params = case(kind, value_clip=0.4, entropy=0.01)
    _, _, gradient, weights, loss = loss_and_gradient(policy, arrays, features, params)
    loss = jax.jit(loss)
    rng = np.random.default_rng(1)
    leaves, structure = jax.tree.flatten(weights)
    for index, leaf in enumerate(leaves):
        direction = rng.standard_normal(leaf.shape)
        ends = [
            loss(jax.tree.unflatten(structure, [*leaves[:index], leaf + step * direction, *leaves[index + 1 :]]))
            for step in (1e-6, -1e-6)
        ]
        slope = jnp.sum(jax.tree.leaves(gradient)[index] * direction)
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-8)
        assert slope != 0


def test_the_clip_stops_the_gradient_only_where_the_ratio_has_gone_far_enough_the_right_way():
    signs = np.sign(
        samples_of(np.random.default_rng(0))["advantage"] * 0 + np.random.default_rng(2).standard_normal((TICKS, ACCOUNTS))
    )
    advantage = signs - signs.mean()
    alone = {"advantage": advantage, "value_coefficient": 0.0}
    gone = case("mlp", ratio=np.where(advantage > 0, 1.21, 0.79), **alone)
    assert norm(loss_and_gradient(*gone)[2]) == 0
    for ratio in (np.where(advantage > 0, 0.79, 1.21), np.where(advantage > 0, 1.19, 0.81)):
        assert norm(loss_and_gradient(*case("mlp", ratio=ratio, **alone))[2]) > 1e-3
    assert float(loss_and_gradient(*gone)[1].clipped) == 1
    wider = case("mlp", ratio=np.where(advantage > 0, 1.21, 0.79), clip=0.22, **alone)
    assert norm(loss_and_gradient(*wider)[2]) > 1e-3


def test_the_value_clip_stops_a_value_that_has_moved_far_enough_towards_the_return():
    policy, arrays, features, _ = case("mlp")
    _, value, _ = forward(policy, arrays, features)

    def gradient(old: np.ndarray, returns: np.ndarray):
        arrays_now = arrays | {"value": old, "returns": returns}
        params = ppo_params(np.float64, value_clip=1.0)
        out = loss_and_gradient(policy, arrays_now, features, params)[2]
        return norm(out["critic"])

    assert gradient(value - 2, value + 9) == 0
    assert gradient(value + 2, value - 9) == 0
    assert gradient(value - 2, value - 9) > 1e-3, "moved away from the return: the gradient must bring it back"
    assert gradient(value - 0.5, value + 9) > 1e-3


def test_scaling_and_shifting_advantages_leaves_the_surrogate():
    policy, arrays, features, params = case("per_asset")
    other = arrays | {"advantage": 7 * arrays["advantage"] + 3}
    losses = [loss_and_gradient(policy, each, features, params)[1].policy_loss for each in (arrays, other)]
    np.testing.assert_allclose(*losses, rtol=1e-6)

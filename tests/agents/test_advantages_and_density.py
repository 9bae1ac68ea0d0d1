"""Advantages, log density and entropy against plain float64 arithmetic and SciPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents.advantages import generalised_advantages, relative_to_others
from cappuccino.agents.rollout import gaussian_entropy, gaussian_log_prob

STEPS, ACCOUNTS = 7, 5
EXAMPLES = settings(max_examples=30)
SEEDS = st.integers(0, 2**32 - 1)
SHARES = st.sampled_from([0.0, 0.2, 0.6, 1.0])


def draw(seed: int, share: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "reward": rng.standard_normal((STEPS, ACCOUNTS)),
        "value": rng.standard_normal((STEPS, ACCOUNTS)),
        "terminated": rng.random((STEPS, ACCOUNTS)) < share,
        "last_value": rng.standard_normal(ACCOUNTS),
    }


compiled = jax.jit(generalised_advantages)


def advantages(arrays: dict[str, np.ndarray], gamma: float, gae_lambda: float) -> np.ndarray:
    with jax.enable_x64(True):
        given_arrays = {name: jnp.asarray(value) for name, value in arrays.items()}
        return np.asarray(compiled(**given_arrays, gamma=jnp.float64(gamma), gae_lambda=jnp.float64(gae_lambda)))


def slow_advantages(arrays: dict[str, np.ndarray], gamma: float, gae_lambda: float) -> np.ndarray:
    """The mean of n-step advantages, weighted (1 - lambda) lambda^(n-1): Schulman et al. 2016, equations 11 to 16."""
    out = np.zeros((STEPS, ACCOUNTS))
    for account in range(ACCOUNTS):
        reward, value, ended = (arrays[name][:, account] for name in ("reward", "value", "terminated"))
        values = [*value, arrays["last_value"][account]]
        for t in range(STEPS):
            estimates, total, discount = [], 0.0, 1.0
            for k in range(t, STEPS):
                total += discount * reward[k]
                discount *= gamma
                estimates.append(total + (0.0 if ended[k] else discount * values[k + 1]) - value[t])
                if ended[k]:
                    break
            shares = [(1 - gae_lambda) * gae_lambda**n for n in range(len(estimates) - 1)]
            out[t, account] = np.dot([*shares, gae_lambda ** (len(estimates) - 1)], estimates)
    return out


@EXAMPLES
@given(SEEDS, SHARES, st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_the_weighted_n_step_advantages(seed, share, gamma, gae_lambda):
    arrays = draw(seed, share)
    expected = slow_advantages(arrays, gamma, gae_lambda)
    np.testing.assert_allclose(advantages(arrays, gamma, gae_lambda), expected, rtol=1e-9, atol=1e-9)


@EXAMPLES
@given(SEEDS, SHARES)
def test_without_discounting_advantage_and_value_are_the_return_to_go(seed, share):
    arrays = draw(seed, share)
    to_go, following = np.zeros((STEPS, ACCOUNTS)), arrays["last_value"]
    for t in reversed(range(STEPS)):
        following = arrays["reward"][t] + np.where(arrays["terminated"][t], 0, following)
        to_go[t] = following
    np.testing.assert_allclose(advantages(arrays, 1.0, 1.0) + arrays["value"], to_go, rtol=1e-9, atol=1e-9)


@EXAMPLES
@given(SEEDS, st.integers(0, STEPS - 1))
def test_nothing_behind_a_termination_reaches_what_came_before(seed, last):
    arrays = draw(seed, 0.0)
    arrays["terminated"][last] = True
    changed = {name: value.copy() for name, value in arrays.items()}
    changed["reward"][last + 1 :] += 5
    changed["value"][last + 1 :] -= 3
    changed["last_value"] += 7
    before, after = (advantages(each, 0.9, 0.8)[: last + 1] for each in (arrays, changed))
    np.testing.assert_array_equal(before, after)


@EXAMPLES
@given(SEEDS, st.floats(-5, 2))
def test_log_density_and_entropy_are_the_gaussians(seed, log_std):
    rng = np.random.default_rng(seed)
    action, mean = rng.standard_normal((2, 3, 4, 6))
    with jax.enable_x64(True):
        log_prob = gaussian_log_prob(jnp.asarray(action), jnp.asarray(mean), jnp.float64(log_std))
        entropy = gaussian_entropy(6, jnp.float64(log_std))
    each = scipy.stats.norm(mean, np.exp(log_std))
    np.testing.assert_allclose(log_prob, each.logpdf(action).sum(axis=-1), rtol=1e-10)
    np.testing.assert_allclose(entropy, each.entropy()[0, 0].sum(), rtol=1e-10)


@EXAMPLES
@given(SEEDS, st.integers(2, 5))
def test_a_relative_advantage_is_the_own_less_the_mean_of_the_others_on_the_tick(seed, accounts):
    advantage = np.random.default_rng(seed).standard_normal((3, 4, accounts)).astype(np.float32)
    expected = np.array([[[own - np.delete(row, i).mean() for i, own in enumerate(row)] for row in rows] for rows in advantage])
    relative = relative_to_others(jnp.asarray(advantage))
    np.testing.assert_allclose(relative, expected, rtol=1e-5, atol=1e-5)
    shared = np.random.default_rng(seed).standard_normal((3, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(relative_to_others(jnp.asarray(advantage + shared)), relative, rtol=1e-4, atol=1e-5)


def test_an_account_alone_on_its_tick_keeps_its_advantage():
    advantage = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4, 1)), jnp.float32)
    np.testing.assert_array_equal(relative_to_others(advantage), advantage)

"""The no-trade band: what lies within it is left alone, what lies beyond moves to its edge, and nothing is borrowed."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from agent_cases import ASSETS, account_weights, policy_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents.networks import target_weights

POLICY = policy_of("mlp")


def targets(band: float, logits: np.ndarray, held: np.ndarray) -> np.ndarray:
    POLICY.band[...] = jnp.float32(band)
    return np.asarray(POLICY.targets(jnp.asarray(logits), jnp.asarray(held)), np.float64)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = (2 * rng.standard_normal((20, ASSETS + 1))).astype(np.float32)
    return logits, account_weights(rng, 20), np.asarray(target_weights(jnp.asarray(logits)), np.float64)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_weights_go_to_the_bands_edge_and_no_further(seed, band):
    logits, held, wanted = drawn(seed)
    moved = targets(band, logits, held)
    within = np.abs(held - wanted) <= band - 1e-6
    np.testing.assert_array_equal(moved[within], held[within])
    sold = held > wanted + band + 1e-6
    np.testing.assert_allclose(moved[sold], (wanted + band)[sold], atol=1e-6)
    bought = held < wanted - band - 1e-6
    assert (moved[bought] <= (wanted - band)[bought] + 1e-6).all()
    assert (moved[bought] >= held[bought] - 1e-6).all()
    fits = moved.sum(axis=-1) < 1 - 1e-5
    rows = bought & fits[:, None]
    np.testing.assert_allclose(moved[rows], (wanted - band)[rows], atol=1e-6)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_targets_are_a_portfolio(seed, band):
    logits, held, _ = drawn(seed)
    moved = targets(band, logits, held)
    assert (moved >= -1e-7).all()
    assert (moved.sum(axis=-1) <= 1 + 1e-6).all()


def test_a_band_of_zero_is_none():
    logits, held, wanted = drawn(0)
    np.testing.assert_allclose(targets(0.0, logits, held), wanted, atol=3e-7)


def test_a_band_of_one_never_trades():
    logits, held, _ = drawn(1)
    np.testing.assert_array_equal(targets(1.0, logits, held), held.astype(np.float64))


def test_buys_share_what_the_sells_do_not_bring_in():
    """Two assets are sold to the upper edge, one is bought: the lower edge would take more than all there is."""
    held = np.array([[0.5, 0.5, 0.0, 0.0]], np.float32)
    logits = np.array([[-20, -20, 20, -20, -20]], np.float32)
    np.testing.assert_allclose(targets(0.1, logits, held), [[0.1, 0.1, 0.8, 0.0]], atol=1e-6)

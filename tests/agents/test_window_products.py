"""The shared multiplications of windows: the same numbers as each window times the kernel, in float64 and in float32."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents import encoders
from cappuccino.agents.encoders import HALVED, window_products, windows_of


def one_by_one(rows: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """In float64."""
    lookback = len(kernel)
    windows = range(rows.shape[-2] - lookback + 1)
    return np.stack([np.einsum("nlf,lfv->nv", rows[:, k : k + lookback], kernel, dtype=np.float64) for k in windows], axis=1)


@settings(max_examples=25)
@given(
    lookback=st.sampled_from([1, 2, 5, 6, 12, 20, 48]),
    outputs=st.integers(1, 19),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_are_those_of_windows_one_by_one(lookback, outputs, dtype, seed):
    rng = np.random.default_rng(seed)
    features = HALVED // 12 + 1  # windows of 20 and 48 rows are halved twice
    rows = rng.standard_normal((2, lookback + outputs - 1, features)).astype(dtype)
    kernel = (rng.standard_normal((lookback, features, 3)) / (lookback * features) ** 0.5).astype(dtype)
    with jax.enable_x64(dtype is np.float64):
        found = window_products(jnp.asarray(rows), jnp.asarray(kernel))
    assert found.dtype == dtype
    assert found.shape == (2, outputs, 3)
    np.testing.assert_allclose(found, one_by_one(rows, kernel), atol=1e-5 if dtype == np.float32 else 1e-13)


def test_long_windows_are_halved_until_they_are_short(monkeypatch: pytest.MonkeyPatch):
    seen = []
    monkeypatch.setattr(encoders, "windows_of", lambda rows, lookback: seen.append(lookback) or windows_of(rows, lookback))
    features = HALVED // 12
    window_products(jnp.zeros((1, 63, features)), jnp.zeros((48, features, 2)))
    assert seen == [12] * 9
    seen.clear()
    window_products(jnp.zeros((1, 50, features)), jnp.zeros((48, features, 2)))
    assert seen == [48], "three windows are too few"

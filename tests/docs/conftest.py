"""Settings of the training's tests."""

from __future__ import annotations

import jax
import pytest


@pytest.fixture(autouse=True)
def optax_promotes():
    """Optax raises a float to an integer count, which JAX refuses where it is strict about dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield

"""Settings of the adapters' tests."""

from __future__ import annotations

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_dtypes():
    """JAX refuses to mix float32 and float64 while a test of this folder runs."""
    with jax.numpy_dtype_promotion("strict"):
        yield

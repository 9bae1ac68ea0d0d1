"""Standardising: fitted on the rows given and nothing else, the same in NumPy and JAX."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.errors import InputError
from cappuccino.features import fit_normaliser, normalise, outside_share, training_range

OFFSET, SCALE = np.array([3.0, -100.0, 0.0]), np.array([0.01, 50.0, 2.0])


def raw(rows: int = 3_000, seed: int = 0) -> np.ndarray:
    return OFFSET + SCALE * np.random.default_rng(seed).standard_normal((rows, 2, 3))


def test_training_rows_come_out_standard():
    features, rows = raw(), np.arange(3_000) < 2_000
    scaled = normalise(features[rows], fit_normaliser(features, rows, 100.0), xp=np)
    np.testing.assert_allclose(scaled.mean(axis=(0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=(0, 1)), 1, atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6))
@settings(max_examples=20, deadline=None)
def test_rows_outside_the_training_span_change_nothing(seed, value):
    features, rows = raw(200, seed), np.arange(200) < 120
    changed = features.copy()
    changed[~rows] = value
    changed[199] = np.nan
    for fitted, again in (
        (fit_normaliser(features, rows, 5.0), fit_normaliser(changed, rows, 5.0)),
        (training_range(features, rows), training_range(changed, rows)),
    ):
        for a, b in zip(fitted, again, strict=True):
            np.testing.assert_array_equal(a, b)


def test_clipped_at_both_ends_and_equal_under_jax():
    features = raw()
    normaliser = fit_normaliser(features, np.ones(3_000, bool), 1.5)
    scaled = normalise(features, normaliser, xp=np)
    assert (scaled.min(), scaled.max()) == (-1.5, 1.5)
    np.testing.assert_allclose(normalise(jnp.asarray(features), normaliser, xp=jnp), scaled, atol=1e-4)


def test_range_holds_all_but_two_in_a_thousand():
    features, rows = raw(20_000), np.ones(20_000, bool)
    low, high = training_range(features, rows)
    assert low.shape == high.shape == (2, 3)
    np.testing.assert_allclose(outside_share(features, low, high), 0.002, atol=1e-4)
    features[:1_000, 1, 2] += 1_000
    features[1_000:1_500, 1, 2] = np.nan
    share = outside_share(features, low, high)
    assert share[1, 2] == pytest.approx(0.075, abs=0.003)
    assert share[0, 2] == pytest.approx(0.002, abs=1e-4)


def test_what_cannot_be_standardised_is_refused():
    features, rows = raw(100), np.ones(100, bool)
    with pytest.raises(InputError, match=r"positive number of standard deviations, got 0"):
        fit_normaliser(features, rows, 0.0)
    with pytest.raises(InputError, match="at least 2 bars with features, there are 0"):
        fit_normaliser(features, ~rows, 5.0)
    features[3, 0, 0] = np.nan
    with pytest.raises(InputError, match="must be finite, 1 are not"):
        fit_normaliser(features, rows, 5.0)
    constant = np.ones((100, 2, 3))
    with pytest.raises(InputError, match="feature 0 is constant"):
        fit_normaliser(constant, rows, 5.0)

"""Standardising features: fitted once on the training span, frozen, and from then on a part of the policy.

Functions that the policy or the trader runs take the array namespace `xp` they work in (`numpy` or `jax.numpy`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cappuccino.errors import InputError

RANGE_QUANTILES = (0.001, 0.999)
"""The share of training bars below and above which a feature counts as outside its range."""


class Normaliser(NamedTuple):
    """mean (F,) and std (F,) over assets and training bars, and the bound of what the policy sees, in standard deviations."""

    mean: Any
    std: Any
    clip: Any


def _rows(features: Float[np.ndarray, "T A F"], rows: Bool[np.ndarray, "T"]) -> Float[np.ndarray, "N A F"]:
    chosen = np.asarray(features[rows], dtype=np.float64)
    if len(chosen) < 2:
        raise InputError(f"a training span needs at least 2 bars with features, there are {len(chosen)}")
    if not np.isfinite(chosen).all():
        raise InputError(f"features of the training span must be finite, {(~np.isfinite(chosen)).sum()} are not")
    return chosen


def fit_normaliser(features: Float[np.ndarray, "T A F"], rows: Bool[np.ndarray, "T"], clip: float) -> Normaliser:
    """Mean and standard deviation of each feature over all assets in the given rows (the training span), float64.

    Raises InputError for fewer than two rows, a value that is not finite, a constant feature, or `clip` not above 0.
    """
    if not 0 < clip < np.inf:
        raise InputError(f"features are clipped at a positive number of standard deviations, got {clip}")
    chosen = _rows(features, rows)
    mean, std = chosen.mean(axis=(0, 1)), chosen.std(axis=(0, 1))
    if (std <= 0).any():
        raise InputError(f"feature {int(np.argmax(std <= 0))} is constant over the training span and cannot be standardised")
    return Normaliser(mean=mean, std=std, clip=float(clip))


def normalise(features: Any, normaliser: Normaliser, *, xp: Any) -> Any:
    """clip((x - mean) / std, -clip, clip) of features (..., F): what the policy sees in place of raw features."""
    return xp.clip((features - normaliser.mean) / normaliser.std, -normaliser.clip, normaliser.clip)


def training_range(
    features: Float[np.ndarray, "T A F"], rows: Bool[np.ndarray, "T"]
) -> tuple[Float[np.ndarray, "A F"], Float[np.ndarray, "A F"]]:
    """The 0.1 % and 99.9 % quantiles of each asset's raw features over the training span: low and high.

    Raises InputError as `fit_normaliser` does for its rows.
    """
    low, high = np.quantile(_rows(features, rows), RANGE_QUANTILES, axis=0)
    return low, high


def outside_share(
    features: Float[np.ndarray, "T A F"], low: Float[np.ndarray, "A F"], high: Float[np.ndarray, "A F"]
) -> Float[np.ndarray, "A F"]:
    """The share of rows in which a raw feature lies outside [low, high] or is NaN; 0.002 is usual on the training span."""
    return (~((features >= low) & (features <= high))).mean(axis=0)

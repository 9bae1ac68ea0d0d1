"""Causal, scale-free indicators with a declared warm-up, and how they are standardised. NumPy and TA-Lib only."""

from cappuccino.features.indicators import INDICATORS
from cappuccino.features.normaliser import (
    Normaliser,
    fit_normaliser,
    normalise,
    outside_share,
    training_range,
)
from cappuccino.features.registry import SETS, FeatureSet, check_features, valid_rows

__all__ = [
    "INDICATORS",
    "SETS",
    "FeatureSet",
    "Normaliser",
    "check_features",
    "fit_normaliser",
    "normalise",
    "outside_share",
    "training_range",
    "valid_rows",
]

"""Causal, scale-free indicators with a declared warm-up, and how they are standardised. NumPy and TA-Lib only."""

from cappuccino.features.indicators import INDICATORS, Indicator, add_indicator
from cappuccino.features.normaliser import (
    Normaliser,
    fit_normaliser,
    normalise,
    outside_share,
    training_range,
)
from cappuccino.features.registry import SETS, FeatureSet, check_features, valid_rows
from cappuccino.features.series import Series, quotient, windowed_mean

__all__ = [
    "INDICATORS",
    "SETS",
    "FeatureSet",
    "Indicator",
    "Normaliser",
    "Series",
    "add_indicator",
    "check_features",
    "fit_normaliser",
    "normalise",
    "outside_share",
    "quotient",
    "training_range",
    "valid_rows",
    "windowed_mean",
]

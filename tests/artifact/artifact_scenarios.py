"""A policy that has opinions, and the manifest's fields for it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from flax import nnx

from cappuccino.agents.networks import NetworkShape, Policy, make_policy
from cappuccino.artifact.manifest import BarOrigin, FeatureRange, NormaliserValues, TrainedCosts
from cappuccino.features.normaliser import Normaliser

ASSETS = ("BTC", "ETH", "LTC")
FEATURES = ("return_1", "rsi_14", "relative_volume_168", "hour_sin")
LOOKBACK = 6
MEAN, STD = np.array([0.1, -2.0, 3.0, 0.0]), np.array([1.0, 0.5, 2.0, 0.7])


def policy_of(kind: str) -> Policy:
    """A policy with large random parameters, so that its targets vary from 0 to 1.

    Those of the transformer are smaller: with 0.6, JAX in float32 is itself 5e-5 from JAX in float64.
    """
    spread = 0.4 if kind == "transformer" else 0.6
    shape = NetworkShape(kind, LOOKBACK, len(ASSETS), len(FEATURES), (32,), (16,))
    policy = make_policy(shape, Normaliser(MEAN, STD, 4.0), key=jax.random.key(1))
    rng = np.random.default_rng(2)
    state = nnx.state(policy, nnx.Param)
    nnx.update(policy, jax.tree.map(lambda x: x + rng.normal(0, spread, x.shape).astype(np.float32), state))
    return policy


def fields(**changes: Any) -> dict[str, Any]:
    """What `export_artifact` asks for."""
    A, F = len(ASSETS), len(FEATURES)
    return {
        "assets": ASSETS,
        "features": FEATURES,
        "lookback": LOOKBACK,
        "warmup": 449,
        "bar_seconds": 3600,
        "normaliser": NormaliserValues(tuple(MEAN.tolist()), tuple(STD.tolist()), 4.0),
        "costs": TrainedCosts(25.0, 2.0, 1.0, 10.0, 0.04, (1e-9,) * A),
        "config": {"seed": 0, "network": {"hidden": [32]}},
        "config_hash": "c0",
        "market_fingerprint": "f0",
        "training_range": FeatureRange(((-3.0,) * F,) * A, ((3.0,) * F,) * A),
        "validation": {"sharpe": 1.5, "periods": ["2024"]},
        "origin": BarOrigin("synthetic", "none", "USD"),
        "code_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        **changes,
    }

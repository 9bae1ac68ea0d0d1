"""Random observations of what an artifact decides on."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cappuccino.artifact.manifest import Manifest


def random_observations(
    manifest: Manifest, count: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "N L A F"], Float[np.ndarray, "N A"]]:
    """Windows with the normaliser's mean and twice its spread, so that its clip is met too; weights of random portfolios."""
    A, F = len(manifest.assets), len(manifest.features)
    noise = rng.standard_normal((count, manifest.lookback, A, F))
    windows = np.asarray(manifest.normaliser.mean) + 2 * np.asarray(manifest.normaliser.std) * noise
    weights = rng.dirichlet(np.ones(A + 1), count)[:, :A]
    return windows.astype(np.float32), weights.astype(np.float32)

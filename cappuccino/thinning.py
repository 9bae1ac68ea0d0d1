"""Long paths drawn with few points."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float, Int

POINTS = 4000
"""Most points of a drawn path."""


def thin(values: Float[np.ndarray, "N"], points: int = POINTS) -> Int[np.ndarray, "M"]:
    """Indices of at most `points` values, in order: first, last, and the lowest and highest of every stretch between.

    All of them where there are no more than that.
    """
    if len(values) <= points:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), (points - 2) // 2 + 1).astype(int)
    keep = {0, len(values) - 1}
    for a, b in itertools.pairwise(edges):
        keep |= {a + int(np.argmin(values[a:b])), a + int(np.argmax(values[a:b]))}
    return np.array(sorted(keep))

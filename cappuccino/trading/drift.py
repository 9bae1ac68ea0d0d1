"""Are live features like those the policy was trained on? Counted, before the first order and daily."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from cappuccino.artifact.manifest import Manifest
from cappuccino.errors import Refusal
from cappuccino.features.normaliser import outside_share

ROWS = 500
"""Rows of live features that are compared, where the venue has them."""

LIMIT = 0.05
"""Share of a feature's rows outside its training range from which on nothing is traded; 0.002 is usual."""

INTERVAL_S = 86_400.0
"""Seconds between two comparisons."""


def shares_outside(recent: Float[np.ndarray, "N A F"], manifest: Manifest) -> Float[np.ndarray, "A F"]:
    """Share of the last ROWS rows in which a feature lies outside its 0.1 to 99.9 % range of the training span."""
    low, high = (np.array(table) for table in (manifest.training_range.low, manifest.training_range.high))
    return outside_share(recent[-ROWS:], low, high)


def outside(
    shares: Float[np.ndarray, "A F"], manifest: Manifest, allowed: Collection[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Shares above LIMIT by `asset/feature`, largest first: those that forbid trading, and those of features allowed."""
    found = [
        (float(shares[a, f]), asset, feature)
        for a, asset in enumerate(manifest.assets)
        for f, feature in enumerate(manifest.features)
        if shares[a, f] > LIMIT
    ]
    found.sort(reverse=True)
    forbidding = {f"{asset}/{feature}": share for share, asset, feature in found if feature not in allowed}
    tolerated = {f"{asset}/{feature}": share for share, asset, feature in found if feature in allowed}
    return forbidding, tolerated


def refuse_drift(forbidding: dict[str, float], rows: int) -> None:
    """Raises Refusal with a table of assets, features and shares, if there are any."""
    if not forbidding:
        return
    lines = [f"  {place.replace('/', '  '):<44} {share:7.1%}" for place, share in forbidding.items()]
    names = sorted({place.partition("/")[2] for place in forbidding})
    raise Refusal(
        f"live features are not like the training span's: share of the last {rows} bars outside its 0.1 to 99.9 % range, at "
        f"most {LIMIT:.0%} is allowed\n" + "\n".join(lines) + "\nAnother source of bars, or another market? To trade all the "
        f"same: trade.allow_outside=[{','.join(names)}]"
    )

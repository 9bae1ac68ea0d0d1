"""The devices that lanes of training or the accounts of a backtest divide over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

AXIS = "devices"


def mesh_of(devices: Sequence[Any] | None = None) -> Mesh:
    """All devices, or the given ones, in a row."""
    found = jax.devices() if devices is None else devices
    return Mesh(np.array(found), (AXIS,))

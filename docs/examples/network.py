"""A network: what the bars of a window say, weighted by how long ago they were, by weights that are learnt."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cappuccino.agents.encoders import add_encoder, dense, windows_of


class RecencyEncoder(nnx.Module):
    """Each bar through a tanh layer, then the weighted mean over the window; the youngest bar weighs most at first."""

    def __init__(self, lookback: int, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        (self.width,) = widths
        self.lookback = lookback
        self.bar = dense(features, self.width, rngs)
        self.age = nnx.Param(jnp.linspace(-1.0, 0.0, lookback))

    def __call__(self, rows: Float[Array, "*N W F"]) -> Float[Array, "*N S v"]:
        windows = windows_of(jnp.tanh(self.bar(rows)), self.lookback)
        windows = windows.reshape(*windows.shape[:-1], self.lookback, self.width)
        return jnp.sum(jax.nn.softmax(self.age[...])[:, None] * windows, axis=-2)


add_encoder("recency", RecencyEncoder)

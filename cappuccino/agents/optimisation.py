"""What every agent does with a gradient: Adam behind a clip of its norm, at a rate that may fall over the training."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int


class OptimiserParams(NamedTuple):
    """Traced. final_rate is the share of the learning rate left at the last of `updates` updates; the decay is linear."""

    learning_rate: Float[Array, ""]
    final_rate: Float[Array, ""]
    updates: Float[Array, ""]
    max_gradient_norm: Float[Array, ""]


def _transform(params: OptimiserParams) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(params.max_gradient_norm), optax.scale_by_adam(eps=1e-5))  # pyright: ignore[reportArgumentType]


def begin(weights: nnx.State, params: OptimiserParams) -> optax.OptState:
    """The optimiser's state before the first gradient."""
    return _transform(params).init(weights)


def rate_at(update: Int[Array, ""], params: OptimiserParams) -> Float[Array, ""]:
    """The learning rate of an update, counted from zero."""
    progress = update.astype(params.updates.dtype) / params.updates
    return params.learning_rate * (1 - (1 - params.final_rate) * jnp.minimum(progress, 1))


def descend(
    weights: nnx.State, opt_state: optax.OptState, gradients: nnx.State, rate: Float[Array, ""], params: OptimiserParams
) -> tuple[nnx.State, optax.OptState]:
    """Parameters and optimiser state after one gradient."""
    changes, opt_state = _transform(params).update(gradients, opt_state)
    return jax.tree.map(lambda weight, change: weight - rate * change, weights, changes), opt_state

"""A reward: log growth, in which a fall counts more than a rise of the same size."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from cappuccino.env import Outcome, add_reward, stateless

AVERSION = 20.0


def cautious_growth(outcome: Outcome) -> Float[Array, "*B"]:
    """Log growth per bar less AVERSION times its square where it is a fall; a pure number."""
    growth = jnp.log(outcome.growth)
    return growth - AVERSION * jnp.minimum(growth, 0) ** 2


add_reward("cautious_growth", stateless(cautious_growth))

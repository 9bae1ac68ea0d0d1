"""The risk rules inside the environment. Without limits there is nothing of them in the compiled program."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from cappuccino.env.account import Account, Bar, straight_through
from cappuccino.errors import InputError
from cappuccino.risk import Limits, Marks, RiskState, first, limited, observe


def opened_risk(account: Account, bar: Bar, limits: Limits | None) -> RiskState | None:
    """What the rules remember of fresh accounts at a bar's close; None without limits."""
    return None if limits is None else first(_marks(account, bar), xp=jnp)


def under_rules(
    weights: Float[Array, "A *B"], risk: RiskState | None, account: Account, bar: Bar, limits: Limits | None
) -> tuple[Float[Array, "A *B"], RiskState | None]:
    """The targets that the rules allow at the bar's close, and what they remember now. Differentiated as if there were none."""
    if limits is None:
        return weights, None
    assert risk is not None
    marks = jax.lax.stop_gradient(_marks(account, bar))
    risk = observe(jax.lax.stop_gradient(risk), marks, limits, xp=jnp)
    return straight_through(weights, limited(jax.lax.stop_gradient(weights), risk, marks, limits, xp=jnp)), risk


def _marks(account: Account, bar: Bar) -> Marks:
    if bar.day is None:
        raise InputError("the market does not say which day its bars close on; risk rules need Market.day")
    return Marks(account.holdings, bar.close, account.equity, bar.day)

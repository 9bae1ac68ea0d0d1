"""From target weights to order quantities: the one rule that environment, backtest and trader share.

Arrays have assets on the first axis; further axes are accounts. Every function takes the array namespace `xp` it works in
(`numpy` or `jax.numpy`), so that the trader runs this code without JAX.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NOTIONAL_HEADROOM = 1.02
"""An order is planned only from this multiple of the minimum notional on: the venue judges the minimum on its own quote."""

ROUNDING_SLACK = 1e-6
"""Relative slack of the cut to the increment, so that the last bit of a quotient does not decide; at most half a step."""


class OrderRules(NamedTuple):
    """What the venue accepts.

    min_notional: smallest cost of an order, in quote currency.
    increment: step of a quantity per asset, in base units, broadcastable to (A, ...); 0 where any quantity goes.
    buying_power_margin: buys are checked against cash at this fraction above the price.
    """

    min_notional: Any
    increment: Any
    buying_power_margin: Any


class Plan(NamedTuple):
    """Quantities in base units, both (A, ...) and not negative; an asset has at most one of the two."""

    sells: Any
    buys: Any


def cut_to_increment(quantity: Any, increment: Any, *, xp: Any) -> Any:
    """The largest multiple of `increment` not above `quantity`, but for ROUNDING_SLACK; `quantity` where increment is 0."""
    steps = quantity / xp.where(increment > 0, increment, 1)
    whole = xp.floor(steps + xp.minimum(steps * ROUNDING_SLACK, 0.5))
    return xp.where(increment > 0, whole * increment, quantity)


def _large_enough(quantity: Any, price: Any, tradable: Any, rules: OrderRules, *, xp: Any) -> Any:
    keep = tradable & (quantity * price >= NOTIONAL_HEADROOM * rules.min_notional) & (quantity > 0)
    return xp.where(keep, quantity, 0)


def plan_orders(weights: Any, holdings: Any, cash: Any, price: Any, tradable: Any, rules: OrderRules, *, xp: Any) -> Plan:
    """Quantities that move an account to its target weights, fixed at the close of bar t.

    q = w E / P - h with E = cash + sum(h P), cut to the increment; an order smaller than NOTIONAL_HEADROOM times the
    minimum notional is left out, and so is an asset without a bar. A sell never exceeds the holding. The buys are what is
    wanted; `fit_buys` fits them to the cash once the sells have filled.

    weights (A, ...): target share of equity of each asset; the rest is cash.
    holdings (A, ...): base units. cash (...): quote currency. price (A, ...): closes of bar t. tradable (A, ...): bool.
    """
    equity = cash + xp.sum(holdings * price, axis=0)
    change = weights * equity / price - holdings
    # One cut for both: a change is a sell or a buy.
    quantity = cut_to_increment(xp.abs(change), rules.increment, xp=xp)
    sells = xp.where(change < 0, xp.minimum(quantity, holdings), 0)
    buys = xp.where(change > 0, quantity, 0)
    return Plan(
        sells=_large_enough(sells, price, tradable, rules, xp=xp),
        buys=_large_enough(buys, price, tradable, rules, xp=xp),
    )


def fit_buys(buys: Any, cash: Any, price: Any, tradable: Any, rules: OrderRules, *, xp: Any) -> Any:
    """The planned buys scaled by one factor, min(1, cash / sum(q P (1 + margin))), and cut and judged again.

    cash (...) is what is there after the sells have filled; price (A, ...) are still the closes of bar t. With the margin,
    a rise of the price up to the fill cannot take cash below zero, and the venue does not refuse.
    """
    cost = xp.sum(buys * price, axis=0) * (1 + rules.buying_power_margin)
    factor = xp.minimum(1, cash / xp.where(cost > 0, cost, 1))
    fitted = cut_to_increment(buys * xp.where(cost > 0, factor, 1), rules.increment, xp=xp)
    return _large_enough(fitted, price, tradable, rules, xp=xp)

"""One step of simulated accounts: plan at a close, fill at the next open, mark at the next close.

Assets are the first axis, accounts the trailing ones (written *B): a step is element-wise over accounts, and on a CPU this
layout is about three times as fast as accounts first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from cappuccino.plan import OrderRules, Plan, fit_buys, plan_orders


class Costs(NamedTuple):
    """What trading costs, as fractions of the notional (1 bp = 1e-4), and what the venue accepts. All traced.

    A buy pays (1 + half_spread + slippage) times the open and its fee out of the asset received; a sell gets
    (1 - half_spread - slippage) times the open and its fee comes out of the proceeds.
    """

    taker_fee: Float[Array, ""]
    half_spread: Float[Array, ""]
    slippage: Float[Array, ""]
    rules: OrderRules


class Account(NamedTuple):
    """Cash (quote currency), holdings (base units), equity at the last close, and the highest equity so far."""

    cash: Float[Array, "*B"]
    holdings: Float[Array, "A *B"]
    equity: Float[Array, "*B"]
    peak: Float[Array, "*B"]


class Bar(NamedTuple):
    """What a step from the close of bar t to the close of bar t+1 reads, broadcastable to (A, *B).

    day: whole UTC days since 1970 at the close of t, broadcastable to (*B); only the risk rules read it.
    """

    close: Float[Array, "A *b"]
    tradable: Bool[Array, "A *b"]
    next_open: Float[Array, "A *b"]
    next_close: Float[Array, "A *b"]
    next_tradable: Bool[Array, "A *b"]
    day: Int[Array, "*b"] | None = None


class Trades(NamedTuple):
    """What a step did. Quantities in base units; money in quote currency, at the open's mid price.

    notional: value bought and sold. fees: value of the fees. slippage: cost of half-spread and slippage.
    refused: orders planned that did not fill (no bar at t+1, or cash short), a count.
    """

    sold: Float[Array, "A *B"]
    bought: Float[Array, "A *B"]
    notional: Float[Array, "*B"]
    fees: Float[Array, "*B"]
    slippage: Float[Array, "*B"]
    refused: Float[Array, "*B"]


def open_account(weights: Float[Array, "A *B"], price: Float[Array, "A *b"], capital: Float[Array, ""]) -> Account:
    """An account of `capital` already in the given weights at the given closes, free of charge."""
    capital = jnp.broadcast_to(capital, weights.shape[1:]).astype(weights.dtype)
    holdings = weights * capital / price
    cash = (1 - jnp.sum(weights, axis=0)) * capital
    return Account(cash=jnp.maximum(cash, 0), holdings=holdings, equity=capital, peak=capital)


def mark(account: Account, price: Float[Array, "A *b"]) -> Float[Array, "A *B"]:
    """Weights of the assets in equity at the given prices; cash is what is missing to one."""
    return account.holdings * price / account.equity


@jax.custom_jvp
def straight_through(smooth: Float[Array, "*B"], actual: Float[Array, "*B"]) -> Float[Array, "*B"]:
    """`actual`, which is differentiated as if it were `smooth`."""
    del smooth
    return actual


@straight_through.defjvp
def _(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Any]:
    return straight_through(*primals), tangents[0]


def _plan(account: Account, weights: Float[Array, "A *B"], bar: Bar, rules: OrderRules) -> Plan:
    """The orders, differentiated without the hard rules: increments, the minimum notional, assets without a bar."""
    plan = plan_orders(weights, account.holdings, account.cash, bar.close, bar.tradable, rules, xp=jnp)
    equity = account.cash + jnp.sum(account.holdings * bar.close, axis=0)
    change = weights * equity / bar.close - account.holdings
    return Plan(*map(straight_through, (jnp.maximum(-change, 0), jnp.maximum(change, 0)), plan))


def _fit(buys: Float[Array, "A *B"], cash: Float[Array, "*B"], bar: Bar, rules: OrderRules) -> Float[Array, "A *B"]:
    """The buys fitted to the cash, differentiated without the hard rules."""
    cost = jnp.sum(buys * bar.close, axis=0) * (1 + rules.buying_power_margin)
    factor = jnp.minimum(1, cash / jnp.where(cost > 0, cost, 1))
    return straight_through(buys * factor, fit_buys(buys, cash, bar.close, bar.tradable, rules, xp=jnp))


def trade(account: Account, weights: Float[Array, "A *B"], bar: Bar, costs: Costs) -> tuple[Account, Trades]:
    """Move accounts towards target weights over one bar.

    Quantities are planned at the close of t (`cappuccino.plan`). Sells fill first, at the next open; the buys are then
    fitted to the cash and filled in the order of the assets, a buy that costs more than the cash left being refused whole.
    Orders for an asset without a bar at t+1 are refused. Equity is marked at the close of t+1. Derivatives pass the hard rules
    straight through, as if every quantity could be traded; everything else is differentiated as it is.
    """
    friction = costs.half_spread + costs.slippage
    plan = _plan(account, weights, bar, costs.rules)

    sold = straight_through(plan.sells, jnp.where(bar.next_tradable, plan.sells, 0))
    # Written as x - x c and not x (1 - c), whose rounding is the same every time and adds up over thousands of fills.
    proceeds = jnp.sum(sold * bar.next_open, axis=0)
    proceeds = proceeds - proceeds * friction
    cash = account.cash + (proceeds - proceeds * costs.taker_fee)

    wanted = _fit(plan.buys, cash, bar, costs.rules)
    bought = []
    for quantity, price, tradable in zip(wanted, bar.next_open, bar.next_tradable, strict=True):
        value = quantity * price
        cost = value + value * friction
        fills = tradable & (cost <= cash)
        # Compiled, the product is fused into the subtraction unrounded, so a cost equal to the cash could leave it below zero.
        cash = straight_through(cash - cost, jnp.where(fills, jnp.maximum(cash - cost, 0), cash))
        bought.append(straight_through(quantity, jnp.where(fills, quantity, 0)))
    bought = jnp.stack(bought)

    holdings = account.holdings - sold + (bought - bought * costs.taker_fee)
    equity = cash + jnp.sum(holdings * bar.next_close, axis=0)
    sold_value = jnp.sum(sold * bar.next_open, axis=0)
    bought_value = jnp.sum(bought * bar.next_open, axis=0)
    refused = jnp.sum((plan.sells > sold) | (wanted > bought), axis=0).astype(equity.dtype)
    moved = Account(cash=cash, holdings=holdings, equity=equity, peak=jnp.maximum(account.peak, equity))
    return moved, Trades(
        sold=sold,
        bought=bought,
        notional=sold_value + bought_value,
        fees=costs.taker_fee * (sold_value * (1 - friction) + bought_value),
        slippage=friction * (sold_value + bought_value),
        refused=refused,
    )

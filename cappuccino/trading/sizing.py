"""From what the venue says of the account to exact order quantities, by the plan that the environment trains with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from jaxtyping import Bool, Float

from cappuccino.broker.protocol import AccountState, Asset, Position
from cappuccino.plan import NOTIONAL_HEADROOM, OrderRules, Plan, cut_to_increment, fit_buys, plan_orders
from cappuccino.trading.records import CASH

DECIMALS = Decimal("1e-9")
"""Finest quantity that Alpaca takes, for an asset whose increment is 0."""


@dataclasses.dataclass(frozen=True, eq=False)
class OwnAccount:
    """The trader's part of the account, in float64: its cash and the holdings of its assets, net of the fees that are due.

    equity = cash + sum(holdings closes), closes of the bar that is decided on. free: base units no open sell reserves.
    buying_power: the smaller of cash and the venue's buying power.
    """

    cash: float
    buying_power: float
    holdings: Float[np.ndarray, "A"]
    free: tuple[Decimal, ...]
    closes: Float[np.ndarray, "A"]
    exact_cash: Decimal

    @property
    def equity(self) -> float:
        """In quote currency."""
        return self.cash + float(np.sum(self.holdings * self.closes))

    @property
    def weights(self) -> Float[np.ndarray, "A"]:
        """Share of equity of each asset."""
        return self.holdings * self.closes / self.equity


def own_account(
    state: AccountState,
    positions: Mapping[str, Position],
    assets: Sequence[str],
    closes: Float[np.ndarray, "A"],
    net: Mapping[str, Decimal],
) -> OwnAccount:
    """The trader's part of what the venue reports. net: its figures by asset and CASH, as `Anchor.net`."""
    cash = net[CASH]
    quantities, free = [], []
    for asset in assets:
        quantity, position = max(net[asset], Decimal(0)), positions.get(asset)
        quantities.append(float(quantity))
        free.append(quantity if position is None else min(quantity, position.available))
    return OwnAccount(
        cash=float(cash),
        buying_power=float(min(cash, state.buying_power)),
        holdings=np.array(quantities),
        free=tuple(free),
        closes=closes,
        exact_cash=cash,
    )


def order_rules(listed: Mapping[str, Asset], assets: Sequence[str], *, min_notional: float, margin: float) -> OrderRules:
    """The plan's rules with the venue's increments as they are now."""
    increments = np.array([float(listed[asset].increment) if asset in listed else 0.0 for asset in assets])
    return OrderRules(min_notional=min_notional, increment=increments, buying_power_margin=margin)


def plan(account: OwnAccount, targets: Float[np.ndarray, "A"], tradable: Bool[np.ndarray, "A"], rules: OrderRules) -> Plan:
    """`cappuccino.plan.plan_orders` for the account at the closes."""
    return plan_orders(targets, account.holdings, np.float64(account.cash), account.closes, tradable, rules, xp=np)


def fitted_buys(
    buys: Float[np.ndarray, "A"], account: OwnAccount, tradable: Bool[np.ndarray, "A"], rules: OrderRules
) -> Float[np.ndarray, "A"]:
    """`cappuccino.plan.fit_buys` with the cash that is there after the sells."""
    cash = np.float64(max(account.buying_power, 0.0))
    return fit_buys(buys, cash, account.closes, tradable, rules, xp=np)


def exact_quantity(planned: float, increment: Decimal, available: Decimal | None = None) -> Decimal:
    """The planned quantity as an exact multiple of the increment, never above what is available (None: no bound).

    `planned` is a multiple already but for its last bit, which `cut_to_increment`'s rule takes care of again.
    """
    step = increment if increment > 0 else DECIMALS
    whole = round(float(cut_to_increment(np.float64(planned), np.float64(float(step)), xp=np)) / float(step))
    quantity = Decimal(whole) * step
    if available is not None and quantity > available:
        quantity = (available / step).to_integral_value(ROUND_FLOOR) * step
    return quantity


def dust(account: OwnAccount, assets: Sequence[str], min_notional: float) -> dict[str, str]:
    """Holdings too small to be sold, by asset, with their worth: part of equity, of no use until they grow."""
    worth = account.holdings * account.closes
    small = (worth > 0) & (worth < NOTIONAL_HEADROOM * min_notional)
    return {asset: f"worth {value:.4f}" for asset, value, is_dust in zip(assets, worth, small, strict=True) if is_dust}


def left_out(
    account: OwnAccount, targets: Float[np.ndarray, "A"], tradable: Bool[np.ndarray, "A"], orders: Plan, assets: Sequence[str]
) -> dict[str, str]:
    """Changes of a cent or more that the targets ask for and the plan leaves out, by asset, with the reason."""
    change = targets * account.equity - account.holdings * account.closes
    skipped = (orders.sells == 0) & (orders.buys == 0) & (np.abs(change) >= 0.01)
    reasons = {}
    for index in np.flatnonzero(skipped).tolist():
        why = "below the minimum" if tradable[index] else "not tradable"
        reasons[assets[index]] = f"change of {change[index]:.2f}: {why}"
    return reasons

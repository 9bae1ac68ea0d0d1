"""Checks before the first bar: is this the account, the artifact and the capital that the folder belongs to?"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal

from cappuccino.broker.protocol import AccountState, Asset, Order
from cappuccino.errors import Refusal
from cappuccino.trading.journal import Journal
from cappuccino.trading.sizing import OwnAccount


def check_account(state: AccountState) -> None:
    """Raises Refusal for an account that must not trade."""
    if state.blocked:
        raise Refusal(f"account {state.id} may not trade: {', '.join(state.blocked)}; mend that with the venue first")


def check_listed(listed: Mapping[str, Asset], assets: Sequence[str]) -> None:
    """Raises Refusal for an asset that the venue does not know."""
    missing = [asset for asset in assets if asset not in listed]
    if missing:
        raise Refusal(f"the venue does not list {', '.join(missing)}; the artifact trades {', '.join(assets)}")


def check_skew(ours: float, venues: float, most: float) -> None:
    """Raises Refusal if this machine's clock is off by more than `most` seconds."""
    if abs(ours - venues) > most:
        raise Refusal(f"this machine's clock is {ours - venues:+.0f} s off the venue's; set it right")


def check_strangers(orders: Sequence[Order], assets: Collection[str], known: Collection[str]) -> None:
    """Raises Refusal for an open order in the trader's assets that is not its own."""
    strange = [order for order in orders if order.asset in assets and order.client_order_id not in known]
    if strange:
        names = ", ".join(f"{order.side} {order.quantity} {order.asset} ({order.client_order_id})" for order in strange)
        raise Refusal(f"open orders that this trader did not place: {names}; cancel them, or trade on another account")


def check_identity(journal: Journal, *, artifact: str, account: str, capital: Decimal, now: float) -> None:
    """Write down whose folder this is at the first start; later raises Refusal if it is another's."""
    meta = journal.meta()
    ours = {"artifact": artifact, "account": account, "capital": f"{capital:f}"}
    if not meta:
        journal.set_meta(**ours, started=datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat())
        return
    for name, value in ours.items():
        if meta[name] != value:
            raise Refusal(
                f"{journal.path} began with {name} {meta[name]}, this is {value}: use another trade.name, or what it began with"
            )


def fix_reserve(journal: Journal, whole: OwnAccount, capital: Decimal) -> Decimal:
    """The cash that is not the trader's, fixed at the first start for good: equity at the closes less the capital.

    whole: the account without any reserve. Raises Refusal for an equity below the capital, or holdings worth more than it.
    """
    worth = [
        Decimal(repr(float(quantity))) * Decimal(repr(float(price)))
        for quantity, price in zip(whole.holdings, whole.closes, strict=True)
    ]
    held = sum(worth, Decimal(0))
    equity = whole.exact_cash + held
    if equity < capital:
        raise Refusal(f"the account is worth {equity:.2f} in cash and the trader's assets, trade.capital is {capital}")
    if held > capital:
        raise Refusal(f"the account holds {held:.2f} of the trader's assets already, more than trade.capital, {capital}")
    reserve = equity - capital
    journal.set_meta(reserve=f"{reserve:f}")
    return reserve

"""Checks before the first bar: is this the account, the artifact and the capital that the folder belongs to?"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal

from cappuccino.broker.protocol import AccountState, Asset
from cappuccino.errors import Refusal
from cappuccino.trading.journal import Journal
from cappuccino.trading.ledger import CASH
from cappuccino.trading.timing import Timing


def check_account(state: AccountState) -> None:
    """Raises Refusal for an account that must not trade."""
    if state.blocked:
        raise Refusal(f"account {state.id} may not trade: {', '.join(state.blocked)}; mend that with the venue first")


def check_listed(listed: Mapping[str, Asset], assets: Sequence[str]) -> None:
    """Raises Refusal for an asset that the venue does not know."""
    missing = [asset for asset in assets if asset not in listed]
    if missing:
        raise Refusal(f"the venue does not list {', '.join(missing)}; the artifact trades {', '.join(assets)}")


def check_skew(before: float, venues: float, after: float, timing: Timing) -> None:
    """Raises Refusal if this machine's clock is ahead of the venue's, or far behind it.

    before, after: our time around the venue's, which was asked for between. By a clock that is ahead by more than `timing.settle` bars
    would be taken as closed that still run; by one that is behind by more than `timing.late` every decision would come late.
    """
    ahead, behind = before - venues, venues - after
    if ahead > timing.settle or behind > timing.late:
        raise Refusal(f"this machine's clock is {max(ahead, -behind):+.0f} s off the venue's; set it right")


def check_identity(journal: Journal, *, artifact: str, account: str, capital: Decimal, takes_over: str, now: float) -> None:
    """Write down whose folder this is at the first start; later raises Refusal if it is another's."""
    meta = journal.meta()
    ours = {"artifact": artifact, "account": account, "capital": f"{capital:f}", "takes_over": takes_over}
    if not meta:
        journal.set_meta(**ours, started=datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat())
        return
    for name, value in ours.items():
        if meta.get(name, "") != value:
            raise Refusal(
                f"{journal.path} began with {name} {meta.get(name) or 'nothing'}, this is {value or 'nothing'}: "
                "use another trade.name, or what it began with"
            )


def reserve_of(
    cash: Decimal,
    held: Mapping[str, Decimal],
    closes: Mapping[str, float],
    capital: Decimal,
    *,
    foreign: str,
    min_notional: float,
) -> dict[str, Decimal]:
    """What of the account is not the trader's, by asset and CASH, fixed at the first bar: its equity is then the capital.

    foreign: `refuse` raises Refusal if the trader's assets are held already, but for what is worth less than min_notional,
    which is set aside; `ignore` sets all of it aside; `adopt` makes it the trader's, and raises Refusal if it is worth more than
    the capital. Raises Refusal for an account that is not worth the capital.
    """
    worth = {asset: quantity * Decimal(repr(closes[asset])) for asset, quantity in held.items() if quantity}
    if foreign == "refuse":
        large = {asset: value for asset, value in worth.items() if value >= Decimal(repr(min_notional))}
        if large:
            listing = ", ".join(f"{held[asset]:f} {asset} (worth {value:.2f})" for asset, value in large.items())
            raise Refusal(
                f"the account holds {listing} already, not bought by this trader: sell it, or say trade.foreign=adopt (it "
                "becomes the trader's, part of trade.capital) or trade.foreign=ignore (it is left alone)"
            )
    taken = sum(worth.values(), Decimal(0)) if foreign == "adopt" else Decimal(0)
    equity = cash + taken
    if equity < capital:
        raise Refusal(f"the account is worth {equity:.2f} in cash and the trader's assets, trade.capital is {capital}")
    if taken > capital:
        raise Refusal(f"the account holds {taken:.2f} of the trader's assets already, more than trade.capital, {capital}")
    aside = {} if foreign == "adopt" else {asset: quantity for asset, quantity in held.items() if quantity}
    return {CASH: equity - capital, **aside}

"""Taking the venue's figures over, after a person has read how they differ from the journal's."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from cappuccino.broker.protocol import Broker, BrokerUnavailable
from cappuccino.errors import InputError, Refusal
from cappuccino.trading.clock import Clock
from cappuccino.trading.journal import Journal
from cappuccino.trading.ledger import Difference, compare
from cappuccino.trading.reconcile import own_figures, table_of
from cappuccino.trading.records import CASH, Adjustment, Anchor
from cappuccino.trading.venue_reader import increments_of


class Found(NamedTuple):
    """What the venue has, as the trader's own figures, and where the journal does not explain it."""

    anchor: Anchor
    differences: tuple[Difference, ...]

    @property
    def table(self) -> str:
        """For a person."""
        return table_of(self.differences) if self.differences else "the venue's figures are what the journal explains"


def look(journal: Journal, broker: Broker, clock: Clock, fee_bps: float) -> Found:
    """Compare journal and venue. Raises InputError before the trader's first bar, Refusal while orders are open."""
    anchor = journal.anchor()
    if anchor is None:
        raise InputError(f"{journal.path} has no figures yet: the trader has not come to its first bar")
    if not all(intent.is_final for intent in journal.open_intents(clock.now())):
        raise Refusal("orders are not at their end: start the trader once, which resolves them, then look again")
    assets = tuple(name for name in anchor.own if name != CASH)
    try:
        state, positions, listed = broker.account(), broker.positions(), broker.assets(assets)
    except BrokerUnavailable as error:
        raise Refusal(f"the venue did not answer: {error}") from None
    if state.id != journal.meta()["account"]:
        raise Refusal(f"{journal.path} belongs to account {journal.meta()['account']}, the keys open {state.id}")
    found = own_figures(state, positions, assets, anchor.reserve)
    compared = compare(
        anchor,
        journal.fills_since_anchor(),
        found,
        increments_of(listed, assets),
        now=clock.now(),
        fee=Decimal(str(fee_bps)) / 10_000,
    )
    return Found(compared.anchor, compared.differences)


def take_over(journal: Journal, found: Found, now: float) -> None:
    """The journal goes on from the venue's figures; what that changed is written down."""
    journal.set_anchor(found.anchor, [Adjustment(now, one.asset, one.change, "accept") for one in found.differences])

"""Everything of the trader's sold, whatever the policy says: what a person asks for together with a halt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from cappuccino.trading.clock import Clock
from cappuccino.trading.folder import Log
from cappuccino.trading.identity import client_order_id
from cappuccino.trading.journal import Journal
from cappuccino.trading.orders import OrderDesk
from cappuccino.trading.reconcile import Reconciler
from cappuccino.trading.records import Intent
from cappuccino.trading.sizing import exact_quantity
from cappuccino.trading.timing import Timing
from cappuccino.trading.venue_reader import VenueReader, increments_of

ATTEMPTS = 3
"""Rounds of sales in which an order did not fill: what it left is sold by the next, with an id of its own."""


class Flattener:
    """Sells all holdings of one trader, in orders of `max_order` quote currency at most, at the bid.

    The desk must be one that sends although the kill switch is thrown.
    """

    def __init__(
        self,
        desk: OrderDesk,
        reader: VenueReader,
        reconciler: Reconciler,
        clock: Clock,
        journal: Journal,
        timing: Timing,
        log: Log,
        *,
        assets: Sequence[str],
        bar_seconds: int,
        account: str,
        artifact: str,
        max_order: float,
    ) -> None:
        self._desk, self._reader, self._reconciler = desk, reader, reconciler
        self._clock, self._journal, self._timing, self._log = clock, journal, timing, log
        self._assets, self._bar_seconds = tuple(assets), bar_seconds
        self._account, self._artifact, self._max_order = account, artifact, max_order

    def run(self) -> dict[str, Decimal]:
        """Sell until nothing is left that the venue takes an order for; what is left, by asset.

        No other order may be open. Raises NoDecision if the venue does not answer, Refusal as `Reconciler.agree` does.
        """
        if self._journal.anchor() is None:
            return {}
        failures, refused = 0, set[str]()
        while failures < ATTEMPTS:
            until = self._clock.now() + self._timing.start
            listed, _ = self._reader.rules(until)
            figures = self._reconciler.agree(increments_of(listed, self._assets), until)
            own = figures.anchor.net
            left = [asset for asset in self._assets if own[asset] > 0 and asset in listed and asset not in refused]
            most = self._most(left, until)
            sales = {
                asset: exact_quantity(min(float(own[asset]), most[asset]), listed[asset].increment, own[asset])
                for asset in left
            }
            intents = self._intents({asset: quantity for asset, quantity in sales.items() if quantity > 0})
            if not intents:
                return self._left(own)
            self._journal.add_intents(intents)
            now = self._clock.now()
            ended = self._desk.settle(intents, deadline=now + self._timing.order, give_up=now + 2 * self._timing.order)
            refused |= {intent.asset for intent in ended if intent.state == "rejected"}
            failures += any(intent.state not in ("filled", "rejected") for intent in ended)
        until = self._clock.now() + self._timing.start
        listed, _ = self._reader.rules(until)
        figures = self._reconciler.agree(increments_of(listed, self._assets), until)
        return self._left(figures.anchor.net)

    def _most(self, assets: Sequence[str], until: float) -> dict[str, float]:
        """The largest quantity of an order."""
        if self._max_order == math.inf:
            return dict.fromkeys(assets, math.inf)
        bids = self._reader.bids(assets, until)
        return {asset: self._max_order / bids[asset] if asset in bids else math.inf for asset in assets}

    def _intents(self, sales: Mapping[str, Decimal]) -> list[Intent]:
        now = self._clock.now()
        bar = int(now // self._bar_seconds) * self._bar_seconds
        intents = []
        for asset, quantity in sales.items():
            sequence = self._journal.next_sequence(bar, asset)
            name = client_order_id(self._account, self._artifact, bar, asset, "sell", sequence)
            intents.append(Intent(name, bar, asset, "sell", quantity, created_at=now, updated_at=now, sequence=sequence))
        return intents

    def _left(self, own: Mapping[str, Decimal]) -> dict[str, Decimal]:
        left = {asset: own[asset] for asset in self._assets if own[asset] > 0}
        self._log.info("flattened", left={asset: str(quantity) for asset, quantity in left.items()})
        return left

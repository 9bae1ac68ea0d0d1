"""Everything of the trader's sold, whatever the policy says: what a person asks for together with a halt."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from cappuccino.trading.dealings import Dealings
from cappuccino.trading.identity import client_order_id
from cappuccino.trading.patience import NoDecision
from cappuccino.trading.records import Intent
from cappuccino.trading.sizing import exact_quantity
from cappuccino.trading.venue_reader import increments_of

ATTEMPTS = 3
"""Rounds of sales in which an order did not fill: what it left is sold by the next, with an id of its own."""


class Left(NamedTuple):
    """What was not sold, by asset, in base units: too small for an order, or of which the venue rejected the order."""

    too_small: dict[str, Decimal]
    rejected: dict[str, Decimal]


class Flattener:
    """Sells all holdings of one trader, in orders of `max_order` quote currency at most.

    dealings: such as may send, and wait, although the kill switch is thrown. account, artifact: of the orders' ids, as in `Execution`.
    """

    def __init__(self, dealings: Dealings, *, account: str, artifact: str, max_order: float) -> None:
        self._dealings, self._clock, self._journal = dealings, dealings.clock, dealings.journal
        self._assets = dealings.manifest.assets
        self._account, self._artifact, self._max_order = account, artifact, max_order

    def run(self) -> Left:
        """Sell until nothing is left that the venue takes an order for.

        No other order may be open. Raises NoDecision if the venue does not answer or does not list what is held, and where orders did
        not fill; Refusal as `Reconciler.agree` does.
        """
        if self._journal.anchor() is None:
            return Left({}, {})
        failures, refused = 0, set[str]()
        while failures < ATTEMPTS:
            until = self._clock.now() + self._dealings.timing.start
            listed, _ = self._dealings.reader.rules(until)
            figures = self._dealings.reconciler.agree(increments_of(listed, self._assets), until)
            own = figures.anchor.net
            left = [asset for asset in self._assets if own[asset] > 0 and asset not in refused]
            if unlisted := [asset for asset in left if asset not in listed]:
                raise NoDecision(f"the venue does not list {', '.join(unlisted)}")
            most = self._most(left, until)
            sales = {
                asset: exact_quantity(min(float(own[asset]), most[asset]), listed[asset].increment, own[asset])
                for asset in left
            }
            intents = self._intents({asset: quantity for asset, quantity in sales.items() if quantity > 0})
            if not intents:
                return self._left(own, refused)
            self._journal.add_intents(intents)
            now, longest = self._clock.now(), self._dealings.timing.order
            ended = self._dealings.desk.settle(intents, deadline=now + longest, give_up=now + 2 * longest)
            refused |= {intent.asset for intent in ended if intent.state == "rejected"}
            failures += any(intent.state not in ("filled", "rejected") for intent in ended)
        raise NoDecision(f"orders did not fill within {self._dealings.timing.order:.0f} s, {ATTEMPTS} times")

    def _most(self, assets: Sequence[str], until: float) -> dict[str, float]:
        """The largest quantity of an order: at the ask, or at the last close that was decided on where nobody tells it."""
        if self._max_order == math.inf:
            return dict.fromkeys(assets, math.inf)
        last = self._journal.last_decided()
        decision = None if last is None else self._journal.decision(last)
        prices = {} if decision is None else dict(zip(self._assets, decision.closes, strict=True))
        try:
            prices |= self._dealings.reader.asks(assets, until)
        except NoDecision as reason:
            self._dealings.log.warning("sold without quotes", reason=str(reason))
        return {asset: self._max_order / prices[asset] if asset in prices else math.inf for asset in assets}

    def _intents(self, sales: Mapping[str, Decimal]) -> list[Intent]:
        now = self._clock.now()
        bar_seconds = self._dealings.manifest.bar_seconds
        bar = int(now // bar_seconds) * bar_seconds
        intents = []
        for asset, quantity in sales.items():
            sequence = self._journal.next_sequence(bar, asset)
            name = client_order_id(self._account, self._artifact, bar, asset, "sell", sequence)
            intents.append(Intent(name, bar, asset, "sell", quantity, created_at=now, updated_at=now, sequence=sequence))
        return intents

    def _left(self, own: Mapping[str, Decimal], refused: Collection[str]) -> Left:
        left = {asset: own[asset] for asset in self._assets if own[asset] > 0}
        self._dealings.log.info(
            "flattened", left={asset: str(quantity) for asset, quantity in left.items()}, refused=sorted(refused)
        )
        too_small = {asset: quantity for asset, quantity in left.items() if asset not in refused}
        return Left(too_small, {asset: quantity for asset, quantity in left.items() if asset in refused})

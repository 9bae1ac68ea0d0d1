"""Carries out journaled decisions: sells to their end, buys fitted to the cash that is then there, from wherever it stands."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from cappuccino.broker.protocol import Asset, Side
from cappuccino.plan import Plan
from cappuccino.trading.dealings import Dealings
from cappuccino.trading.identity import client_order_id
from cappuccino.trading.patience import NoDecision
from cappuccino.trading.records import Decision, Intent
from cappuccino.trading.sizing import OwnAccount, exact_quantity, fitted_buys, own_account
from cappuccino.trading.venue_reader import increments_of


class Execution:
    """The orders of one trader. `account` and `artifact`, its checksum, are part of their ids."""

    def __init__(self, dealings: Dealings, *, account: str, artifact: str) -> None:
        self._dealings, self._clock, self._journal = dealings, dealings.clock, dealings.journal
        self._assets = dealings.manifest.assets
        self.account, self.artifact = account, artifact

    def sells(self, bar: int, orders: Plan, account: OwnAccount, listed: dict[str, Asset]) -> list[Intent]:
        """Intents of a plan's sells: never more than what no open order reserves."""
        return self._intents(bar, "sell", orders.sells.tolist(), listed, account.free)

    def carry_out(self, bar: int) -> None:
        """Bring the journaled decision of `bar` to its end. Doing so twice, or again after a crash, sends nothing twice."""
        decision = self._journal.decision(bar)
        assert decision is not None
        close, timing = bar + self._dealings.manifest.bar_seconds, self._dealings.timing
        deadline, give_up = close + timing.deadline, close + timing.give_up
        notes: dict[str, Any] = {}
        if decision.phase == "sells":
            self._dealings.desk.settle(self._journal.intents(bar, "sell"), deadline=deadline, give_up=give_up)
            try:
                self._journal.add_buys(bar, self._fit_buys(decision, deadline))
            except NoDecision as reason:
                notes["buys"] = str(reason)
        self._dealings.desk.settle(self._journal.intents(bar, "buy"), deadline=deadline, give_up=give_up)
        self._journal.finish(bar, notes)

    def _fit_buys(self, decision: Decision, deadline: float) -> list[Intent]:
        if not any(decision.buys):
            return []
        if not self._dealings.may_send():
            raise NoDecision("not sent: halted when the sells had ended")
        if self._clock.now() >= deadline:
            raise NoDecision("not sent: the decision's time was up when the sells had ended")
        listed, rules = self._dealings.reader.rules(deadline)
        figures = self._dealings.reconciler.look(increments_of(listed, self._assets), deadline)
        closes = np.array(decision.closes)
        account = own_account(figures.state, figures.positions, self._assets, closes, figures.anchor.net)
        fitted = fitted_buys(np.array(decision.buys), account, np.array(decision.tradable), rules)
        return self._intents(decision.bar, "buy", fitted.tolist(), listed, [None] * len(self._assets))

    def _intents(
        self,
        bar: int,
        side: Side,
        planned: list[float],
        listed: dict[str, Asset],
        bounds: Sequence[Decimal | None],
    ) -> list[Intent]:
        now = self._clock.now()
        intents = []
        for asset, quantity, bound in zip(self._assets, planned, bounds, strict=True):
            exact = exact_quantity(quantity, listed[asset].increment, bound) if quantity > 0 else Decimal(0)
            if exact > 0:
                name = client_order_id(self.account, self.artifact, bar, asset, side)
                intents.append(Intent(name, bar, asset, side, exact, created_at=now, updated_at=now))
        return intents

"""What the trader asks of its venue at a bar: the account, the assets, and its own part of them, with patience."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from cappuccino.artifact.manifest import Manifest
from cappuccino.broker.protocol import Asset, Broker, BrokerUnavailable, Position
from cappuccino.plan import OrderRules
from cappuccino.trading import reconcile, startup
from cappuccino.trading.clock import Clock
from cappuccino.trading.folder import Log
from cappuccino.trading.journal import Journal
from cappuccino.trading.orders import refuse_bad_keys
from cappuccino.trading.sizing import OwnAccount, order_rules, own_account
from cappuccino.trading.timing import Timing

T = TypeVar("T")


class NoDecision(Exception):
    """Nothing is decided, or nothing more is ordered, at this bar; the message says why."""


class VenueReader:
    """Reads of one account for one trader. `capital` is what it may use; the reserve is fixed at the first look."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        journal: Journal,
        manifest: Manifest,
        capital: Decimal,
        timing: Timing,
        log: Log,
        is_stopped: Callable[[], bool],
    ) -> None:
        self.broker, self._clock, self._journal, self._timing, self._log = broker, clock, journal, timing, log
        self._manifest, self._capital, self._is_stopped = manifest, capital, is_stopped

    def patiently(self, call: Callable[[], T], until: float) -> T:
        """The call's result, asking again until a time or until stopped.

        Raises NoDecision then, Refusal for keys that are not taken.
        """
        while True:
            try:
                return call()
            except BrokerUnavailable as error:
                refuse_bad_keys(error)
                self._log.warning("no answer", error=str(error))
                if self._clock.now() >= until or self._is_stopped():
                    raise NoDecision(f"the venue did not answer: {error}") from None
            self._clock.wait_until(self._clock.now() + 5 * self._timing.poll, self._is_stopped)

    def rules(self, until: float) -> tuple[dict[str, Asset], OrderRules]:
        """The assets as the venue lists them now, and the plan's rules with their increments."""
        listed = self.patiently(lambda: self.broker.assets(self._manifest.assets), until)
        costs = self._manifest.costs
        rules = order_rules(listed, self._manifest.assets, min_notional=costs.min_notional, margin=costs.buying_power_margin)
        return listed, rules

    def own_account(
        self, closes: Float[np.ndarray, "A"], until: float
    ) -> tuple[OwnAccount, dict[str, Position], dict[str, Any]]:
        """The trader's account at the closes, the positions, and notes of where these differ from the journal.

        Raises Refusal for a blocked account, and at the first look for one that is worth less than the capital.
        """
        state = self.patiently(self.broker.account, until)
        startup.check_account(state)
        positions = self.patiently(self.broker.positions, until)
        reserve = self._journal.meta().get("reserve")
        if reserve is None:
            whole = own_account(state, positions, self._manifest.assets, closes, Decimal(0))
            reserve = startup.fix_reserve(self._journal, whole, self._capital)
        notes: dict[str, Any] = {}
        mark = self._journal.last_mark()
        if mark is not None:
            fills = self._journal.fills_since(mark.bar)
            strange = reconcile.differences(mark, fills, positions, self._manifest.assets)
            if strange:
                notes["positions"] = strange
                self._log.warning("positions differ from the journal", differences=strange)
        return own_account(state, positions, self._manifest.assets, closes, Decimal(reserve)), positions, notes

"""What the trader asks of its venue at a bar: the assets, the account, and its own part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from cappuccino.artifact.manifest import Manifest
from cappuccino.broker.protocol import AccountState, Asset, Broker, Position
from cappuccino.plan import OrderRules
from cappuccino.trading import start_checks
from cappuccino.trading.patience import Patience
from cappuccino.trading.sizing import DECIMALS, order_rules


class VenueReader:
    """Reads of one account for one trader, each with patience until a time: NoDecision without an answer by then."""

    def __init__(self, broker: Broker, manifest: Manifest, patience: Patience) -> None:
        self._broker, self._manifest, self._patience = broker, manifest, patience

    def rules(self, until: float) -> tuple[dict[str, Asset], OrderRules]:
        """The assets as the venue lists them now, and the plan's rules with their increments."""
        listed = self._patience.ask(lambda: self._broker.assets(self._manifest.assets), until)
        costs = self._manifest.costs
        rules = order_rules(listed, self._manifest.assets, min_notional=costs.min_notional, margin=costs.buying_power_margin)
        return listed, rules

    def account(self, until: float) -> tuple[AccountState, dict[str, Position]]:
        """Account and positions. Raises Refusal for a blocked account."""
        state = self._patience.ask(self._broker.account, until)
        start_checks.check_account(state)
        return state, self._patience.ask(self._broker.positions, until)

    def asks(self, assets: Sequence[str], until: float) -> dict[str, float]:
        """Asks now, in quote currency; an asset of which nobody sells any is absent."""
        quotes = self._patience.ask(lambda: self._broker.quotes(assets), until)
        return {asset: float(quote.ask) for asset, quote in quotes.items() if quote.ask > 0}


def increments_of(listed: Mapping[str, Asset], assets: tuple[str, ...]) -> dict[str, Decimal]:
    """The step of a quantity by asset, DECIMALS where any goes: what a position may be off by rounding."""
    return {asset: max(listed[asset].increment, DECIMALS) if asset in listed else DECIMALS for asset in assets}

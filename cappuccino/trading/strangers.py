"""Orders in the trader's assets that are not its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cappuccino.broker.protocol import Broker, Order, OrderRejected, UnknownOutcome
from cappuccino.errors import Refusal
from cappuccino.trading.identity import is_of_a_trader
from cappuccino.trading.journal import Journal
from cappuccino.trading.patience import NoDecision
from cappuccino.trading.reconcile import Foreign
from cappuccino.trading.succession import begun_with


class Strangers:
    """What the trader does about them: refuses to trade, cancels them (adopt) or leaves them alone (ignore).

    Orders of the trader that was taken over are no strangers; one that is open after all is canceled.
    """

    def __init__(self, broker: Broker, journal: Journal, assets: Collection[str], foreign: Foreign) -> None:
        self._broker, self._journal, self._assets, self._foreign = broker, journal, assets, foreign

    def meet(self, orders: Sequence[Order]) -> dict[str, str]:
        """Deal with those among the orders, with a note of them. Raises NoDecision if one cannot be canceled now.

        Raises Refusal if they are to be refused, and if another trader gave one its id: then two of them trade this account, or
        the folder of one was lost.
        """
        strange = [
            order for order in orders if order.asset in self._assets and self._journal.intent(order.client_order_id) is None
        ]
        before = begun_with(self._journal).orders
        self._cancel([order for order in strange if order.client_order_id in before and not order.is_terminal])
        strange = [order for order in strange if order.client_order_id not in before]
        others = [order for order in strange if is_of_a_trader(order.client_order_id)]
        if others:
            raise Refusal(
                f"another trader ordered on this account: {_names(others)}; stop it, or if its folder was lost, cancel what is "
                "open and start with a new trade.name"
            )
        found = [order for order in strange if not order.is_terminal]
        if not found:
            return {}
        if self._foreign == "refuse":
            raise Refusal(
                f"open orders that this trader did not place: {_names(found)}; cancel them, trade on another account, "
                "or say trade.foreign=adopt (they are canceled, what they filled becomes the trader's) or trade.foreign=ignore"
            )
        if self._foreign == "adopt":
            self._cancel(found)
        return {"strangers": _names(found)}

    def _cancel(self, orders: Sequence[Order]) -> None:
        for order in orders:
            try:
                self._broker.cancel(order.id)
            except (OrderRejected, UnknownOutcome) as error:
                raise NoDecision(f"the order {order.client_order_id}, which is not ours, was not canceled: {error}") from None


def _names(orders: Sequence[Order]) -> str:
    return ", ".join(f"{order.side} {order.quantity} {order.asset} ({order.client_order_id})" for order in orders)

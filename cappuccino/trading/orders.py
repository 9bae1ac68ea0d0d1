"""One intent to its end: sent, asked after where the answer is unknown, followed, canceled when its time is up.

The id of an intent never changes, and the venue takes an id once: sending again after "no such order" cannot make a second.
"""

from __future__ import annotations

import dataclasses

from cappuccino.broker.protocol import (
    Broker,
    BrokerUnavailable,
    DuplicateOrderId,
    Order,
    OrderRejected,
    OrderRequest,
    UnknownOutcome,
)
from cappuccino.errors import Refusal
from cappuccino.trading.clock import Clock
from cappuccino.trading.folder import Log
from cappuccino.trading.journal import Intent, Journal, State
from cappuccino.trading.timing import Timing

_ENDED: dict[str, State] = {
    "filled": "filled",
    "canceled": "canceled",
    "replaced": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}

_KEYS_HELP = "the venue does not take the keys: check APCA_API_KEY_ID, APCA_API_SECRET_KEY and whether they are for paper"


def refuse_bad_keys(error: BrokerUnavailable | OrderRejected) -> None:
    """Raises Refusal if the error says that the keys open no account, which waiting does not mend."""
    forbidden = error.status == 403 and not (isinstance(error, OrderRejected) and error.code)
    if error.status == 401 or forbidden:
        raise Refusal(f"{_KEYS_HELP} ({error})") from None


class OrderDesk:
    """Brings intents to an end, writing every step into the journal before and after it is taken."""

    def __init__(self, broker: Broker, clock: Clock, journal: Journal, timing: Timing, log: Log) -> None:
        self._broker, self._clock, self._journal, self._timing = broker, clock, journal, timing
        self._log = log

    def settle(self, intent: Intent, *, deadline: float, give_up: float) -> Intent:
        """Send the intent if need be and follow it until its state is final.

        After `deadline` (venue's time) nothing is sent and what is open is canceled; what was filled until then counts. An
        intent is returned in a state that is not final only if the venue has not said by `give_up` how the order ended.
        Raises Refusal for keys that are not taken, and where an order of this id differs in asset, side or quantity.
        """
        missing_since: float | None = None
        while not intent.is_final:
            now = self._clock.now()
            if intent.state == "planned":
                if now >= deadline:
                    return self._change(intent, "abandoned", error="its time was up before it was sent")
                intent = self._send(intent, now)
                if intent.state == "planned":
                    self._pause()
                continue
            try:
                order = self._ask(intent)
            except BrokerUnavailable as error:
                self._log.warning("no answer about an order", order=intent.client_order_id, error=str(error))
                if self._clock.now() >= give_up:
                    return intent
                self._pause()
                continue
            now = self._clock.now()
            if order is not None:
                missing_since = None
                intent = self._adopt(intent, order)
                if intent.is_final:
                    return intent
                if now >= min(deadline, (intent.sent_at or now) + self._timing.order):
                    self._cancel(intent, order)
            elif intent.state in ("sent", "unknown"):
                missing_since = now if missing_since is None else missing_since
                if now - missing_since >= self._timing.grace:
                    if now >= deadline:
                        return self._change(intent, "abandoned", error="the venue knows no such order, and its time is up")
                    intent, missing_since = self._send(intent, now), None
                    continue
            if now >= give_up:
                return intent
            self._pause()
        return intent

    def look_again(self, intent: Intent) -> Intent:
        """Ask once about an intent that was abandoned after it had been sent: it may have turned up, and is then adopted.

        Raises BrokerUnavailable without an answer.
        """
        order = self._ask(intent)
        return intent if order is None else self._adopt(intent, order)

    def _send(self, intent: Intent, now: float) -> Intent:
        intent = self._change(intent, "sent", sent_at=now, error=None)
        request = OrderRequest(intent.asset, intent.side, intent.quantity, intent.client_order_id)
        try:
            order = self._broker.submit(request)
        except OrderRejected as error:
            if error.status == 429:
                return self._change(intent, "planned", error=str(error))
            intent = self._change(intent, "rejected", error=str(error))
            refuse_bad_keys(error)
            return intent
        except (DuplicateOrderId, UnknownOutcome) as error:
            return self._change(intent, "unknown", error=str(error))
        return self._adopt(intent, order)

    def _ask(self, intent: Intent) -> Order | None:
        try:
            return self._broker.order(intent.client_order_id)
        except BrokerUnavailable as error:
            refuse_bad_keys(error)
            raise

    def _adopt(self, intent: Intent, order: Order) -> Intent:
        if (order.asset, order.side, order.quantity) != (intent.asset, intent.side, intent.quantity):
            raise Refusal(
                f"the venue's order {order.client_order_id} is to {order.side} {order.quantity} {order.asset}, the journal's "
                f"to {intent.side} {intent.quantity} {intent.asset}: was the trader's folder lost, or another one started?"
            )
        filled = max(order.filled_quantity, intent.filled_quantity)
        state = _ENDED.get(order.status, "partially_filled" if filled > 0 else "accepted")
        known = (intent.state, intent.venue_id, intent.filled_quantity, intent.filled_price)
        if known == (state, order.id, filled, order.filled_average_price):
            return intent
        return self._change(
            intent, state, venue_id=order.id, filled_quantity=filled, filled_price=order.filled_average_price, error=None
        )

    def _cancel(self, intent: Intent, order: Order) -> None:
        self._log.info("cancel", order=intent.client_order_id, status=order.status, filled=str(order.filled_quantity))
        try:
            self._broker.cancel(order.id)
        except OrderRejected as error:
            refuse_bad_keys(error)
            self._log.warning("cancel refused", order=intent.client_order_id, error=str(error))
        except UnknownOutcome as error:
            self._log.warning("cancel not answered", order=intent.client_order_id, error=str(error))

    def _change(self, intent: Intent, state: State, **changes: object) -> Intent:
        intent = dataclasses.replace(intent, state=state, updated_at=self._clock.now(), **changes)  # type: ignore[arg-type]
        self._journal.update(intent)
        self._log.info(
            "order",
            order=intent.client_order_id,
            asset=intent.asset,
            side=intent.side,
            quantity=str(intent.quantity),
            state=state,
            filled=str(intent.filled_quantity),
            error=intent.error,
        )
        return intent

    def _pause(self) -> None:
        self._clock.wait_until(self._clock.now() + self._timing.poll)

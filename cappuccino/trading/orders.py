"""Intents to their end: sent, asked after where the answer is unknown, followed, canceled when their time is up.

The id of an intent never changes, and the venue takes an id once: sending again after "no such order" cannot make a second.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from cappuccino.broker.protocol import (
    Broker,
    BrokerUnavailable,
    DuplicateOrderId,
    Order,
    OrderRejected,
    OrderRequest,
    UnknownOutcome,
)
from cappuccino.errors import Halted, Refusal
from cappuccino.trading.clock import Clock
from cappuccino.trading.journal import Journal
from cappuccino.trading.log import Log
from cappuccino.trading.patience import Keys, NoDecision, is_about_keys
from cappuccino.trading.records import Intent, State
from cappuccino.trading.timing import Timing
from cappuccino.trading.watch import Watch

_ENDED: dict[str, State] = {
    "filled": "filled",
    "canceled": "canceled",
    "replaced": "canceled",
    "expired": "expired",
    "rejected": "rejected",
}

LIST_MARGIN_S = 60.0
"""Orders are listed from so long before the first was sent: the venue's clock may be behind."""

LATE_S = 86_400.0
"""For so long after it was sent an order that was given up is asked for: it may turn up yet, and is then adopted."""


class OrderDesk:
    """Brings intents to an end, writing every step into the journal before and after it is taken.

    may_send: asked before each sending; false once the kill switch is thrown, and then what is open is canceled.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        journal: Journal,
        timing: Timing,
        log: Log,
        watch: Watch,
        may_send: Callable[[], bool],
    ) -> None:
        self._broker, self._clock, self._journal, self._timing = broker, clock, journal, timing
        self._log, self._watch, self._told_to_send = log, watch, may_send
        self._keys, self._ended = Keys(clock, timing.grace), None
        self._missing_since: dict[str, float] = {}
        self._cancel_again: dict[str, float] = {}

    def settle(self, intents: Sequence[Intent], *, deadline: float, give_up: float) -> list[Intent]:
        """Send what is to be sent, then follow all of them, with one request a poll for what was sent, until every state is final.

        After `deadline` (venue's time) nothing is sent and what is open is canceled; what was filled until then counts. An
        intent is returned in a state that is not final only if the venue has not said by `give_up` how the order ended, or within
        `timing.start` of being stopped: the next start resolves it.
        Raises Refusal for keys that are not taken, Halted where an order of an intent's id differs in asset, side or quantity: the
        others are first brought to their end as if it had been stopped.
        """
        current = {intent.client_order_id: intent for intent in intents}
        self._missing_since, self._cancel_again, self._ended = {}, {}, None
        is_stopped = False
        while True:
            if not is_stopped and not self._may_send():
                is_stopped, give_up = True, min(give_up, self._clock.now() + self._timing.start)
            for name, intent in current.items():
                if intent.state == "planned":
                    current[name] = self._or_end(intent, functools.partial(self._send_in_time, intent, deadline))
            waiting = [intent for intent in current.values() if not intent.is_final]
            if not waiting:
                break
            for intent, order in self._look([intent for intent in waiting if intent.state != "planned"]):
                step = functools.partial(self._follow, intent, order, deadline)
                current[intent.client_order_id] = self._or_end(intent, step)
            if all(intent.is_final for intent in current.values()) or self._clock.now() >= give_up:
                break
            self._clock.wait_until(self._clock.now() + self._timing.poll)
        if self._ended is not None:
            raise self._ended
        return list(current.values())

    def _may_send(self) -> bool:
        return self._ended is None and self._told_to_send()

    def _or_end(self, intent: Intent, step: Callable[[], Intent]) -> Intent:
        """What a step made of an intent. What should end the trader ends it when the other orders have ended."""
        try:
            return step()
        except (Halted, Refusal) as error:
            self._ended = self._ended or error
            known = self._journal.intent(intent.client_order_id)
            assert known is not None
            return known

    def resolve_open(self, until: float) -> None:
        """Know how every order so far ended, those given up included, which may turn up for LATE_S after they were sent.

        Raises NoDecision if the venue does not say until then.
        """
        for intent in self._journal.open_intents(sent_since=self._clock.now() - LATE_S):
            if intent.is_final:
                intent = self._look_again(intent, until)
            if not intent.is_final:
                (intent,) = self.settle([intent], deadline=0.0, give_up=until)
            if not intent.is_final:
                raise NoDecision(f"order {intent.client_order_id} is still {intent.state}")

    def _look_again(self, intent: Intent, until: float) -> Intent:
        """Ask about an intent that was abandoned after it had been sent: it may have turned up, and is then adopted."""
        while True:
            try:
                order = self._broker.order(intent.client_order_id)
                break
            except BrokerUnavailable as error:
                self._keys.heed(error)
                self._log.warning("no answer about an order", order=intent.client_order_id, error=str(error))
                if not self._told_to_send():
                    until = min(until, self._clock.now() + self._timing.start)
                if self._clock.now() >= until:
                    raise NoDecision(f"order {intent.client_order_id} may have turned up: {error}") from None
            self._clock.wait_until(self._clock.now() + self._timing.poll)
        self._keys.taken()
        return intent if order is None else self._adopt(intent, order)

    def _send_in_time(self, intent: Intent, deadline: float) -> Intent:
        if not self._may_send():
            return self._change(intent, "abandoned", error="halted before it was sent")
        now = self._clock.now()
        if now >= deadline:
            return self._change(intent, "abandoned", error="its time was up before it was sent")
        return self._send(intent, now)

    def _look(self, waiting: Sequence[Intent]) -> list[tuple[Intent, Order | None]]:
        """What the venue knows of the intents, with one request; nothing without an answer."""
        if not waiting:
            return []
        try:
            if len(waiting) == 1:
                found = [(waiting[0], self._broker.order(waiting[0].client_order_id))]
            else:
                since = min(intent.sent_at or intent.created_at for intent in waiting) - LIST_MARGIN_S
                listed = {order.client_order_id: order for order in self._broker.orders_since(since)}
                found = [(intent, listed.get(intent.client_order_id)) for intent in waiting]
        except BrokerUnavailable as error:
            self._log.warning("no answer about orders", orders=len(waiting), error=str(error))
            self._heed_keys(error)
            return []
        self._keys.taken()
        return found

    def _heed_keys(self, error: BrokerUnavailable | OrderRejected) -> None:
        try:
            self._keys.heed(error)
        except Refusal as refusal:
            self._ended = self._ended or refusal

    def _follow(self, intent: Intent, order: Order | None, deadline: float) -> Intent:
        now, name = self._clock.now(), intent.client_order_id
        if order is None:
            return self._miss(intent, now, deadline)
        self._missing_since.pop(name, None)
        intent = self._adopt(intent, order)
        is_over = not self._may_send() or now >= min(deadline, (intent.sent_at or now) + self._timing.order)
        if not intent.is_final and is_over and now >= self._cancel_again.get(name, now):
            self._cancel_again[name] = now + self._timing.grace
            self._cancel(intent, order)
        return intent

    def _miss(self, intent: Intent, now: float, deadline: float) -> Intent:
        """The venue does not show the order. It never arrived only if asking for its id says so when `grace` is over."""
        since = self._missing_since.setdefault(intent.client_order_id, now)
        if now - since < self._timing.grace:
            return intent
        try:
            order = self._broker.order(intent.client_order_id)
        except BrokerUnavailable as error:
            self._log.warning("no answer about an order", order=intent.client_order_id, error=str(error))
            return intent
        if order is not None:
            return self._follow(intent, order, deadline)
        if intent.state not in ("sent", "unknown"):  # the venue has shown it before
            self._missing_since[intent.client_order_id] = now
            return intent
        if now >= deadline or not self._may_send():
            return self._change(intent, "abandoned", error="the venue knows no such order, and its time is up")
        del self._missing_since[intent.client_order_id]
        return self._send(intent, now)

    def _send(self, intent: Intent, now: float) -> Intent:
        was_sent = intent.sent_at is not None
        intent = self._change(intent, "sent", sent_at=now, error=None)
        request = OrderRequest(intent.asset, intent.side, intent.quantity, intent.client_order_id)
        try:
            order = self._broker.submit(request)
        except OrderRejected as error:
            if error.status == 429 or is_about_keys(error):
                self._heed_keys(error)
                return self._change(intent, "planned", error=str(error))
            if was_sent:  # the first one may have arrived meanwhile, and be why: it is asked after
                return self._change(intent, "abandoned", error=f"sent again, and refused: {error}")
            return self._change(intent, "rejected", error=str(error))
        except (DuplicateOrderId, UnknownOutcome) as error:
            return self._change(intent, "unknown", error=str(error))
        return self._adopt(intent, order)

    def _adopt(self, intent: Intent, order: Order) -> Intent:
        if (order.asset, order.side, order.quantity) != (intent.asset, intent.side, intent.quantity):
            said = (
                f"the venue's order {order.client_order_id} is to {order.side} {order.quantity} {order.asset}, the journal's "
                f"to {intent.side} {intent.quantity} {intent.asset}: was the trader's folder lost, or another one started?"
            )
            self._change(intent, "rejected", error="the venue has another order of this id")
            raise Halted(said)
        filled, price = order.filled_quantity, order.filled_average_price
        if intent.filled_price is not None and (filled < intent.filled_quantity or price is None):  # an older answer
            filled, price = intent.filled_quantity, intent.filled_price
        if filled > 0 and price is None:
            self._log.warning("a fill without its price", order=intent.client_order_id, filled=str(filled))
            return intent
        state = _ENDED.get(order.status, "partially_filled" if filled > 0 else "accepted")
        if (intent.state, intent.venue_id, intent.filled_quantity, intent.filled_price) == (state, order.id, filled, price):
            return intent
        return self._change(intent, state, venue_id=order.id, filled_quantity=filled, filled_price=price, error=None)

    def _cancel(self, intent: Intent, order: Order) -> None:
        self._log.info("cancel", order=intent.client_order_id, status=order.status, filled=str(order.filled_quantity))
        try:
            self._broker.cancel(order.id)
        except OrderRejected as error:
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
        if state == "rejected":
            said = f"{intent.side} {intent.quantity} {intent.asset} was rejected: {intent.error or 'after it was accepted'}"
            self._watch.event("reject", said, order=intent.client_order_id)
        return intent

"""A real broker on loopback, with a wire that fails by a script of our choosing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.protocol import BrokerUnavailable, Order, OrderRejected, OrderRequest, UnknownOutcome


class Crash(BaseException):
    """The process dies here."""


class FaultyBroker:
    """Every call asks `fate(name)` what becomes of it.

    fine; lost: the request does not arrive; unanswered: it arrives, its answer does not; busy: 429; crash_before and
    crash_after: the process dies before or after the venue has done what was asked. stale: the venue denies an order.
    """

    def __init__(self, broker: AlpacaBroker, fate: Callable[[str], str]) -> None:
        self._broker, self._fate = broker, fate

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        return self._do(self._fate(name), name, *args, **options)

    def _do(self, fate: str, name: str, *args: Any, **options: Any) -> Any:
        failure = UnknownOutcome if name in ("submit", "cancel") else BrokerUnavailable
        if fate == "crash_before":
            raise Crash
        if fate == "lost":
            raise failure(f"{name}: no answer")
        if fate == "busy":
            raise OrderRejected(42910000, "rate limit exceeded", 429) if name == "submit" else failure(f"{name}: busy")
        answer = getattr(self._broker, name)(*args, **options)
        if fate == "crash_after":
            raise Crash
        if fate == "unanswered":
            raise failure(f"{name}: no answer")
        assert fate == "fine", fate
        return answer

    def submit(self, order: OrderRequest) -> Order:
        return self._call("submit", order)

    def order(self, client_order_id: str) -> Order | None:
        fate = self._fate("order")
        return None if fate == "stale" else self._do(fate, "order", client_order_id)

    def account(self) -> Any:
        return self._call("account")

    def assets(self, symbols: Any) -> Any:
        return self._call("assets", symbols)

    def positions(self) -> Any:
        return self._call("positions")

    def quotes(self, assets: Any) -> Any:
        return self._call("quotes", assets)

    def open_orders(self) -> Any:
        return self._call("open_orders")

    def orders_since(self, at: float) -> Any:
        return self._call("orders_since", at)

    def cancel(self, order_id: str) -> Any:
        return self._call("cancel", order_id)

    def bars(self, assets: Any, start: int, stop: int, *, bar_seconds: int) -> Any:
        return self._call("bars", assets, start, stop, bar_seconds=bar_seconds)

    def clock(self) -> Any:
        return self._call("clock")

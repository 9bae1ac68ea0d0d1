"""A broker that calls the exchange's own handlers in this process, thousands of times a second, and orders that arrive late."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cappuccino.broker import alpaca_wire
from cappuccino.broker.exchange import reading, trading_api
from cappuccino.broker.exchange.arithmetic import exactly
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.broker.exchange.trading_api import Handler, Request
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import (
    BarArrays,
    BrokerUnavailable,
    DuplicateOrderId,
    Order,
    OrderRejected,
    OrderRequest,
    Quote,
    UnknownOutcome,
)


class DirectBroker:
    """As `Broker`, on one venue. `late` orders are delivered by the first call at or after their time."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.late: list[tuple[float, OrderRequest]] = []

    def _ask(self, handle: Handler, *, path: Mapping[str, str] = {}, query: Mapping[str, str] = {}, body: Any = None) -> Any:
        self._deliver()
        content = reading.body(json.dumps(body).encode()) if body is not None else {}
        return exactly(handle)(self.venue, Request(path, query, content), self.venue.settle()).json

    def _read(self, handle: Handler, **options: Any) -> Any:
        try:
            return self._ask(handle, **options)
        except Refused as refused:
            raise BrokerUnavailable(refused.message, refused.status) from None

    def _deliver(self) -> None:
        due = [order for at, order in self.late if at <= self.venue.clock.now()]
        self.late = [(at, order) for at, order in self.late if at > self.venue.clock.now()]
        for order in due:
            try:
                self.submit(order)
            except (OrderRejected, DuplicateOrderId):
                continue  # it came too late for what it wanted

    def submit(self, order: OrderRequest) -> Order:
        body = {
            "symbol": f"{order.asset}/USD",
            "qty": format(order.quantity, "f"),
            "side": order.side,
            "type": "market",
            "time_in_force": "gtc",
            "client_order_id": order.client_order_id,
        }
        try:
            return alpaca_wire.order(self._ask(trading_api.submit_order, body=body))
        except Refused as refused:
            if refused.code == 40010001 and "unique" in refused.message:
                raise DuplicateOrderId(refused.message) from None
            raise OrderRejected(refused.code or 0, refused.message, refused.status) from None

    def send_late(self, order: OrderRequest, at: float) -> None:
        """Lost for now; it arrives at a time."""
        self.late.append((at, order))
        raise UnknownOutcome("no answer")

    def order(self, client_order_id: str) -> Order | None:
        try:
            return alpaca_wire.order(self._ask(trading_api.get_order_by_client_id, query={"client_order_id": client_order_id}))
        except Refused:
            return None

    def account(self) -> Any:
        return alpaca_wire.account(self._read(trading_api.get_account))

    def assets(self, symbols: Sequence[str]) -> Any:
        found = [alpaca_wire.asset(item) for item in self._read(trading_api.list_assets)]
        return {asset.symbol: asset for asset in found if asset.symbol in symbols}

    def positions(self) -> Any:
        found = [alpaca_wire.position(item) for item in self._read(trading_api.list_positions)]
        return {position.asset: position for position in found}

    def quotes(self, assets: Sequence[str]) -> Any:
        now = self.venue.settle()
        books = {asset: self.venue.market.quote(asset, now) for asset in assets}
        return {asset: Quote(book.bid, book.ask, now) for asset, book in books.items() if book is not None}

    def open_orders(self) -> list[Order]:
        return self._orders(status="open", limit="500")

    def orders_since(self, at: float) -> list[Order]:
        stamp = np.datetime64(round(at * 1e6), "us")
        return self._orders(status="all", limit="500", after=f"{stamp}+00:00")

    def _orders(self, **query: str) -> list[Order]:
        found = [alpaca_wire.order(item) for item in self._read(trading_api.list_orders, query=query)]
        return sorted(found, key=lambda order: order.submitted_at)

    def cancel(self, order_id: str) -> bool:
        try:
            self._ask(trading_api.cancel_order, path={"id": order_id})
        except Refused as refused:
            if refused.status == 422:
                return False
            raise OrderRejected(refused.code or 0, refused.message, refused.status) from None
        return True

    def bars(self, assets: Sequence[str], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        del bar_seconds
        found = {}
        for asset in assets:
            rows = self.venue.market.bars(asset, start, stop - 1, self.venue.clock.now())
            columns = np.array(rows, np.float64).reshape(len(rows), 6).T
            found[asset] = BarArrays(columns[0].astype(np.int64), *columns[1:])
        return found

    def clock(self) -> float:
        return self.venue.settle()


class DirectClock:
    """The venue's time, which moves by what is waited for."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def now(self) -> float:
        return self._venue.clock.now()

    def wait_until(self, at: float, is_stopped: Callable[[], bool] = lambda: False) -> None:
        if not is_stopped() and at > self.now():
            self._venue.clock.advance(at)

    def is_finished(self) -> bool:
        return self.now() >= self._venue.market.last

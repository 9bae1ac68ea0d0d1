"""A broker, which does what `cappuccino.broker.Broker` says: a venue behind HTTP, in a format that `alpaca_wire` reads."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import requests

from cappuccino import broker as api
from cappuccino.broker import alpaca_wire as wire
from cappuccino.deadline import DeadlineSession
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.venue import Venue, add_broker


class HttpBroker:
    def __init__(self, url: str, deadline_s: float) -> None:
        self._url, self._session = url, DeadlineSession(deadline_s)  # a request ends by then, answered or not
        key = os.environ.get("VENUE_KEY", "any")
        self._session.headers.update({"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": key})

    def _ask(self, method: str, path: str, parse: Callable[[Any], Any], instead: Any = (), **options: Any) -> Any:
        """Raises OrderRejected for an error of the venue's whose code is not in `instead`, UnknownOutcome where nothing is known."""
        try:
            answer = self._session.request(method, f"{self._url}{path}", **options)
            if 400 <= answer.status_code < 500 and answer.status_code != 408:
                code, message = wire.error_body(answer.text)
                if code in instead:
                    return instead[code]
                raise api.OrderRejected(code, message, answer.status_code)
            answer.raise_for_status()
            return parse(answer.json() if answer.content else None)
        except (requests.RequestException, wire.Unreadable) as error:
            raise api.UnknownOutcome(f"{method} {path}: {error}") from None

    def _read(self, path: str, parse: Callable[[Any], Any], instead: Any = (), **query: Any) -> Any:
        try:
            return self._ask("GET", path, parse, instead, params=query)
        except (api.OrderRejected, api.UnknownOutcome) as error:
            raise api.BrokerUnavailable(str(error), getattr(error, "status", None)) from None

    def account(self) -> api.AccountState:
        return self._read("/v2/account", wire.account)

    def assets(self, symbols: Sequence[str]) -> dict[str, api.Asset]:
        listed = self._read("/v2/assets", lambda raw: [*map(wire.asset, raw)])
        return {item.symbol: item for item in listed if item.symbol in symbols}

    def positions(self) -> dict[str, api.Position]:
        return {held.asset: held for held in self._read("/v2/positions", lambda raw: [*map(wire.position, raw)])}

    def quotes(self, assets: Sequence[str]) -> dict[str, api.Quote]:
        found = self._read("/v1beta3/crypto/us/latest/quotes", wire.record, symbols=",".join(map(wire.symbol, assets)))
        return {wire.base(name): wire.quote(item) for name, item in found["quotes"].items()}

    def submit(self, order: api.OrderRequest) -> api.Order:
        body = {"symbol": wire.symbol(order.asset), "qty": format(order.quantity, "f"), "side": order.side}
        body |= {"type": "market", "time_in_force": "gtc", "client_order_id": order.client_order_id}
        try:
            return self._ask("POST", "/v2/orders", wire.order, json=body)  # once: what is not known is asked for
        except api.OrderRejected as error:
            is_taken = error.code == 40010001 and "unique" in error.message
            raise (api.DuplicateOrderId(error.message) if is_taken else error) from None

    def order(self, client_order_id: str) -> api.Order | None:
        return self._read("/v2/orders:by_client_order_id", wire.order, {40410000: None}, client_order_id=client_order_id)

    def open_orders(self) -> list[api.Order]:
        return self.orders_since(0, status="open")

    def orders_since(self, at: float, *, status: str = "all") -> list[api.Order]:
        found = self._read("/v2/orders", wire.records, status=status, after=wire.rfc3339(int(at)), limit=500)
        if len(found) == 500:
            raise api.BrokerUnavailable("the answer may not hold all orders")
        return sorted(map(wire.order, found), key=lambda order: order.submitted_at)

    def cancel(self, order_id: str) -> bool:
        return self._ask("DELETE", f"/v2/orders/{order_id}", lambda _: True, {42210000: False})  # filled or canceled already

    def bars(self, assets: Sequence[str], start: int, stop: int, *, bar_seconds: int) -> dict[str, api.BarArrays]:
        span = {"start": wire.rfc3339(start), "end": wire.rfc3339(stop - 1), "timeframe": wire.timeframe(bar_seconds)}
        query = {"symbols": ",".join(map(wire.symbol, assets)), "limit": 10_000}
        rows, more = self._read("/v1beta3/crypto/us/bars", wire.bar_page, **span, **query)
        if more:
            raise api.BrokerUnavailable("more bars than one answer holds")
        columns = {asset: np.array(rows.get(asset, ()), np.float64).reshape(-1, 6).T for asset in assets}
        return {asset: api.BarArrays(values[0].astype(np.int64), *values[1:]) for asset, values in columns.items()}

    def clock(self) -> float:
        return self._read("/v2/clock", lambda raw: wire.seconds(wire.record(raw).get("timestamp")))


def open_venue(url: str | None, deadline_s: float) -> Venue:
    url = url or "http://127.0.0.1:8765"  # and a replay's time; RealClock() where bars are made now
    return Venue(HttpBroker(url, deadline_s), ExchangeClock(url, "stepped"), url)


add_broker("http", open_venue, real_money=False)

"""Alpaca as a broker: alpaca-py's own clients behind a total deadline, and without its re-sending of orders.

alpaca-py has no timeout, repeats a POST after 429 and 504, and follows page tokens without end. Here its retries are off; reads
and cancels are repeated by us with back-off and jitter; an order is sent once, and what is then not known is said to be so.
"""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import requests
import tenacity
from alpaca.common.exceptions import APIError
from alpaca.data.historical.crypto import CryptoHistoricalDataClient
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderClass, QueryOrderStatus
from alpaca.trading.requests import GetAssetsRequest, GetOrdersRequest

from cappuccino.broker import alpaca_wire as wire
from cappuccino.broker.access import DATA_URL, LIVE_URL, PAPER_URL, checked_url, is_loopback, keys_from_environment
from cappuccino.broker.pace import Pace
from cappuccino.broker.protocol import (
    AccountState,
    Asset,
    BarArrays,
    BrokerUnavailable,
    DuplicateOrderId,
    Order,
    OrderRejected,
    OrderRequest,
    Position,
    Quote,
    UnknownOutcome,
)
from cappuccino.deadline import DeadlineSession
from cappuccino.errors import InputError

ATTEMPTS = 5
"""Requests that one read makes at most."""

BARS_PER_PAGE = 10_000
ORDERS_PER_PAGE = 500
NOT_FOUND = 40410000
NOT_UNIQUE = 40010001

__all__ = ["AlpacaBroker", "keys_from_environment"]

T = TypeVar("T")


class _Answered(Exception):
    """The venue answered with an error."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{message} (status {status}, code {code})")
        self.status, self.code, self.message = status, code, message


class _Held(_Answered):
    """Not sent: the venue would have answered that these are too many requests."""


class _NotAnswered(Exception):
    """No answer, or none that could be read."""


def _worth_retrying(error: BaseException) -> bool:
    if isinstance(error, _Held):
        return False
    if isinstance(error, _Answered):
        return error.status in (408, 429) or error.status >= 500
    return isinstance(error, _NotAnswered)


class AlpacaBroker:
    """One Alpaca account as a `Broker`; not for use by several threads at once.

    trading_url, data_url: a server on this machine, or Alpaca's own (paper is the default). Without a `data_url` a local
    trading server serves the bars too.
    live: must be true for the live host; Refusal otherwise, and for any host but Alpaca's or this machine.
    deadline_s: seconds that a call takes at most; a read's attempts share it, each with at most half of it.
    sleep: waits between a read's attempts.
    now: the venue's time (Unix seconds), in which requests are counted and held back (`broker.pace`), as if by its answer 429; None:
    this machine's, but for a local server none are counted.
    answered: told the HTTP status of every answer, on another thread; must not raise.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        trading_url: str | None = None,
        data_url: str | None = None,
        live: bool = False,
        deadline_s: float | int = 10.0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] | None = None,
        answered: Callable[[int], object] | None = None,
    ) -> None:
        if not key or not secret:
            raise InputError("Alpaca needs a key and its secret; any two words do for a local exchange")
        if not deadline_s > 0:
            raise InputError(f"deadline_s is {deadline_s}; seconds above 0 are right")
        own = LIVE_URL if live else PAPER_URL
        self.trading_url = checked_url(trading_url or own, (PAPER_URL, LIVE_URL) if live else (PAPER_URL,), live=live)
        is_local = is_loopback(self.trading_url)
        self.data_url = checked_url(data_url or (self.trading_url if is_local else DATA_URL), (DATA_URL,), live=False)
        self.live = live
        self._secrets = (key, secret)
        self._deadline_s = deadline_s
        self._sleep = sleep
        # Raw answers: the typed ones turn increments into floats and fail on a word that alpaca-py does not know.
        self._trading = TradingClient(
            key, secret, paper=self.trading_url != LIVE_URL, raw_data=True, url_override=self.trading_url
        )
        self._data = CryptoHistoricalDataClient(key, secret, raw_data=True, url_override=self.data_url)
        self._session = DeadlineSession(deadline_s)
        self._session.trust_env = not is_local
        self._pace = None if now is None and is_local else Pace(now or time.time)

        def tell(response: requests.Response, **_: Any) -> None:  # what a hook returns would take the answer's place
            if self._pace is not None:
                self._pace.heard(response.status_code, response.headers)
            if answered is not None:
                answered(response.status_code)

        self._session.hooks["response"].append(tell)
        for client in (self._trading, self._data):
            client._session = self._session
            client._retry = 0  # alpaca-py would repeat a POST after 429 and 504

    def __repr__(self) -> str:
        return f"AlpacaBroker(trading_url={self.trading_url!r}, data_url={self.data_url!r}, live={self.live})"

    def account(self) -> AccountState:
        """See `Broker.account`."""
        return self._read(self._trading.get_account, lambda raw: wire.account(wire.record(raw)))

    def assets(self, symbols: Sequence[str]) -> dict[str, Asset]:
        """See `Broker.assets`."""
        wanted = {wire.symbol(asset) for asset in symbols}
        asked = GetAssetsRequest(asset_class=AssetClass.CRYPTO)

        def parse(raw: Any) -> dict[str, Asset]:
            found = [wire.asset(item) for item in wire.records(raw) if item.get("symbol") in wanted]
            return {asset.symbol: asset for asset in found}

        return self._read(lambda: self._trading.get_all_assets(asked), parse)

    def positions(self) -> dict[str, Position]:
        """See `Broker.positions`."""

        def parse(raw: Any) -> dict[str, Position]:
            found = [wire.position(item) for item in wire.records(raw)]
            return {position.asset: position for position in found}

        return self._read(self._trading.get_all_positions, parse)

    def quotes(self, assets: Sequence[str]) -> dict[str, Quote]:
        """See `Broker.quotes`."""
        fields = {"symbols": ",".join(map(wire.symbol, assets))}

        def parse(raw: Any) -> dict[str, Quote]:
            found = wire.record(wire.record(raw).get("quotes"))
            return {wire.base(name): wire.quote(wire.record(item)) for name, item in found.items()}

        return self._read(lambda: self._data.get("/crypto/us/latest/quotes", fields), parse)

    def submit(self, order: OrderRequest) -> Order:
        """See `Broker.submit`. A market order, good till canceled; the quantity is sent as a string, in full."""
        fields = {
            "symbol": wire.symbol(order.asset),
            "qty": format(order.quantity, "f"),
            "side": order.side,
            "type": "market",
            "time_in_force": "gtc",
            "client_order_id": order.client_order_id,
        }
        try:
            placed = self._once(lambda: self._trading.post("/orders", fields), lambda raw: wire.order(wire.record(raw)))
        except _Answered as error:
            raise self._refused(error) from None
        except _NotAnswered as error:
            raise UnknownOutcome(f"order {order.client_order_id}: {error}") from None
        if placed.client_order_id != order.client_order_id:
            raise UnknownOutcome(f"order {order.client_order_id}: the answer is about {placed.client_order_id}")
        return placed

    def order(self, client_order_id: str) -> Order | None:
        """See `Broker.order`. A 404 counts only with the venue's own code: a proxy's says nothing of the order."""
        try:
            return self._repeat(
                lambda: self._trading.get_order_by_client_id(client_order_id), lambda raw: wire.order(wire.record(raw))
            )
        except _Answered as error:
            if error.status == 404 and error.code == NOT_FOUND:
                return None
            raise BrokerUnavailable(str(error), error.status) from None
        except _NotAnswered as error:
            raise BrokerUnavailable(str(error)) from None

    def open_orders(self) -> list[Order]:
        """See `Broker.open_orders`. Raises BrokerUnavailable if there are more than one answer holds."""
        return self._orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, limit=ORDERS_PER_PAGE))

    def orders_since(self, at: float) -> list[Order]:
        """See `Broker.orders_since`. Raises BrokerUnavailable if there are more than one answer holds."""
        after = datetime.datetime.fromtimestamp(at, datetime.UTC)
        return self._orders(GetOrdersRequest(status=QueryOrderStatus.ALL, after=after, limit=ORDERS_PER_PAGE))

    def _orders(self, asked: GetOrdersRequest) -> list[Order]:
        """Without those of several options, which have neither a symbol nor a side and concern no coin."""
        found = self._read(
            lambda: self._trading.get_orders(asked),
            lambda raw: [
                None if item.get("order_class") == OrderClass.MLEG.value else wire.order(item) for item in wire.records(raw)
            ],
        )
        if len(found) >= ORDERS_PER_PAGE:
            raise BrokerUnavailable(f"{ORDERS_PER_PAGE} orders or more: the answer may not hold all of them")
        return sorted((order for order in found if order is not None), key=lambda order: order.submitted_at)

    def cancel(self, order_id: str) -> bool:
        """See `Broker.cancel`."""
        try:
            self._repeat(lambda: self._trading.cancel_order_by_id(order_id), lambda _: None)
        except _Answered as error:
            if error.status == 422:
                return False
            raise self._refused(error) from None
        except _NotAnswered as error:
            raise UnknownOutcome(f"cancel of {order_id}: {error}") from None
        return True

    def bars(self, assets: Sequence[str], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        """See `Broker.bars`. Raises ValueError for a bar length that Alpaca does not serve."""
        fields = {
            "symbols": ",".join(map(wire.symbol, assets)),
            "timeframe": wire.timeframe(bar_seconds),
            "start": wire.rfc3339(start),
            "end": wire.rfc3339(stop - 1),
            "limit": BARS_PER_PAGE,
        }
        rows: dict[str, list[wire.BarRow]] = {asset: [] for asset in assets}
        tokens: set[str] = set()
        token = None
        while stop > start:
            page = fields if token is None else {**fields, "page_token": token}
            found, token = self._read(lambda page=page: self._data.get("/crypto/us/bars", page), wire.bar_page)
            for asset, bars in found.items():
                if asset not in rows:
                    raise BrokerUnavailable(f"bars of {asset} came, which were not asked for")
                rows[asset].extend(row for row in bars if start <= row[0] < stop)
            if token is None:
                break
            if token in tokens:
                raise BrokerUnavailable(f"the venue repeats page token {self._clean(token)}: its bars have no end")
            tokens.add(token)
        return {asset: self._columns(asset, found) for asset, found in rows.items()}

    def clock(self) -> float:
        """See `Broker.clock`."""
        return self._read(self._trading.get_clock, lambda raw: wire.seconds(wire.record(raw).get("timestamp")))

    @staticmethod
    def _columns(asset: str, rows: list[wire.BarRow]) -> BarArrays:
        stamps = np.array([row[0] for row in rows], dtype=np.int64)
        if (np.diff(stamps) <= 0).any():
            raise BrokerUnavailable(f"bars of {asset} are not in the order of time")
        prices = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 5)
        return BarArrays(stamps, *(np.ascontiguousarray(column) for column in prices.T))

    def _refused(self, error: _Answered) -> OrderRejected | DuplicateOrderId | UnknownOutcome:
        if error.status >= 500 or error.status == 408:
            return UnknownOutcome(str(error))
        if error.code == NOT_UNIQUE and "client_order_id" in error.message:
            return DuplicateOrderId(error.message)
        return OrderRejected(error.code, error.message, error.status)

    def _read(self, ask: Callable[[], Any], parse: Callable[[Any], T]) -> T:
        try:
            return self._repeat(ask, parse)
        except _Answered as error:
            raise BrokerUnavailable(str(error), error.status) from None
        except _NotAnswered as error:
            raise BrokerUnavailable(str(error)) from None

    def _repeat(self, ask: Callable[[], Any], parse: Callable[[Any], T]) -> T:
        started = time.monotonic()

        def attempt() -> T:
            left = self._deadline_s - (time.monotonic() - started)
            self._session.limit_s = max(min(left, self._deadline_s / 2), 1e-3)
            return self._one(ask, parse)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_worth_retrying),
            stop=tenacity.stop_after_attempt(ATTEMPTS) | tenacity.stop_before_delay(self._deadline_s),
            wait=tenacity.wait_exponential(multiplier=0.25, max=4.0) + tenacity.wait_random(0, 0.25),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _once(self, ask: Callable[[], Any], parse: Callable[[Any], T]) -> T:
        self._session.limit_s = self._deadline_s
        return self._one(ask, parse)

    def _one(self, ask: Callable[[], Any], parse: Callable[[Any], T]) -> T:
        """One request. Errors are written anew, `from None`: alpaca-py's carry the request and so the keys."""
        until = None if self._pace is None else self._pace.take()
        if until is not None:
            raise _Held(429, 0, f"held back, not sent: the venue takes requests again at {wire.rfc3339(math.ceil(until))}")
        try:
            return parse(ask())
        except APIError as error:
            code, message = wire.error_body(str(error))
            raise _Answered(error.status_code or 500, code, self._clean(message)) from None
        except (requests.RequestException, wire.Unreadable) as error:
            raise _NotAnswered(self._clean(f"{type(error).__name__}: {error}")) from None
        except ValueError as error:
            raise _NotAnswered(self._clean(f"an answer that cannot be read: {error}")) from None

    def _clean(self, text: str) -> str:
        for word in self._secrets:
            text = text.replace(word, "***")
        line = " ".join(text.split())
        return line if len(line) <= 300 else line[:300] + "..."

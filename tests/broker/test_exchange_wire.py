"""The exchange as alpaca-py sees it: its own clients and models, over loopback."""

from __future__ import annotations

import datetime
import re
import uuid

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.data.historical.crypto import CryptoHistoricalDataClient
from alpaca.data.requests import CryptoBarsRequest, CryptoLatestBarRequest, CryptoLatestQuoteRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetAssetsRequest,
    GetOrdersRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    StopOrderRequest,
)
from loopback import FIRST, HOUR, serving, walk

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.process import ExchangeControl
from cappuccino.broker.exchange.venue import Venue
from cappuccino.errors import InputError


@pytest.fixture
def trading(url: str) -> TradingClient:
    return TradingClient("key", "secret", url_override=url)


@pytest.fixture
def data(url: str) -> CryptoHistoricalDataClient:
    return CryptoHistoricalDataClient(url_override=url)


@pytest.fixture
def control(url: str) -> ExchangeControl:
    return ExchangeControl(url)


def market(side: OrderSide, quantity: float, **more) -> MarketOrderRequest:
    fields = {"symbol": "BTC/USD", "side": side, "qty": quantity, "time_in_force": TimeInForce.GTC}
    return MarketOrderRequest(**{**fields, **more})


def at(opening: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(opening, datetime.UTC)


def error_of(call, *args) -> tuple[int, int, str]:
    with pytest.raises(APIError) as caught:
        call(*args)
    return caught.value.status_code, caught.value.code, caught.value.message


def test_an_order_goes_from_pending_to_filled_and_leaves_a_net_position(trading: TradingClient, venue: Venue) -> None:
    sent = trading.submit_order(market(OrderSide.BUY, 1, client_order_id="mine"))
    assert (sent.status, sent.filled_qty, sent.order_class.value) == (OrderStatus.PENDING_NEW, "0", "simple")
    filled = trading.get_order_by_client_id("mine")
    assert filled.id == sent.id
    assert (filled.status, filled.filled_qty, filled.qty) == (OrderStatus.FILLED, "1", "1")
    opened = venue.market._table.open[11, 0]
    assert float(filled.filled_avg_price) == pytest.approx(opened * 1.0003, rel=1e-15)
    assert filled.submitted_at == at(FIRST + 11 * HOUR)
    (position,) = trading.get_all_positions()
    assert (position.symbol, position.qty, position.qty_available) == ("BTCUSD", "0.9975", "0.9975")
    assert float(position.avg_entry_price) == pytest.approx(opened * 1.0003 / 0.9975)
    assert trading.get_open_position("BTCUSD").asset_id == position.asset_id == trading.get_asset("BTCUSD").id
    account = trading.get_account()
    assert account.status.value == account.crypto_status.value == "ACTIVE"
    assert float(account.cash) == pytest.approx(100_000 - opened * 1.0003, rel=1e-15)
    marked = float(account.cash) + 0.9975 * venue.market._table.close[10, 0]
    assert float(account.equity) == pytest.approx(marked, rel=1e-15)
    assert account.non_marginable_buying_power == account.cash
    assert error_of(trading.submit_order, market(OrderSide.SELL, 1))[:2] == (403, 40310000)


def test_refusals_reach_the_client_with_status_code_and_message(trading: TradingClient) -> None:
    submit = trading.submit_order
    stop = StopOrderRequest(symbol="BTC/USD", side=OrderSide.BUY, qty=1, time_in_force="gtc", stop_price=2)
    assert error_of(submit, market(OrderSide.BUY, 1e-5)) == (
        403,
        40310000,
        "cost basis must be >= minimal amount of order 10",
    )
    assert error_of(submit, market(OrderSide.BUY, 9))[:2] == (403, 40310000)
    assert error_of(submit, market(OrderSide.BUY, 1, time_in_force="day"))[:2] == (422, 42210000)
    assert error_of(submit, stop)[:2] == (422, 40010001)
    assert error_of(submit, market(OrderSide.BUY, 1, symbol="DOGE/USD"))[0] == 422
    assert error_of(submit, market(OrderSide.BUY, None, notional=10.123))[:2] == (422, 42210000)
    assert error_of(submit, market(OrderSide.BUY, 0.1234567891))[:2] == (422, 42210000)
    assert error_of(trading.get_order_by_client_id, "none")[:2] == (404, 40410000)
    assert error_of(trading.get_open_position, "ETHUSD") == (404, 40410000, "position does not exist")
    assert error_of(trading.cancel_order_by_id, uuid.uuid4())[:2] == (404, 40410000)
    trading.submit_order(market(OrderSide.BUY, 0.01, client_order_id="one"))
    assert error_of(submit, market(OrderSide.BUY, 0.01, client_order_id="one")) == (
        422,
        40010001,
        "client_order_id must be unique",
    )
    order = trading.get_order_by_client_id("one")
    assert error_of(trading.cancel_order_by_id, order.id) == (422, 42210000, 'order is already in "filled" state')


def test_an_asset_without_a_bar_is_not_tradable_until_it_has_one(
    trading: TradingClient, data: CryptoHistoricalDataClient, control: ExchangeControl
) -> None:
    control.advance(FIRST + 12 * HOUR)
    order = market(OrderSide.BUY, 1, symbol="ETH/USD")
    assert error_of(trading.submit_order, order)[:2] == (422, 40310000)
    quotes = data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=["BTC/USD", "ETH/USD"]))
    assert list(quotes) == ["BTC/USD"]
    control.advance(FIRST + 13 * HOUR)
    trading.submit_order(order)


def test_a_resting_order_fills_at_a_later_bar_or_is_canceled(
    trading: TradingClient, control: ExchangeControl, venue: Venue
) -> None:
    lowest = float(venue.market._table.open[12:, 0].min())

    def limit(price: float, name: str) -> LimitOrderRequest:
        return LimitOrderRequest(
            symbol="BTC/USD", side=OrderSide.BUY, qty=0.1, time_in_force="gtc", limit_price=price, client_order_id=name
        )

    trading.submit_order(limit(lowest * 1.001, "fills"))
    trading.submit_order(limit(lowest * 0.5, "rests"))
    trading.submit_order(limit(lowest * 0.5, "canceled"))
    assert [order.client_order_id for order in trading.get_orders()][::-1] == ["fills", "rests", "canceled"]
    trading.cancel_order_by_id(trading.get_order_by_client_id("canceled").id)
    control.advance(FIRST + 39 * HOUR)
    filled = trading.get_order_by_client_id("fills")
    assert filled.status is OrderStatus.FILLED
    assert float(filled.filled_avg_price) <= lowest * 1.001
    assert filled.filled_at.timestamp() % HOUR == 0
    answers = trading.cancel_orders()
    assert [answer.status for answer in answers] == [200]
    assert trading.get_order_by_client_id("rests").status is OrderStatus.CANCELED
    assert trading.get_orders() == []


def test_orders_are_listed_by_state_time_symbol_and_direction(trading: TradingClient) -> None:
    for number in range(5):
        trading.submit_order(market(OrderSide.BUY, 0.01, client_order_id=f"b{number}"))
    trading.submit_order(market(OrderSide.BUY, 1, symbol="ETH/USD", client_order_id="e"))

    def names(**query) -> list[str]:
        return [order.client_order_id for order in trading.get_orders(GetOrdersRequest(**query))]

    closed = {"status": QueryOrderStatus.CLOSED}
    assert names() == []
    assert names(**closed) == ["e", "b4", "b3", "b2", "b1", "b0"]
    assert names(**closed, limit=2, direction="asc") == ["b0", "b1"]
    assert names(**closed, symbols=["ETH/USD"]) == names(**closed, symbols=["ETHUSD"]) == ["e"]
    cut = trading.get_order_by_client_id("b2").submitted_at
    assert names(**closed, after=cut) == ["e", "b4", "b3"]
    assert names(**closed, until=cut) == ["b1", "b0"]


def test_fills_are_listed_page_by_page(trading: TradingClient) -> None:
    for _ in range(3):
        trading.submit_order(market(OrderSide.BUY, 0.01))
    first = trading.get("/account/activities/FILL", {"page_size": 2, "direction": "asc"})
    rest = trading.get("/account/activities/FILL", {"page_size": 2, "direction": "asc", "page_token": first[-1]["id"]})
    ids = [fill["order_id"] for fill in first + rest]
    assert len(ids) == len(set(ids)) == 3


def test_positions_are_closed_whole_in_part_or_all_together(trading: TradingClient) -> None:
    trading.submit_order(market(OrderSide.BUY, 1))
    trading.submit_order(market(OrderSide.BUY, 2, symbol="ETH/USD"))
    trading.close_position("BTCUSD", ClosePositionRequest(percentage="50"))
    assert trading.get_open_position("BTCUSD").qty == "0.49875"
    answers = trading.close_all_positions(cancel_orders=True)
    assert [(answer.symbol, answer.status) for answer in answers] == [("BTCUSD", 200), ("ETHUSD", 200)]
    assert trading.get_all_positions() == []


def test_assets_clock_and_headers_are_as_alpacas(trading: TradingClient, url: str) -> None:
    assets = trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
    assert [asset.symbol for asset in assets] == ["BTC/USD", "ETH/USD", "LTC/USD"]
    assert assets[0].min_trade_increment == 1e-9
    assert trading.get_all_assets(GetAssetsRequest(asset_class=AssetClass.US_EQUITY)) == []
    assert trading.get_clock().timestamp == at(FIRST + 11 * HOUR)
    headers = {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}
    answer = requests.get(f"{url}/v2/account", headers=headers, timeout=5)
    assert all(f"X-Ratelimit-{name}" in answer.headers for name in ("Limit", "Remaining", "Reset"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", answer.json()["created_at"])
    assert requests.get(f"{url}/v2/account", timeout=5).json() == {"message": "forbidden."}
    assert requests.get(f"{url}/v2/nothing", headers=headers, timeout=5).status_code == 404
    assert requests.post(f"{url}/v2/orders", data="{", headers=headers, timeout=5).status_code == 400
    # Strings for numbers, as in Alpaca's own examples.
    body = {"symbol": "BTCUSD", "qty": "0.01", "side": "buy", "type": "market", "time_in_force": "gtc"}
    order = requests.post(f"{url}/v2/orders", json=body, headers=headers, timeout=5).json()
    assert (order["symbol"], order["qty"], order["order_class"]) == ("BTC/USD", "0.01", "")
    for wrong in ({"qty": True}, {"qty": "nan"}, {"qty": "1e-99"}, {"qty": "x"}, {"side": "hold"}, {"symbol": 3}):
        answer = requests.post(f"{url}/v2/orders", json={**body, **wrong}, headers=headers, timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (422, 40010001), wrong


def test_only_the_configured_keys_open_the_account_and_rates_are_limited() -> None:
    venue = Venue(walk(40), 10, ExchangeConfig(key="k", secret="s", requests_per_minute=3))
    with serving(venue) as url:
        good, bad = ({"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": secret} for secret in ("s", "t"))
        assert requests.get(f"{url}/v2/account", headers=good, timeout=5).status_code == 200
        refused = requests.get(f"{url}/v2/account", headers=bad, timeout=5)
        assert (refused.status_code, refused.json()["code"]) == (401, 40110000)
        last = requests.get(f"{url}/v2/account", headers=good, timeout=5)
        assert last.headers["X-Ratelimit-Remaining"] == "0"
        assert requests.get(f"{url}/v2/account", headers=good, timeout=5).json()["code"] == 42910000
        ExchangeControl(url, key="k", secret="s").advance(FIRST + 11 * HOUR + 60)
        assert requests.get(f"{url}/v2/account", headers=good, timeout=5).status_code == 200


def test_bars_come_by_symbol_and_time_with_the_running_bar_last(
    data: CryptoHistoricalDataClient, control: ExchangeControl
) -> None:
    control.advance(FIRST + 20 * HOUR + 5)
    asked = CryptoBarsRequest(
        symbol_or_symbols=["ETH/USD", "BTC/USD", "DOGE/USD"], timeframe=TimeFrame(1, TimeFrameUnit.Hour), start=at(FIRST)
    )
    bars = data.get_crypto_bars(asked)
    assert sorted(bars.data) == ["BTC/USD", "ETH/USD"]
    assert [bar.timestamp for bar in bars["BTC/USD"]] == [at(FIRST + row * HOUR) for row in range(21)]
    assert len(bars["ETH/USD"]) == 20
    running = bars["BTC/USD"][-1]
    assert running.open == running.high == running.low == running.close
    assert running.volume == 0
    latest = data.get_crypto_latest_bar(CryptoLatestBarRequest(symbol_or_symbols="BTC/USD"))
    assert latest["BTC/USD"].timestamp == at(FIRST + 19 * HOUR)


@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 4, 11, 12, 1000])
def test_pages_join_to_the_whole(url: str, sort: str, limit: int) -> None:
    query = {"symbols": "ETH/USD,BTC/USD", "timeframe": "1Hour", "start": "2020-01-01", "sort": sort}

    def page(**more) -> dict:
        return requests.get(f"{url}/v1beta3/crypto/us/bars", params={**query, **more}, timeout=5).json()

    whole = page()["bars"]
    assert list(whole) == ["BTC/USD", "ETH/USD"]
    joined: dict[str, list] = {}
    token, pages = None, 0
    while token is not None or pages == 0:
        found = page(limit=limit, **({} if token is None else {"page_token": token}))
        assert sum(map(len, found["bars"].values())) <= limit
        for symbol, bars in found["bars"].items():
            joined.setdefault(symbol, []).extend(bars)
        token, pages = found["next_page_token"], pages + 1
    assert joined == whole
    assert pages == -(-sum(map(len, whole.values())) // limit)


def test_wrong_data_requests_are_bad_requests(url: str) -> None:
    good = {"symbols": "BTC/USD", "timeframe": "1Hour"}
    for wrong in ({"symbols": "BTCUSD"}, {"timeframe": "1Min"}, {"page_token": "!"}):
        answer = requests.get(f"{url}/v1beta3/crypto/us/bars", params={**good, **wrong}, timeout=5)
        assert answer.status_code == 400, wrong


def test_the_stepped_clock_goes_forward_only_and_says_when_it_is_over(control: ExchangeControl) -> None:
    first, last = FIRST + 11 * HOUR, FIRST + 40 * HOUR
    assert control.state() == (first, first, last, False)
    assert control.advance(first + 60.5) == first + 60.5
    with pytest.raises(InputError, match="forward"):
        control.advance(first)
    assert control.state().now == first + 60.5
    control.advance(last)
    assert control.state().finished

"""Our broker against the exchange, and against servers that answer late, wrongly or not at all."""

from __future__ import annotations

import json
import logging
import socket
import time
import traceback
from decimal import Decimal

import numpy as np
import pytest
from loopback import FIRST, HOUR
from raw_servers import drip, response

from cappuccino.broker import BrokerUnavailable, DuplicateOrderId, OrderRejected, OrderRequest, UnknownOutcome
from cappuccino.broker.alpaca import AlpacaBroker, keys_from_environment
from cappuccino.broker.exchange.process import ExchangeControl
from cappuccino.broker.exchange.venue import Venue
from cappuccino.errors import InputError, Refusal

KEY, SECRET = "PKQ7MYKEYMYKEY", "s3cr3tS3CR3Ts3cr3t"
CALM = {"sleep": lambda _: None}
BUY = OrderRequest("BTC", "buy", Decimal("0.5"), "run-1")


def broker_at(url: str, **options) -> AlpacaBroker:
    return AlpacaBroker(KEY, SECRET, trading_url=url, **{**CALM, **options})


def answers(*replies: bytes | None):
    """The replies in turn, the last one for ever; None drops the connection."""

    def answer(number: int, connection: socket.socket) -> None:
        reply = replies[min(number, len(replies) - 1)]
        if reply is not None:
            connection.sendall(reply)

    return answer


def account_json(**more) -> str:
    raw = {"id": "a", "status": "ACTIVE", "equity": "1", "cash": "1", "non_marginable_buying_power": "1"}
    return json.dumps({**raw, **more})


def order_json(**more) -> str:
    raw = {
        "id": "o",
        "client_order_id": "run-1",
        "symbol": "BTC/USD",
        "asset_class": "crypto",
        "side": "buy",
        "qty": "0.5",
        "filled_qty": "0.2",
        "filled_avg_price": None,
        "status": "accepted",
        "submitted_at": "2022-04-19T13:45:04.981350886-04:00",
        "filled_at": None,
    }
    return json.dumps({**raw, **more})


def test_a_round_trip_on_the_exchange(url: str, venue: Venue) -> None:
    broker = broker_at(url)
    assert broker.clock() == FIRST + 11 * HOUR
    assert broker.account().cash == 100_000
    assert broker.account().blocked == ()
    assert broker.assets(["ETH", "DOGE"])["ETH"].increment == Decimal("1e-9")
    assert set(broker.assets(["ETH", "DOGE"])) == {"ETH"}
    sent = broker.submit(BUY)
    assert not sent.is_terminal
    found = broker.order("run-1")
    assert found is not None
    assert found.is_terminal
    assert found.id == sent.id
    assert (found.filled_quantity, found.quantity) == (Decimal("0.5"), Decimal("0.5"))
    assert found.filled_average_price == venue.ledger.fills[0].price
    assert broker.positions()["BTC"].available == Decimal("0.5") * Decimal("0.9975")
    assert broker.account().cash == venue.ledger.cash
    quote = broker.quotes(["BTC"])["BTC"]
    assert quote.bid < quote.ask
    assert broker.order("unknown") is None
    assert broker.open_orders() == []
    assert broker.cancel(sent.id) is False
    with pytest.raises(DuplicateOrderId):
        broker.submit(BUY)
    with pytest.raises(OrderRejected) as caught:
        broker.submit(OrderRequest("BTC", "sell", Decimal("0.5"), "run-2"))
    assert (caught.value.code, caught.value.status) == (40310000, 403)
    assert broker.order("run-2") is None


def test_the_quantity_arrives_digit_by_digit(url: str, venue: Venue) -> None:
    venue.config.increments["BTC"] = "0"  # type: ignore[index]
    quantity = Decimal("0.123456789012345678901234567")
    broker_at(url).submit(OrderRequest("BTC", "buy", quantity, "long"))
    assert venue.ledger.fills[0].quantity == quantity


def test_bars_come_as_recorded_and_stop_before_the_running_one(url: str, venue: Venue) -> None:
    ExchangeControl(url).advance(FIRST + 20 * HOUR + 5)
    table = venue.market._table
    bars = broker_at(url).bars(["BTC", "ETH", "DOGE"], FIRST, FIRST + 20 * HOUR, bar_seconds=HOUR)
    np.testing.assert_array_equal(bars["BTC"].timestamps, table.timestamps[:20])
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(bars["BTC"], name), getattr(table, name)[:20, 0])
    assert len(bars["ETH"].timestamps) == 19
    assert len(bars["DOGE"].timestamps) == 0
    running = broker_at(url).bars(["BTC"], FIRST, FIRST + 21 * HOUR, bar_seconds=HOUR)["BTC"]
    assert len(running.timestamps) == 21
    empty = broker_at(url).bars(["BTC"], FIRST, FIRST, bar_seconds=HOUR)["BTC"]
    assert empty.close.shape == (0,)
    with pytest.raises(ValueError, match="7 s"):
        broker_at(url).bars(["BTC"], FIRST, FIRST + 7, bar_seconds=7)


def test_bars_cross_page_boundaries(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = broker_at(url).bars(["BTC", "ETH"], FIRST, FIRST + 11 * HOUR, bar_seconds=HOUR)
    monkeypatch.setattr("cappuccino.broker.alpaca.BARS_PER_PAGE", 4)
    paged = broker_at(url).bars(["BTC", "ETH"], FIRST, FIRST + 11 * HOUR, bar_seconds=HOUR)
    for asset, bars in whole.items():
        for column, other in zip(bars, paged[asset], strict=True):
            np.testing.assert_array_equal(column, other)


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_dripping_server_is_cut_at_the_deadline(raw_server, part: str) -> None:
    data = response("200 OK", account_json())
    if part == "body":
        head, _, body = data.partition(b"\r\n\r\n")

        def answer(number: int, connection: socket.socket) -> None:
            connection.sendall(head + b"\r\n\r\n")
            drip(body, 0.05)(number, connection)
    else:
        answer = drip(data, 0.05)
    server = raw_server(answer)
    started = time.monotonic()
    with pytest.raises(UnknownOutcome, match=r"within 0\.4 s"):
        broker_at(server.url, deadline_s=0.4).submit(BUY)
    assert time.monotonic() - started < 1.5
    assert server.ended.wait(1), "the connection was not closed"
    assert len(server.requests) == 1
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        broker_at(server.url, deadline_s=0.4).account()
    assert time.monotonic() - started < 1.5


def test_a_silent_server_is_cut_at_the_deadline(raw_server) -> None:
    server = raw_server(lambda *_: time.sleep(3))
    started = time.monotonic()
    with pytest.raises(UnknownOutcome):
        broker_at(server.url, deadline_s=0.3).submit(BUY)
    assert time.monotonic() - started < 1.5


UNKNOWN = {
    "504": response("504 Gateway Timeout", ""),
    "html 502": response("502 Bad Gateway", "<html><body>bad gateway</body></html>"),
    "408": response("408 Request Timeout", "{}"),
    "500 json": response("500 Internal Server Error", '{"code":50010000,"message":"internal"}'),
    "dropped": None,
    "not http": b"hello\r\n\r\n",
    "empty": response("200 OK", ""),
    "not json": response("200 OK", "<html></html>"),
    "a list": response("200 OK", "[]"),
    "another order": response("200 OK", order_json(client_order_id="other")),
    "cut short": response("200 OK", order_json())[:-20],
    "a redirect": response("302 Found", "", "Location: http://127.0.0.1:9/"),
    "no quantity": response("200 OK", order_json(filled_qty=None)),
    "not utf-8": response("200 OK", "xx").replace(b"xx", b"\xff\xfe"),
}


@pytest.mark.parametrize("reply", UNKNOWN.values(), ids=UNKNOWN)
def test_an_order_without_a_clear_answer_is_sent_once_and_unknown(raw_server, reply: bytes | None) -> None:
    server = raw_server(answers(reply))
    with pytest.raises(UnknownOutcome):
        broker_at(server.url).submit(BUY)
    assert len(server.requests) == 1


def test_an_order_that_meets_a_closed_port_is_unknown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnknownOutcome):
        broker_at(f"http://127.0.0.1:{port}").submit(BUY)


def test_too_many_requests_reject_an_order_and_are_not_repeated(raw_server) -> None:
    server = raw_server(answers(response("429 Too Many", '{"code":42910000,"message":"rate limit exceeded"}')))
    with pytest.raises(OrderRejected) as caught:
        broker_at(server.url).submit(BUY)
    assert (caught.value.status, caught.value.code) == (429, 42910000)
    assert len(server.requests) == 1


def test_an_error_without_a_code_is_told_in_one_line(raw_server) -> None:
    server = raw_server(answers(response("403 Forbidden", '{"message":"forbidden.\\n\\nreally"}')))
    with pytest.raises(OrderRejected) as caught:
        broker_at(server.url).submit(BUY)
    assert (caught.value.code, caught.value.message) == (0, "forbidden. really")


RETRIED = {
    "429": response("429 Too Many", ""),
    "html 502": response("502 Bad Gateway", "<html>" + "x" * 2000 + "</html>"),
    "504": response("504 Gateway Timeout", ""),
    "dropped": None,
    "not json": response("200 OK", "<html>"),
}


@pytest.mark.parametrize("reply", RETRIED.values(), ids=RETRIED)
def test_a_read_is_repeated_with_growing_waits(raw_server, reply: bytes | None) -> None:
    waits: list[float] = []
    server = raw_server(answers(reply, reply, response("200 OK", account_json())))
    assert broker_at(server.url, sleep=waits.append).account().id == "a"
    assert len(server.requests) == 3
    assert 0 < waits[0] < waits[1] + 0.25
    server = raw_server(answers(reply))
    with pytest.raises(BrokerUnavailable) as caught:
        broker_at(server.url).account()
    assert len(server.requests) == 5
    assert len(str(caught.value)) < 500


def test_a_read_that_is_refused_is_not_repeated(raw_server) -> None:
    server = raw_server(answers(response("401 Unauthorized", '{"code":40110000,"message":"not authorized"}')))
    with pytest.raises(BrokerUnavailable) as caught:
        broker_at(server.url).account()
    assert caught.value.status == 401
    assert len(server.requests) == 1


def test_a_404_that_is_not_the_venues_says_nothing_of_an_order(raw_server) -> None:
    server = raw_server(answers(response("404 Not Found", "<html>no such page</html>")))
    with pytest.raises(BrokerUnavailable):
        broker_at(server.url).order("run-1")


def test_cancel_is_repeated_and_tells_what_it_does_not_know(raw_server) -> None:
    order_id = "e6419d12-56e4-4d67-a61b-f6e464e1f8a8"
    server = raw_server(answers(None, b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
    assert broker_at(server.url).cancel(order_id) is True
    assert len(server.requests) == 2
    with pytest.raises(UnknownOutcome):
        broker_at(raw_server(answers(None)).url).cancel(order_id)
    missing = raw_server(answers(response("404 Not Found", '{"code":40410000,"message":"order not found"}')))
    with pytest.raises(OrderRejected):
        broker_at(missing.url).cancel(order_id)


def test_an_unknown_state_is_kept_and_counts_as_not_terminal(raw_server) -> None:
    server = raw_server(answers(response("200 OK", order_json(status="levitating", type="moon"))))
    order = broker_at(server.url).submit(BUY)
    assert (order.status, order.is_terminal) == ("levitating", False)
    assert order.filled_quantity == Decimal("0.2")
    assert order.submitted_at == pytest.approx(1650390304.981350)
    server = raw_server(answers(response("200 OK", account_json(crypto_status="PAUSED", trading_blocked=True))))
    assert broker_at(server.url).account().blocked == ("crypto_status is PAUSED", "trading_blocked")


def test_positions_of_other_kinds_are_kept_whole(raw_server) -> None:
    rows = [
        {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "1", "qty_available": "0.5", "avg_entry_price": "2"},
        {"symbol": "AAPL", "asset_class": "us_equity", "qty": "3", "avg_entry_price": "4"},
        {"symbol": "ETHUSDT", "asset_class": "crypto", "qty": "3", "avg_entry_price": "4"},
    ]
    server = raw_server(answers(response("200 OK", json.dumps(rows))))
    found = broker_at(server.url).positions()
    assert list(found) == ["BTC", "AAPL", "ETHUSDT"]
    assert (found["BTC"].available, found["AAPL"].available) == (Decimal("0.5"), 3)


def bars_page(token: str | None, *opens: int) -> bytes:
    bars = [{"t": f"2023-11-14T{hour:02d}:00:00Z", "o": 1, "h": 2, "l": 0.5, "c": 1, "v": 0, "n": 0, "vw": 0} for hour in opens]
    return response("200 OK", json.dumps({"bars": {"BTC/USD": bars}, "next_page_token": token}))


def test_an_order_of_several_options_hides_no_other(raw_server) -> None:
    options = order_json(order_class="mleg", symbol="", asset_class="", side="", client_order_id="spread")
    server = raw_server(answers(response("200 OK", f"[{options}, {order_json()}]")))
    assert [order.client_order_id for order in broker_at(server.url).open_orders()] == ["run-1"]
    assert [order.client_order_id for order in broker_at(server.url).orders_since(0.0)] == ["run-1"]
    server = raw_server(answers(response("200 OK", f"[{order_json(symbol='')}, {order_json()}]")))
    with pytest.raises(BrokerUnavailable, match="symbol is ''"):
        broker_at(server.url).open_orders()


def test_a_page_token_that_comes_again_is_an_error(raw_server) -> None:
    server = raw_server(answers(bars_page("x", 1), bars_page("y", 2), bars_page("x", 3)))
    with pytest.raises(BrokerUnavailable, match="page token"):
        broker_at(server.url).bars(["BTC"], 1_699_920_000, 1_700_000_000, bar_seconds=HOUR)
    assert len(server.requests) == 3


def test_bars_out_of_order_or_without_a_price_are_an_error(raw_server) -> None:
    span = (1_699_920_000, 1_700_000_000)
    with pytest.raises(BrokerUnavailable, match="order of time"):
        broker_at(raw_server(answers(bars_page(None, 2, 1))).url).bars(["BTC"], *span, bar_seconds=HOUR)
    for wrong in (b"null", b"NaN", b'"1"'):
        page = bars_page(None, 1).replace(b'"c": 1,', b'"c": %s,' % wrong)
        length = len(page.partition(b"\r\n\r\n")[2])
        lines = [f"Content-Length: {length}".encode() if b"Length" in part else part for part in page.split(b"\r\n")]
        with pytest.raises(BrokerUnavailable):
            broker_at(raw_server(answers(b"\r\n".join(lines))).url).bars(["BTC"], *span, bar_seconds=HOUR)


def test_money_and_other_hosts_are_refused() -> None:
    for url in ("https://api.alpaca.markets", "https://API.alpaca.markets/"):
        with pytest.raises(Refusal, match="real money"):
            AlpacaBroker(KEY, SECRET, trading_url=url)
    refused = (
        "https://example.com",
        "http://paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets.example.com",
        "https://127.0.0.1@example.com",
        "http://127.0.0.1\\@example.com",
        "http://10.0.0.1:80",
        "https://data.alpaca.markets",
        "file:///etc/passwd",
        "",
    )
    for url in refused[:-1]:
        with pytest.raises(Refusal):
            AlpacaBroker(KEY, SECRET, trading_url=url)
    with pytest.raises(Refusal):
        AlpacaBroker(KEY, SECRET, data_url="https://api.alpaca.markets", live=True)
    paper = AlpacaBroker(KEY, SECRET)
    assert (paper.trading_url, paper.data_url) == ("https://paper-api.alpaca.markets", "https://data.alpaca.markets")
    assert AlpacaBroker(KEY, SECRET, live=True).trading_url == "https://api.alpaca.markets"
    local = AlpacaBroker(KEY, SECRET, trading_url="http://127.0.0.1:81/")
    assert local.data_url == local.trading_url == "http://127.0.0.1:81"


def test_keys_are_never_shown(raw_server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    texts = [repr(AlpacaBroker(KEY, SECRET)), str(AlpacaBroker(KEY, SECRET))]
    echo = json.dumps({"code": 1, "message": f"{KEY} and {SECRET}"})
    for status in ("403 Forbidden", "500 Oops", "200 OK"):
        server = raw_server(answers(response(status, echo)))
        broker = broker_at(server.url)
        for call in (broker.account, lambda broker=broker: broker.submit(BUY), lambda broker=broker: broker.order("a")):
            with pytest.raises((BrokerUnavailable, OrderRejected, UnknownOutcome)) as caught:
                call()
            texts += ["".join(traceback.format_exception(caught.value)), repr(caught.value)]
    texts.append(caplog.text)
    assert not [text for text in texts if KEY in text or SECRET in text]


def test_keys_come_from_the_environment_or_are_missed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", KEY)
    monkeypatch.delenv("APCA_API_SECRET_KEY", raising=False)
    with pytest.raises(InputError, match="APCA_API_SECRET_KEY"):
        keys_from_environment()
    monkeypatch.setenv("APCA_API_SECRET_KEY", SECRET)
    assert keys_from_environment() == (KEY, SECRET)


def test_an_order_of_nothing_or_with_a_long_id_is_a_defect() -> None:
    for quantity, name in (("0", "a"), ("-1", "a"), ("nan", "a"), ("1", ""), ("1", "x" * 49)):
        with pytest.raises(ValueError, match=r"quantity|client order id"):
            OrderRequest("BTC", "buy", Decimal(quantity), name)

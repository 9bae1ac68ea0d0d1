"""Bars through alpaca-py from a server on the loopback that pages, stalls, repeats itself and fails as the real one may."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import io
import json
import pathlib
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rich.console

from cappuccino.bars import alpaca
from cappuccino.bars.alpaca import RequestPolicy, download, fetch_alpaca
from cappuccino.bars.clock import utc
from cappuccino.bars.store import BarStore
from cappuccino.errors import InputError

HOUR = 3600
START = 1_700_000_000 // HOUR * HOUR
FAST = RequestPolicy(deadline_seconds=5.0, attempts=4, pause_seconds=0.01)


def wire_bar(symbol: str, opening: int, version: int = 0) -> dict[str, Any]:
    price = len(symbol) * 1000.0 + opening // HOUR % 100 + version
    stamp = utc(opening).replace(" ", "T")
    return {"t": stamp, "o": price, "h": price + 2, "l": price - 2, "c": price + 1, "v": 0, "n": 0, "vw": 0}


class Service:
    """Bars as `GET /v1beta3/crypto/us/bars` gives them; `page` bars a page, over symbols and then time."""

    def __init__(self) -> None:
        self.bars: dict[str, dict[int, dict[str, Any]]] = {}
        self.page = 7
        self.requests: list[dict[str, str]] = []
        self.answer: Callable[[], tuple[int, str] | None] = lambda: None
        self.token: Callable[[int], str] = str

    def fill(self, symbol: str, hours: range) -> None:
        self.bars[symbol] = {START + HOUR * h: wire_bar(symbol, START + HOUR * h) for h in hours}

    def respond(self, query: dict[str, str]) -> tuple[int, str]:
        self.requests.append(query)
        answer = self.answer()
        if answer is not None:
            return answer
        first, last = (datetime.datetime.fromisoformat(query[name]).timestamp() for name in ("start", "end"))
        rows = [
            (symbol, bar)
            for symbol in sorted(query["symbols"].split(","))
            for opening, bar in sorted(self.bars.get(symbol, {}).items())
            if first <= opening <= last
        ]
        begin = int(query.get("page_token", "0"))
        page: dict[str, list[dict[str, Any]]] = {}
        for symbol, bar in rows[begin : begin + self.page]:
            page.setdefault(symbol, []).append(bar)
        more = begin + self.page < len(rows)
        return 200, json.dumps({"bars": page, "next_page_token": self.token(begin + self.page) if more else None})


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    made = Service()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urllib.parse.urlsplit(self.path)
            assert split.path == "/v1beta3/crypto/us/bars"
            with contextlib.suppress(ConnectionError):
                status, body = made.respond(dict(urllib.parse.parse_qsl(split.query)))
                if status == 0:
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for piece in body if status == 299 else [body]:
                    self.wfile.write(piece.encode())
                    time.sleep(0.05 if status == 299 else 0)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield made, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def fetch(url: str, *assets: str, hours: int = 24, **changes: Any) -> dict[str, pd.DataFrame]:
    arguments: dict[str, Any] = {"bar_seconds": HOUR, "start": START, "stop": START + hours * HOUR, "url": url}
    arguments |= {"now": START + 1000 * HOUR, "policy": FAST}
    return fetch_alpaca(assets, **(arguments | changes))


def test_pages_that_split_a_symbol_come_together(service: tuple[Service, str]) -> None:
    made, url = service
    made.fill("BTC/USD", range(-5, 40))
    made.fill("ETH/USD", range(3, 20))
    frames = fetch(url, "ETH", "BTC")
    assert list(frames) == ["ETH", "BTC"]
    assert frames["BTC"]["timestamp"].tolist() == [START + HOUR * h for h in range(24)]
    assert frames["ETH"]["timestamp"].tolist() == [START + HOUR * h for h in range(3, 20)]
    first = made.bars["ETH/USD"][START + 3 * HOUR]
    assert frames["ETH"].iloc[0][["open", "high", "low", "close", "volume"]].tolist() == [first[k] for k in "ohlcv"]
    assert frames["BTC"]["timestamp"].dtype == np.int64
    assert len(made.requests) == 6
    assert made.requests[0]["timeframe"] == "1Hour"


def test_chunks_neither_overlap_nor_leave_out_a_bar(service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch) -> None:
    made, url = service
    made.fill("BTC/USD", range(100))
    monkeypatch.setattr(alpaca, "PAGE_BARS", 9)
    console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=120)
    frames = fetch(url, "BTC", hours=100, console=console)
    assert frames["BTC"]["timestamp"].tolist() == [START + HOUR * h for h in range(100)]
    assert "100 bars" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_running_bar_is_dropped_and_the_finished_one_kept(service: tuple[Service, str]) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    for late, bars in ((0, 10), (HOUR - 1, 10), (HOUR, 11)):
        assert len(fetch(url, "BTC", now=START + 10 * HOUR + late)["BTC"]) == bars


def test_a_token_that_comes_again_ends_the_download(service: tuple[Service, str]) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    made.token = lambda begin: str(min(begin, 14))
    with pytest.raises(InputError, match="page token 14 twice"):
        fetch(url, "BTC")
    assert len(made.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 0])
def test_what_may_pass_is_tried_again(service: tuple[Service, str], status: int) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    made.answer = lambda: (status, "<html>busy</html>") if len(made.requests) in (2, 3) else None
    assert len(fetch(url, "BTC")["BTC"]) == 24
    assert len(made.requests) == 6


def test_an_endless_failure_is_told_in_one_line_after_the_attempts(service: tuple[Service, str]) -> None:
    made, url = service
    made.answer = lambda: (502, "<html>\nbad gateway\n</html>")
    with pytest.raises(InputError, match="HTTP 502, <html> bad gateway </html>"):
        fetch(url, "BTC")
    assert len(made.requests) == FAST.attempts


def test_a_refusal_is_not_tried_again(service: tuple[Service, str]) -> None:
    made, url = service
    made.answer = lambda: (400, '{"message":"invalid symbol"}')
    with pytest.raises(InputError, match=r"HTTP 400.*invalid symbol"):
        fetch(url, "BTC")
    assert len(made.requests) == 1


@pytest.mark.parametrize("body", ["{}", "[]", '{"bars": null}', '{"trades": {}}', "", '"x"'])
def test_an_answer_without_bars_is_told(service: tuple[Service, str], body: str) -> None:
    made, url = service
    made.answer = lambda: (200, body)
    with pytest.raises(InputError, match="without bars"):
        fetch(url, "BTC")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": "soon"}, "cannot be read"),
        ({"t": "2023-11-14T22:00:00.5Z"}, "not a whole second"),
        ({"o": "much"}, "cannot be read"),
        ({"h": 1.0}, "BTC at .*high and low must bound"),
        ({"c": -1.0}, "BTC at .*positive and finite"),
        ({"t": utc(START + 30)}, "off the clock"),
        ({"t": utc(START - HOUR)}, "outside"),
    ],
)
def test_a_bar_that_cannot_be_is_refused(service: tuple[Service, str], change: dict[str, Any], message: str) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    made.bars["BTC/USD"][START] |= change
    with pytest.raises(InputError, match=message):
        fetch(url, "BTC")


def test_a_server_that_drips_meets_the_deadline(service: tuple[Service, str]) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    made.answer = lambda: (299, " " * 1000)
    began = time.monotonic()
    with pytest.raises(InputError, match=r"no answer within 0\.3 s, 2 times"):
        fetch(url, "BTC", policy=RequestPolicy(deadline_seconds=0.3, attempts=2, pause_seconds=0.01))
    assert time.monotonic() - began < 5


def test_nobody_listening_is_told(service: tuple[Service, str]) -> None:
    del service
    with pytest.raises(InputError, match=r"Alpaca at http://127.0.0.1:9: .*"):
        fetch("http://127.0.0.1:9", "BTC")
    with pytest.raises(InputError, match="Alpaca at nowhere"):
        fetch("nowhere", "BTC")


def test_an_asset_without_bars_is_named(service: tuple[Service, str]) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    with pytest.raises(InputError, match="no bars of XYZ/USD"):
        fetch(url, "BTC", "XYZ")


@pytest.mark.parametrize(("seconds", "frame"), [(60, "1Min"), (900, "15Min"), (14_400, "4Hour")])
def test_bar_lengths_that_alpaca_has(service: tuple[Service, str], seconds: int, frame: str) -> None:
    made, url = service
    start = START // 86_400 * 86_400
    made.bars["BTC/USD"] = {start: wire_bar("BTC/USD", start)}
    assert len(fetch(url, "BTC", bar_seconds=seconds, start=start)["BTC"]) == 1
    assert made.requests[0]["timeframe"] == frame


@pytest.mark.parametrize("seconds", [0, 30, 90, 5400, 86_400])
def test_bar_lengths_that_alpaca_does_not_have(seconds: int) -> None:
    with pytest.raises(InputError, match="Alpaca has no bars of"):
        fetch("http://127.0.0.1:9", "BTC", bar_seconds=seconds)


@pytest.mark.parametrize("changes", [{"start": START + 1}, {"stop": START}, {"now": START}, {"now": START - HOUR}])
def test_ranges_that_cannot_be(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="start"):
        fetch("http://127.0.0.1:9", "BTC", **changes)


def into(store: BarStore, url: str, *assets: str, hours: int, start: int = START) -> dict:
    now = START + hours * HOUR
    return download(store, assets, bar_seconds=HOUR, start=start, stop=now, now=now, url=url, policy=FAST)


def test_a_download_that_was_stopped_resumes_where_it_was(
    service: tuple[Service, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, url = service
    made.fill("BTC/USD", range(100))
    made.fill("ETH/USD", range(50, 100))
    monkeypatch.setattr(alpaca, "PAGE_BARS", 40)
    made.page = 1000
    made.answer = lambda: (400, "stopped") if len(made.requests) == 4 else None
    store = BarStore(tmp_path / "bars")
    with pytest.raises(InputError, match="stopped"):
        into(store, url, "BTC", "ETH", hours=100)
    assert store.last("BTC") == START + 59 * HOUR
    assert store.last("ETH") == START + 59 * HOUR
    made.requests.clear()
    made.answer = lambda: None
    report = into(store, url, "BTC", "ETH", hours=100)
    assert datetime.datetime.fromisoformat(made.requests[0]["start"]).timestamp() == START + 57 * HOUR
    assert (report["BTC"].added, report["BTC"].unchanged, report["BTC"].restated) == (40, 3, ())
    assert store.read()["BTC"]["timestamp"].tolist() == [START + HOUR * h for h in range(100)]
    assert store.read()["ETH"]["timestamp"].tolist() == [START + HOUR * h for h in range(50, 100)]


def test_a_restated_bar_is_replaced_and_reported(service: tuple[Service, str], tmp_path: pathlib.Path) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    store = BarStore(tmp_path)
    into(store, url, "BTC", hours=20)
    opening = START + 19 * HOUR
    made.bars["BTC/USD"][opening] = wire_bar("BTC/USD", opening, version=1)
    report = into(store, url, "BTC", hours=22)
    assert report["BTC"].restated == (opening,)
    assert store.manifest()["assets"]["BTC"]["restated"] == 1
    frame = store.read()["BTC"]
    assert frame.loc[frame["timestamp"] == opening, "close"].item() == made.bars["BTC/USD"][opening]["c"]
    assert (store.origin().venue, store.origin().quote) == ("alpaca", "USD")


def test_a_new_asset_joins_a_store_from_the_start(service: tuple[Service, str], tmp_path: pathlib.Path) -> None:
    made, url = service
    made.fill("BTC/USD", range(40))
    made.fill("ETH/USD", range(40))
    store = BarStore(tmp_path)
    into(store, url, "BTC", hours=20)
    report = into(store, url, "BTC", "ETH", hours=20)
    assert (report["BTC"].added, report["ETH"].added) == (0, 20)


def test_a_store_does_not_grow_backwards(service: tuple[Service, str], tmp_path: pathlib.Path) -> None:
    made, url = service
    made.fill("BTC/USD", range(-40, 40))
    store = BarStore(tmp_path)
    into(store, url, "BTC", hours=20)
    with pytest.raises(InputError, match="use another folder"):
        into(store, url, "BTC", hours=20, start=START - HOUR)

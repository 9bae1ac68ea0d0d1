"""Exchanges on loopback sockets, and servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import uvicorn

from cappuccino.bars import BarTable, Origin
from cappuccino.broker.exchange.server import create_app
from cappuccino.broker.exchange.venue import Venue

HOUR = 3600
FIRST = 1_700_000_000 // HOUR * HOUR


def walk(rows: int, assets: tuple[str, ...] = ("BTC", "ETH"), *, seed: int = 0, holes: bool = False) -> BarTable:
    """Random hourly bars; with holes, ETH misses row 12."""
    rng = np.random.default_rng(seed)
    shape = (rows, len(assets))
    base = np.array([20_000.0, 1_000.0, 50.0][: len(assets)])
    close = base * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.002, shape))
    mask = np.ones(shape, dtype=bool)
    volume = rng.uniform(1, 5, shape)
    if holes:
        mask[12, 1], volume[12, 1], open_[12, 1], close[12, 1] = False, 0.0, close[11, 1], close[11, 1]
    return BarTable(
        assets=assets,
        bar_seconds=HOUR,
        timestamps=FIRST + HOUR * np.arange(rows),
        open=open_,
        high=np.maximum(open_, close),
        low=np.minimum(open_, close),
        close=close,
        volume=volume,
        mask=mask,
        segment=np.zeros(rows, dtype=np.int64),
        origin=Origin("synthetic", "none", "USD"),
    )


@contextlib.contextmanager
def serving(venue: Venue) -> Iterator[str]:
    """The URL of an exchange served from a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(venue), log_level="warning", access_log=False, http="h11", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()


def response(status: str, body: str, *headers: str) -> bytes:
    """A whole HTTP answer after which the connection closes."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body.encode())}", "Connection: close", *headers)
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


class RawServer:
    """Answers each connection by a function of (its number, the socket); remembers the requests."""

    def __init__(self, answer: Callable[[int, socket.socket], None]) -> None:
        self.requests: list[bytes] = []
        self.ended = threading.Event()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            seen = b""
            while b"\r\n\r\n" not in seen:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                seen += chunk
            self.requests.append(seen)
            self._answer(len(self.requests) - 1, connection)
        self.ended.set()

    def close(self) -> None:
        self._listener.close()


def drip(data: bytes, pause: float) -> Callable[[int, socket.socket], None]:
    """An answer of one byte at a time."""

    def answer(_: int, connection: socket.socket) -> None:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(pause)

    return answer

"""Random bars, and an exchange on a loopback socket that replays them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import uvicorn

from cappuccino.bars.table import BarTable, Origin
from cappuccino.broker.exchange.server import create_app
from cappuccino.broker.exchange.venue import Venue

HOUR = 3600
FIRST = 1_700_000_000 // HOUR * HOUR
ASSETS = ("BTC", "ETH", "LTC")


def walk(
    rows: int, *, assets: tuple[str, ...] = ASSETS, seed: int = 0, missing: dict[int, tuple[int, ...]] | None = None
) -> BarTable:
    """Random hourly bars; `missing` names columns without a bar by row."""
    rng = np.random.default_rng(seed)
    shape = (rows, len(assets))
    close = np.array([20_000.0, 1_000.0, 50.0, 5.0][: len(assets)]) * np.exp(np.cumsum(rng.normal(0, 0.01, shape), axis=0))
    open_ = close * np.exp(rng.normal(0, 0.002, shape))
    volume = rng.lognormal(0, 0.5, shape)
    mask = np.ones(shape, dtype=bool)
    for row, columns in sorted((missing or {}).items()):
        for column in columns:
            mask[row, column], volume[row, column] = False, 0.0
            open_[row, column] = close[row, column] = close[row - 1, column]
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
def serving_app(app: Any) -> Iterator[str]:
    """The URL of an ASGI application served from a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", access_log=False, http="h11", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(5)
        listener.close()


def serving(venue: Venue) -> contextlib.AbstractContextManager[str]:
    """The URL of an exchange served from a thread."""
    return serving_app(create_app(venue))

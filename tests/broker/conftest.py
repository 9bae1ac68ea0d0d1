"""An exchange on a loopback socket, and servers that misbehave."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from loopback import serving, walk
from raw_servers import RawServer

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue


@pytest.fixture
def venue() -> Venue:
    return Venue(walk(40, missing={12: (1,)}), 10, ExchangeConfig())


@pytest.fixture
def url(venue: Venue) -> Iterator[str]:
    with serving(venue) as address:
        yield address


@pytest.fixture
def raw_server() -> Iterator[Callable[[Callable[[int, socket.socket], None]], RawServer]]:
    servers: list[RawServer] = []

    def start(answer: Callable[[int, socket.socket], None]) -> RawServer:
        servers.append(RawServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()

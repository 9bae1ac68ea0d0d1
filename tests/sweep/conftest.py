"""The PostgreSQL server of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from postgres import Server, Unavailable


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    try:
        server = Server()
    except Unavailable as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture
def postgres(postgres_server: Server) -> Iterator[Server]:
    """A test that asks for it is skipped where there is none. What it leaves connected is cut off."""
    yield postgres_server
    postgres_server.disconnect_all()

"""The storages of the tests: files, and a PostgreSQL server."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import optuna
import pytest
from postgres import Server, Unavailable
from study_cases import FILES, url_in


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


@pytest.fixture
def quiet() -> Iterator[None]:
    """Optuna tells of errors alone."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture(params=(*FILES, "postgresql"))
def url(quiet: None, request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """A storage of each kind, with nothing in it."""
    del quiet
    if request.param in FILES:
        return url_in(tmp_path / "a folder", request.param)
    return request.getfixturevalue("postgres").new_database()

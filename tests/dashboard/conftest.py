"""A trader in a process of its own on a paced exchange, and the page on its folder in another one; for all tests of the page."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "trading"))

from dashboard_cases import Session, make_artifact, page_on, trading


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a restless policy's artifact."""
    return make_artifact(tmp_path_factory.mktemp("artifact"))


@pytest.fixture(scope="session")
def session(artifact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A trader that waits for its next bar."""
    with trading(artifact, tmp_path_factory.mktemp("traded"), "paper") as session:
        yield session


@pytest.fixture(scope="session")
def address(session: Session) -> Iterator[str]:
    """Where `cappuccino dashboard` shows it."""
    with page_on(session.runs) as url:
        session.pass_bars(6)
        yield url

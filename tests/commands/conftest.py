"""An artifact for all commands about a trader."""

from __future__ import annotations

import pathlib

import pytest
from small_artifact import make_artifact


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of the small artifact."""
    return make_artifact(tmp_path_factory.mktemp("runs"))

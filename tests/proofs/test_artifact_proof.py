"""Artifacts: a small instance of the proof `artifact`."""

from __future__ import annotations

import pathlib

import pytest
from small_proof import run


@pytest.mark.slow
def test_an_artifact_decides_as_the_trainer_did(shared_data: pathlib.Path) -> None:
    del shared_data
    printed = run("artifact", "--env-steps", "65536", "--networks", "per_asset", "--fastest")
    assert "FALLS SHORT" not in printed

"""Lanes: a small instance of the proof `lanes`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_a_lane_learns_what_a_training_alone_does() -> None:
    assert "indistinguishable" in run("lanes", "--updates", "2", "--seeds", "8")

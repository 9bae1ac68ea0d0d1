"""Costs and delays: a small instance of the proof `stress_grid`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_no_delay_is_a_delay_of_nothing() -> None:
    assert "holds: in under 10 s" in run("stress_grid", "--bars", "100", "--repeats", "1")

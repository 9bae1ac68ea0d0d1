"""A trader alone: a small instance of the proof `soak`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_three_days_alone() -> None:
    assert run("soak", "--days", "3").count(": holds") == 5

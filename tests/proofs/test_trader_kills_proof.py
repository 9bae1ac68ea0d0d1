"""Kills of a trader: a small instance of the proof `trader_kills`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_a_trader_that_is_killed_again_and_again_ends_as_one_that_was_not() -> None:
    printed = run("trader_kills", "--sessions", "2", "--kills", "20", "--bars", "60", "--at-least", "6")
    assert printed.count(": holds") == 3
    assert printed.count("20 kills, the same") == 2

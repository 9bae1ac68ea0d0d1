"""Floors of the objective: a small instance of the proof `floors`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_who_knows_nothing_scores_below_who_was_trained() -> None:
    printed = run("floors", "--seeds", "2", "--env-steps", "524288")
    assert printed.count(": holds") == 6

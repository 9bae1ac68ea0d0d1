"""Kills of the pipeline: a small instance of the proof `pipeline`."""

from __future__ import annotations

import pytest
from small_proof import run


@pytest.mark.slow
def test_a_pipeline_that_is_killed_leads_to_a_champion_and_does_nothing_twice() -> None:
    small = ("--env-steps", "262144", "--trainings", "1", "--held-out", "400")
    printed = run("pipeline", "--parts", "kills", "--kills", "3", *small)
    assert printed.count(": holds") == 2

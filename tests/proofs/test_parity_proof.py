"""Backtest and trader: a small instance of the proof `parity`."""

from __future__ import annotations

import pathlib

import pytest
from small_proof import run


@pytest.mark.slow
def test_backtest_and_paper_agree(shared_data: pathlib.Path) -> None:
    del shared_data
    printed = run("parity", "--bars", "40", "--env-steps", "65536", "--policies", "restless")
    assert printed.count(": agree") == 2
    assert printed.count(": noticed") == 6

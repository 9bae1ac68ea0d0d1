"""The small instance of the proof by kills: `experiments/proofs/kills.py` with three of them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_a_training_killed_again_and_again_is_the_one_left_alone():
    done = subprocess.run(
        [sys.executable, str(ROOT / "experiments" / "proofs" / "kills.py"), "--kills", "3"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED: after 3 kills" in done.stdout

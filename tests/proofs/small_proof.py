"""A small instance of a proof in experiments/proofs, as a process of its own. The full ones: `make proof NAME`."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

PROOFS = pathlib.Path(__file__).parents[2] / "experiments" / "proofs"


def run(name: str, *arguments: str) -> str:
    """What it prints. Raises AssertionError where it does not hold."""
    done = subprocess.run(
        [sys.executable, str(PROOFS / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=PROOFS.parents[1],
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

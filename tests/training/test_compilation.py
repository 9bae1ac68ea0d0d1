"""The compile report: programs are counted once, and those found on disk are told apart."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import jax, jax.numpy as jnp
from cappuccino.training.compilation import compile_report
from cappuccino.training.device import select_device

select_device("cpu")
x = jnp.arange(3.0)  # outside of the report
with compile_report() as report:
    f = jax.jit(lambda x: jnp.sin(x) @ x)
    f(x), f(x), f(jnp.flip(x))
g = jax.jit(lambda x: x + 2)
g(x)  # after it
print(report.programs, report.found, report.seconds > 0, report)
"""


def test_programs_are_counted_and_found_again_by_the_next_process(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)

    def told() -> list[str]:
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
        return done.stdout.split(maxsplit=3)

    first, second = told(), told()
    assert first[:3] == ["2", "0", "True"]
    assert second[:3] == ["2", "2", "True"]
    assert second[3].startswith("2 programs in ")
    assert second[3].strip().endswith("2 of them from the cache on disk")

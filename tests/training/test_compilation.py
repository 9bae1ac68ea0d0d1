"""The compile report counts programs once and tells those found on disk apart; programs of a CPU compile quickly."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

import pytest

from cappuccino.training.device import compile_quickly

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


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("cpu", "", "--xla_backend_optimization_level=1"),
        ("cpu", "--xla_dump_to=x", "--xla_dump_to=x --xla_backend_optimization_level=1"),
        ("cpu", "--xla_backend_optimization_level=3", "--xla_backend_optimization_level=3"),
        ("cuda", "", ""),
    ],
)
def test_programs_of_a_cpu_compile_quickly_unless_the_level_is_given(monkeypatch, name: str, before: str, after: str) -> None:
    monkeypatch.setenv("XLA_FLAGS", before)
    compile_quickly(name)
    assert os.environ["XLA_FLAGS"] == after


def test_a_gpu_keeps_its_level_of_optimisation(monkeypatch) -> None:
    """Where JAX will find one: a plugin for it is installed, and nothing asks for a CPU."""
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["cuda"] if group == "jax_plugins" else [])
    monkeypatch.setenv("XLA_FLAGS", "")
    compile_quickly("auto")
    assert os.environ["XLA_FLAGS"] == ""
    compile_quickly("cpu")
    assert os.environ["XLA_FLAGS"]

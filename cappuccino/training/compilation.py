"""What JAX compiled: how many programs, in how many seconds, and how many of them it found in the cache on disk."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax

_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_FOUND = "/jax/compilation_cache/cache_hits"


@dataclasses.dataclass
class CompileReport:
    """programs: built in this process; found: of them, read from the cache on disk. seconds: of lowering them, and of compiling
    or reading them; the tracing of Python functions before that is not in it."""

    programs: int = 0
    found: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.programs} programs in {self.seconds:.1f} s, {self.found} of them from the cache on disk"


@contextlib.contextmanager
def compile_report() -> Iterator[CompileReport]:
    """Counts what is compiled while it is open; JAX tells of it through `jax.monitoring`."""
    report = CompileReport()

    def took(event: str, duration_secs: float, **_: Any) -> None:
        if event in (_LOWERED, _COMPILED):
            report.seconds += duration_secs
        report.programs += event == _COMPILED

    def happened(event: str, **_: Any) -> None:
        report.found += event == _FOUND

    jax.monitoring.register_event_duration_secs_listener(took)
    jax.monitoring.register_event_listener(happened)
    try:
        yield report
    finally:
        jax.monitoring.unregister_event_duration_listener(took)
        jax.monitoring.unregister_event_listener(happened)

"""What a benchmark is: a question, and a function that yields rows of figures.

A file `experiments/benchmarks/NAME.py` defines `BENCHMARK = Benchmark(question=..., measure=...)` at the start of a line. It is
run in a process of its own, with its folder on the path. Packages that are not dependencies are named in `requires` and imported
inside `measure` only, so that the file can be read without them.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MIN_REPEATS = 5
REST_S = 0.02
"""Between two timed calls: the threads of either side's pool wait actively for a while, and would take from the other's time."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure: the median of its repeats.

    label: unique within the benchmark. unit: of figure, bar and aim; "x" for ratios. repeats: at least MIN_REPEATS, or one where
    `exact` says that nothing is random in it. must: the bar. aim: what one hopes for beyond it. Both None where the figure is
    only told. higher_is_better: whether to reach a bar is to be at least (True) or at most (False) there. warm_up_s: seconds of
    compilation and first call by side, not part of the figure. details: anything that JSON can hold.
    """

    label: str
    repeats: tuple[float, ...]
    must: float | None = None
    aim: float | None = None
    higher_is_better: bool = True
    unit: str = ""
    exact: bool = False
    warm_up_s: Mapping[str, float] = dataclasses.field(default_factory=dict)
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        least = 1 if self.exact else MIN_REPEATS
        if len(self.repeats) < least:
            raise ValueError(f"row {self.label!r} has {len(self.repeats)} repeats; it must have at least {least}")

    @property
    def figure(self) -> float:
        return statistics.median(self.repeats)

    @property
    def verdict(self) -> str:
        """`reached` or `falls short` of the bar; empty where there is none."""
        if self.must is None:
            return ""
        return "reached" if self.reaches(self.must) else "falls short"

    def reaches(self, bar: float) -> bool:
        return self.figure >= bar if self.higher_is_better else self.figure <= bar


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """question: what the figures answer, one line. requires: importable names of optional packages.

    measure(small) yields rows; `small` asks for an instance of seconds, for the test suite, whose figures mean nothing.
    """

    question: str
    measure: Callable[[bool], Iterable[Row]]
    requires: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Timings:
    """Wall seconds by side: of the first call (compilation included), and of each call after it."""

    warm_up_s: dict[str, float]
    seconds: dict[str, tuple[float, ...]]

    def rates(self, side: str, work: float) -> tuple[float, ...]:
        """`work` per second in each repeat."""
        return tuple(work / seconds for seconds in self.seconds[side])

    def speed_ups(self, side: str, over: str) -> tuple[float, ...]:
        """How many times as fast `side` is as `over`, pair by pair."""
        return tuple(theirs / ours for ours, theirs in zip(self.seconds[side], self.seconds[over], strict=True))


def interleaved(sides: Mapping[str, Callable[[], object]], repeats: int = MIN_REPEATS) -> Timings:
    """Time the sides in turns, A B A B ..., so that what else the machine does falls on all of them.

    Each side is a function that does the whole work and waits for its result. It is called twice before anything is timed for the
    figure: the first call is the warm-up, reported apart.
    """
    warm_up = {name: _seconds(call) for name, call in sides.items()}
    for call in sides.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, call in sides.items():
            time.sleep(REST_S)
            seconds[name].append(_seconds(call))
    return Timings(warm_up, {name: tuple(values) for name, values in seconds.items()})


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began

"""A search while it runs: a table of the trials in progress, and a line for each that ended."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cappuccino.lanes.pool import Placed
from cappuccino.sweep.ends import counts
from cappuccino.sweep.parts import FoldSeed
from cappuccino.sweep.study import SharedStudy
from cappuccino.sweep.trial import RunningTrial

_COLUMNS = 56
"""What the columns before the parameters take."""


class SearchProgress:
    """Shows this process's trials and the whole study's count. Where the console is no terminal, only a line for each trial."""

    def __init__(self, console: Console, shared: SharedStudy) -> None:
        self._console, self._shared = console, shared
        self._steps: dict[int, int] = {}
        self._pace = Pace()
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> SearchProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def ended(self, number: int, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        """A trial has ended."""
        self._steps[number] = attributes.get("env_steps", 0)
        said = _objective(value) if value is not None else attributes.get("reason", "")
        self._console.print(f"trial {number:<4} {state.name.lower():<9} {said}", soft_wrap=True, highlight=False)

    def show(self, running: Iterable[RunningTrial], placed: Mapping[tuple[int, FoldSeed], Placed]) -> None:
        """The trials in progress between two chunks. placed: of a trial's parts, once they have had a lane."""
        if self._console.is_terminal:
            running = list(running)
            head = Text(self._head(running), no_wrap=True, overflow="ellipsis")
            self._live.update(Group(head, lane_table(running, placed, self._console.width)), refresh=True)

    def _head(self, running: Sequence[RunningTrial]) -> str:
        for one in running:
            self._steps[one.trial.number] = one.env_steps
        trials, total = self._shared.study.get_trials(deepcopy=False), self._shared.n_trials
        mine = {one.trial.number: one.share_done for one in running}
        done = sum(_work(trial, mine) for trial in trials)
        ended = sum(map(counts, trials))
        self._pace.note(time.monotonic(), sum(self._steps.values()), done)
        best = self._shared.best()
        found = f"best {best.value:.4g} (trial {best.number})" if best and math.isfinite(best.value or 0) else "no best yet"
        return f"{ended} of {total} trials ended, {found}\n{self._pace.said(total)}"


class Pace:
    """How fast a search goes since its first chunk was done: what came before was for the most part compilation."""

    def __init__(self) -> None:
        self._first: tuple[float, int, float] | None = None
        self._last = (0.0, 0, 0.0)

    def note(self, seconds: float, steps: int, trials: float) -> None:
        """At a time: env steps of this process, and trials of the whole study with those in progress as shares."""
        if self._first is None and steps:
            self._first = (seconds, steps, trials)
        self._last = (seconds, steps, trials)

    def said(self, total: int) -> str:
        """The rate, and the time that the study's other trials will take as things go."""
        if self._first is None:
            return "compiling"
        seconds, steps, trials = (now - then for now, then in zip(self._last, self._first, strict=True))
        rate = f"{steps / seconds:,.0f} env steps/s here" if seconds > 0 and steps > 0 else "rate unknown"
        left = f"about {_duration((total - self._last[2]) * seconds / trials)} left" if trials > 0 else "time left unknown"
        return f"{rate}, {left}"


def lane_table(running: Sequence[RunningTrial], placed: Mapping[tuple[int, FoldSeed], Placed], width: int) -> Table:
    """A row for each trial: its lanes, state, progress, last objective, and as many parameters as there is room for."""
    names = list(dict.fromkeys(name for one in running for name in one.trial.params))
    cells = {name: [_short(one.trial.params[name]) if name in one.trial.params else "" for one in running] for name in names}
    room, fitting = width - _COLUMNS, []
    for name in names:
        room -= 2 + max(map(len, (_last(name), *cells[name])))
        if room < 0:
            break
        fitting.append(name)
    more = f"+{len(names) - len(fitting)}" if len(fitting) < len(names) else ""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("lane", "trial", "state", "progress", "", "objective", *map(_last, fitting), more):
        table.add_column(title, no_wrap=True, justify="left" if title in ("state", "progress") else "right")
    for row, one in enumerate(running):
        number = one.trial.number
        lanes = [str(placed[number, key].lane) for key, part in one.parts.items() if not part.done and (number, key) in placed]
        table.add_row(
            ",".join(lanes) or "-",
            str(one.trial.number),
            "training" if lanes else "waiting",
            ProgressBar(total=1, completed=one.share_done, width=10),
            f"{one.share_done:.0%}",
            _objective(one.last_value),
            *(cells[name][row] for name in fitting),
        )
    return table


def _work(trial: FrozenTrial, mine: Mapping[int, float]) -> float:
    """How much of a trial is done; of one that another process runs, as good a guess as any."""
    if trial.state == TrialState.RUNNING:
        return mine.get(trial.number, 0.5)
    return float(counts(trial))


def _objective(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if math.isfinite(value) else "did nothing"


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"

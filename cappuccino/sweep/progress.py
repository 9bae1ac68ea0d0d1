"""A search while it runs: a table of the trials in progress, and a line for each that ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from optuna.trial import TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cappuccino.sweep.study import SharedStudy
from cappuccino.sweep.trial import RunningTrial


class SearchProgress:
    """Shows this process's trials and the whole study's count. Where the console is no terminal, only a line for each trial."""

    def __init__(self, console: Console, shared: SharedStudy) -> None:
        self._console, self._shared = console, shared
        self._begun = time.monotonic()
        self._steps = self._ended = 0
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> SearchProgress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def ended(self, number: int, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        """A trial has ended."""
        self._steps += attributes.get("env_steps", 0)
        self._ended += 1
        said = f"{value:.4g}" if value is not None else attributes.get("reason", "")
        self._console.print(f"trial {number:<4} {state.name.lower():<9} {said}", soft_wrap=True, highlight=False)

    def show(self, running: Iterable[RunningTrial]) -> None:
        """The trials in progress after a chunk."""
        if not self._console.is_terminal:
            return
        table = Table("trial", "done", "env steps", "objective", "parameters", box=None, title_justify="left")
        for one in running:
            value = f"{one.last_value:.4g}" if one.last_value is not None else "-"
            parameters = ", ".join(f"{name.rsplit('.', 1)[-1]}={_short(given)}" for name, given in one.trial.params.items())
            table.add_row(str(one.trial.number), f"{one.share_done:.0%}", f"{one.env_steps:,}", value, parameters)
        self._live.update(Group(Text(self._head(sum(one.env_steps for one in running))), table), refresh=True)

    def _head(self, in_progress: int) -> str:
        seconds = max(time.monotonic() - self._begun, 1e-9)
        counted, total = self._shared.counted(), self._shared.n_trials
        best = self._shared.best()
        left = f"{seconds / self._ended * (total - counted) / 60:.0f} min left" if self._ended else "time left unknown"
        found = f"best {best.value:.4g} (trial {best.number})" if best is not None and best.value is not None else "no best yet"
        rate = (self._steps + in_progress) / seconds
        return f"{counted} of {total} trials begun or ended, {rate:,.0f} env steps/s, {left}, {found}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

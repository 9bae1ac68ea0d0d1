"""The exchange's time: moved by hand, or running at a pace from where it starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from cappuccino.errors import InputError


class ExchangeClock(Protocol):
    """Unix seconds; never goes back."""

    def now(self) -> float:
        """The time."""
        ...

    def advance(self, to: float | int) -> float:
        """Move to `to`; the time then. Raises InputError if `to` is earlier than now or the clock moves by itself."""
        ...


class SteppedClock:
    """Stands still until it is advanced."""

    def __init__(self, start: float | int) -> None:
        self._now = float(start)

    def now(self) -> float:
        """See `ExchangeClock.now`."""
        return self._now

    def advance(self, to: float | int) -> float:
        """See `ExchangeClock.advance`."""
        if not self._now <= to < float("inf"):
            raise InputError(f"the clock is at {self._now:.6f} and does not go to {to}; it goes forward only")
        self._now = float(to)
        return self._now


class RunningClock:
    """Runs `factor` times as fast as real time, from `start`; a factor of 1 is real time."""

    def __init__(self, start: float | int, factor: float | int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        if not 0 < factor < float("inf"):
            raise InputError(f"the clock's factor is {factor}; a number above 0 is right")
        self._start, self._factor, self._monotonic = float(start), factor, monotonic
        self._since = monotonic()

    def now(self) -> float:
        """See `ExchangeClock.now`."""
        return self._start + self._factor * (self._monotonic() - self._since)

    def advance(self, to: float | int) -> float:
        """See `ExchangeClock.advance`: always InputError."""
        raise InputError(f"the clock runs by itself, {self._factor:g} times real time: it is not moved to {to}")

"""The trader's clock: real time, or the time of a local exchange, which in stepped mode moves only while the trader waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import requests

from cappuccino.broker.exchange.process import ExchangeControl
from cappuccino.errors import InputError, Refusal

T = TypeVar("T")

SLICE_S = 0.2
"""Real seconds that a wait sleeps at most before it looks again whether it was stopped."""


def _never() -> bool:
    return False


@runtime_checkable
class Clock(Protocol):
    """Unix seconds in which bars close, orders age and back-off counts."""

    def now(self) -> float:
        """The time."""
        ...

    def wait_until(self, at: float, is_stopped: Callable[[], bool] = _never) -> None:
        """Return once it is `at` or later, or soon after `is_stopped()` turns true."""
        ...

    def is_finished(self) -> bool:
        """Whether no bar will follow: a replay has come to its end."""
        ...


class RealClock:
    """This machine's time."""

    def now(self) -> float:
        """See `Clock.now`."""
        return time.time()

    def wait_until(self, at: float, is_stopped: Callable[[], bool] = _never) -> None:
        """See `Clock.wait_until`."""
        while not is_stopped() and (left := at - time.time()) > 0:
            time.sleep(min(left, SLICE_S))

    def is_finished(self) -> bool:
        """See `Clock.is_finished`: never."""
        return False


class ExchangeClock:
    """The time of the local exchange at `url`.

    mode: `stepped` advances the exchange by what is waited for; `accelerated` and `real` wait for it to get there, where
    `speed` is how many of its seconds pass in one of ours. keys: the account's, key and secret. Every call raises Refusal if the
    exchange does not answer.
    """

    def __init__(self, url: str, mode: str, *, speed: float = 1.0, keys: tuple[str, str] = ("local", "local")) -> None:
        if mode not in ("stepped", "accelerated", "real"):
            raise InputError(f"the exchange's clock is {mode!r}; it must be one of stepped, accelerated, real")
        if not 0 < speed < float("inf"):
            raise InputError(f"the clock's speed is {speed}; a number above 0 is right")
        self._control = ExchangeControl(url, key=keys[0], secret=keys[1])
        self._url, self._mode, self._speed = url, mode, speed
        self._read()

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            return question()
        except requests.RequestException as error:
            raise Refusal(f"the exchange's clock at {self._url} does not answer: {type(error).__name__}") from None

    def _read(self) -> None:
        self._then, self._since = self._ask(self._control.state).now, time.monotonic()

    def now(self) -> float:
        """See `Clock.now`. Reckoned from the last wait, without asking: what is asked for each second costs seconds."""
        if self._mode == "stepped":
            return self._then
        return self._then + self._speed * (time.monotonic() - self._since)

    def wait_until(self, at: float, is_stopped: Callable[[], bool] = _never) -> None:
        """See `Clock.wait_until`. Stepped: raises InputError if the exchange's clock does not let itself be moved."""
        self._read()
        while not is_stopped() and (left := at - self.now()) > 0:
            if self._mode == "stepped":
                self._then = self._ask(lambda: self._control.advance(at))
            else:
                time.sleep(min(left / self._speed, SLICE_S))

    def is_finished(self) -> bool:
        """See `Clock.is_finished`: once the last bar of the replay is complete."""
        return self._ask(self._control.state).finished

"""Asking a venue that may not answer: again and again until a time, or until stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cappuccino.broker.protocol import BrokerUnavailable, OrderRejected
from cappuccino.errors import Refusal
from cappuccino.trading.clock import Clock
from cappuccino.trading.log import Log

T = TypeVar("T")

_KEYS_HELP = "the venue does not take the keys: check APCA_API_KEY_ID, APCA_API_SECRET_KEY and whether they are for paper"


class NoDecision(Exception):
    """Nothing is decided, or nothing more is ordered, at this bar; the message says why."""


def is_about_keys(error: BrokerUnavailable | OrderRejected) -> bool:
    """Whether the error says that the keys open no account."""
    forbidden = error.status == 403 and not (isinstance(error, OrderRejected) and error.code)
    return error.status == 401 or forbidden


class Keys:
    """Whether the venue takes the keys. One answer that says it does not may be a proxy's: only when it says so again, `grace` seconds
    of the clock after the first time and without an answer between, does a person have to look."""

    def __init__(self, clock: Clock, grace: float) -> None:
        self._clock, self._grace = clock, grace
        self._refused_since: float | None = None

    def taken(self) -> None:
        """The venue answered."""
        self._refused_since = None

    def heed(self, error: BrokerUnavailable | OrderRejected) -> None:
        """What a request ended with. Raises Refusal where it is time."""
        if not is_about_keys(error):
            return
        now = self._clock.now()
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= self._grace:
            raise Refusal(f"{_KEYS_HELP} ({error})") from None


class Patience:
    """Reads repeated `poll` seconds of the clock apart."""

    def __init__(self, clock: Clock, log: Log, is_stopped: Callable[[], bool], keys: Keys, *, poll: float) -> None:
        self._clock, self._log, self._is_stopped, self._keys, self._poll = clock, log, is_stopped, keys, poll

    def ask(self, call: Callable[[], T], until: float) -> T:
        """The call's result, asking again until a time or until stopped.

        Raises NoDecision then, Refusal for keys that are not taken.
        """
        while True:
            try:
                answer = call()
                self._keys.taken()
                return answer
            except BrokerUnavailable as error:
                self._keys.heed(error)
                self._log.warning("no answer", error=str(error))
                if self._clock.now() >= until or self._is_stopped():
                    raise NoDecision(f"the venue did not answer: {error}") from None
            self._clock.wait_until(self._clock.now() + self._poll, self._is_stopped)

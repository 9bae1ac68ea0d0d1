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


def refuse_bad_keys(error: BrokerUnavailable | OrderRejected) -> None:
    """Raises Refusal if the error says that the keys open no account, which waiting does not mend."""
    forbidden = error.status == 403 and not (isinstance(error, OrderRejected) and error.code)
    if error.status == 401 or forbidden:
        raise Refusal(f"{_KEYS_HELP} ({error})") from None


class Patience:
    """Reads repeated `poll` seconds of the clock apart."""

    def __init__(self, clock: Clock, log: Log, is_stopped: Callable[[], bool], *, poll: float) -> None:
        self._clock, self._log, self._is_stopped, self._poll = clock, log, is_stopped, poll

    def ask(self, call: Callable[[], T], until: float) -> T:
        """The call's result, asking again until a time or until stopped.

        Raises NoDecision then, Refusal for keys that are not taken.
        """
        while True:
            try:
                return call()
            except BrokerUnavailable as error:
                refuse_bad_keys(error)
                self._log.warning("no answer", error=str(error))
                if self._clock.now() >= until or self._is_stopped():
                    raise NoDecision(f"the venue did not answer: {error}") from None
            self._clock.wait_until(self._clock.now() + self._poll, self._is_stopped)

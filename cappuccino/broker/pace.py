"""How many requests may go out: fewer a minute than the venue allows, and none while the venue says that there were too many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

REQUESTS_A_MINUTE = 100
"""Half of what Alpaca allows an account: another program may be asking too."""

MINUTE_S = 60.0
LONGEST_RESET_S = 120.0
"""A reset that is said to be further away than this is not believed: the clocks differ, or the header is of another kind."""

REMAINING, RESET = "X-Ratelimit-Remaining", "X-Ratelimit-Reset"


class Pace:
    """Requests of one account. now: the venue's time in Unix seconds, in which its limit counts."""

    def __init__(self, now: Callable[[], float], *, a_minute: int = REQUESTS_A_MINUTE) -> None:
        self._now, self._a_minute = now, a_minute
        self._sent: deque[float] = deque()
        self._held_until = 0.0

    def take(self) -> float | None:
        """Count a request that is about to be sent; or until when (the venue's time) none may be, which is then not counted."""
        now = self._now()
        while self._sent and self._sent[0] <= now - MINUTE_S:
            self._sent.popleft()
        if now < self._held_until:
            return self._held_until
        if len(self._sent) >= self._a_minute:
            return self._sent[0] + MINUTE_S
        self._sent.append(now)
        return None

    def heard(self, status: int, headers: Mapping[str, str]) -> None:
        """What an answer says of the limit: after a 429, or with none remaining, nothing is sent before the reset."""
        if status != 429 and headers.get(REMAINING) != "0":
            return
        now = self._now()
        try:
            reset = float(headers[RESET])
        except (KeyError, ValueError):
            reset = now
        if now < reset <= now + LONGEST_RESET_S:
            self._held_until = reset

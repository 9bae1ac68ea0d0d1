"""Slow work beside the order path: a bounded queue and one thread that empties it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

from cappuccino.trading.log import Log

SIZE = 64
"""Jobs that wait at most."""


class Background:
    """Does jobs one after the other on a thread of its own.

    name: what logs call it, so nothing secret. failed: called once for each job that failed or found the queue full.
    A job's exception is logged by its type alone: its text may hold a URL.
    """

    def __init__(self, name: str, log: Log, failed: Callable[[], None], *, size: int = SIZE) -> None:
        self._name, self._log, self._failed = name, log, failed
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(size)
        self._is_busy = False
        self._thread = threading.Thread(target=self._work, name=f"watch {name}", daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], None]) -> None:
        """Have a job done; returns at once. A full queue drops it, which is logged and counted."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._failed()
            self._log.error("watch queue full", queue=self._name, waiting=self._jobs.qsize())

    def close(self, timeout_s: float) -> None:
        """Wait until all is done, at most `timeout_s`; what is not done by then is logged and counted."""
        until = time.monotonic() + timeout_s
        try:
            self._jobs.put(None, timeout=timeout_s)
        except queue.Full:
            pass
        else:
            self._thread.join(max(0.0, until - time.monotonic()))
        left = self._jobs.qsize() + self._is_busy if self._thread.is_alive() else 0
        if left:
            for _ in range(left):
                self._failed()
            self._log.error("watch given up", queue=self._name, waiting=left)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._is_busy = True
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next job is done
                self._failed()
                self._log.error("watch failed", queue=self._name, error=type(error).__name__)
            self._is_busy = False

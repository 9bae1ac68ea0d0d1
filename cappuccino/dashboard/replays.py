"""Replays of the traders' sessions, made in the background one after another and kept until their journals have gone on."""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
import threading
import time
from typing import Any

from cappuccino.dashboard.traders import Trader
from cappuccino.trading.journal_reading import read_meta

REST = 4
"""A session is not replayed again before so many times the time have passed that it took."""
PATIENCE_S = 600.0


@dataclasses.dataclass
class _Known:
    bar: int | None = None
    found: dict[str, Any] | None = None
    again_at: float = 0.0
    is_waiting: bool = False


class Replays:
    """What `cappuccino.dashboard.replay` finds of each trader. Threads may share it; to be closed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], _Known] = {}
        self._wanted: queue.Queue[tuple[Trader, int, _Known] | None] = queue.Queue()
        self._lock, self._child, self._is_closed = threading.Lock(), None, False
        self._thread = threading.Thread(target=self._work, name="replays", daemon=True)
        self._thread.start()

    def of(self, trader: Trader, last_bar: int | None) -> dict[str, Any] | None:
        """The last replay of a trader, which may be some bars behind; None while the first one is made. last_bar: of its marks."""
        if last_bar is None:
            return {"said": "no bar has been marked yet"}
        started = read_meta(trader.journal).get("started", "")
        with self._lock:
            known = self._known.setdefault((trader.name, started), _Known())
            if known.bar != last_bar and not known.is_waiting and time.monotonic() >= known.again_at:
                known.is_waiting = True
                self._wanted.put((trader, last_bar, known))
            return known.found

    def close(self) -> None:
        """End what is being made."""
        with self._lock:
            self._is_closed = True
            if self._child is not None:
                self._child.kill()
        self._wanted.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._is_closed:
            trader, bar, known = wanted
            begun = time.monotonic()
            found = self._made(trader)
            with self._lock:
                known.bar, known.found, known.is_waiting = bar, found, False
                known.again_at = time.monotonic() + REST * (time.monotonic() - begun)

    def _made(self, trader: Trader) -> dict[str, Any]:
        command = [sys.executable, "-m", "cappuccino.dashboard.replay", str(trader.runs_dir), trader.name]
        with self._lock:
            if self._is_closed:
                return {"said": "the page is being closed"}
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        try:
            out, complaint = self._child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return {"said": f"it took longer than {PATIENCE_S:.0f} s"}
        if self._child.returncode:
            return {"said": f"it failed: {(complaint.strip().splitlines() or ['without a word'])[-1]}"}
        return json.loads(out)

"""The exchange as a process of its own, and the client of its clock."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import requests

from cappuccino.bars.table import FIELDS, BarTable, Origin
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.errors import InputError

ARRAYS = ("timestamps", *FIELDS, "mask", "segment")
READY_S = 30.0
STOP_S = 5.0


class ExchangeProcess(NamedTuple):
    """A running exchange."""

    url: str
    pid: int


class ExchangeState(NamedTuple):
    """Times in Unix seconds: now, the replay's first and last; `finished` once the last bar is complete."""

    now: float
    first: float
    last: float
    finished: bool


class ExchangeControl:
    """The clock of the exchange at `url`, its faults and its ledger. key, secret: the account's."""

    def __init__(self, url: str, *, key: str = "local", secret: str = "local", timeout_s: float | int = 10.0) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s
        self._session = requests.Session()
        self._session.headers.update({"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret})
        self._session.trust_env = False

    def advance(self, to: float | int) -> float:
        """Move a stepped clock to `to`; the time then. Raises InputError if that is before now or the clock runs."""
        answer = self._session.post(f"{self._url}/control/advance", json={"to": to}, timeout=self._timeout_s)
        if answer.status_code == 409:
            raise InputError(str(answer.json()["message"]))
        answer.raise_for_status()
        return float(answer.json()["now"])

    def faults(self) -> dict[str, int]:
        """How many faults of each kind there were."""
        answer = self._session.get(f"{self._url}/control/faults", timeout=self._timeout_s)
        answer.raise_for_status()
        return {str(fault): int(count) for fault, count in answer.json().items()}

    def go_wrong(self, faults: FaultsConfig) -> None:
        """Say what goes wrong from now on."""
        answer = self._session.post(f"{self._url}/control/faults", json=dataclasses.asdict(faults), timeout=self._timeout_s)
        answer.raise_for_status()

    def adjust(self, **changes: str) -> None:
        """Change cash (`cash`) and holdings, by asset, as no order does. Raises InputError for an asset that is not there."""
        answer = self._session.post(f"{self._url}/control/adjust", json=changes, timeout=self._timeout_s)
        if answer.status_code == 409:
            raise InputError(str(answer.json()["message"]))
        answer.raise_for_status()

    def state(self) -> ExchangeState:
        """Where the replay stands."""
        answer = self._session.get(f"{self._url}/control/state", timeout=self._timeout_s)
        answer.raise_for_status()
        raw = answer.json()
        return ExchangeState(float(raw["now"]), float(raw["first"]), float(raw["last"]), bool(raw["finished"]))


def write_settings(folder: pathlib.Path, table: BarTable, settings: dict[str, Any]) -> pathlib.Path:
    """Bars and settings for a child, in `folder`; the path to hand to it."""
    np.savez(folder / "bars.npz", allow_pickle=False, **{name: getattr(table, name) for name in ARRAYS})
    about = {"assets": table.assets, "bar_seconds": table.bar_seconds, "origin": dataclasses.asdict(table.origin)}
    path = folder / "exchange.json"
    path.write_text(json.dumps({**settings, "table": about}))
    return path


def read_settings(path: pathlib.Path) -> tuple[BarTable, dict[str, Any]]:
    """What `write_settings` wrote."""
    settings = json.loads(path.read_text())
    about = settings.pop("table")
    with np.load(path.parent / "bars.npz", allow_pickle=False) as arrays:
        table = BarTable(
            assets=tuple(about["assets"]),
            bar_seconds=about["bar_seconds"],
            origin=Origin(**about["origin"]),
            **{name: arrays[name] for name in ARRAYS},
        )
    return table, settings


def _await_ready(child: subprocess.Popen[bytes], ready: pathlib.Path, log: pathlib.Path) -> str:
    deadline = time.monotonic() + READY_S
    while not ready.exists():
        if child.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise InputError(f"the exchange ended with status {child.returncode}: {lines[-1]}")
        if time.monotonic() > deadline:
            raise InputError(f"the exchange was not ready within {READY_S:g} s")
        time.sleep(0.02)
    return str(json.loads(ready.read_text())["url"])


@contextlib.contextmanager
def start_exchange(
    table: BarTable,
    start: int,
    config: ExchangeConfig,
    *,
    clock_factor: float | int | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[ExchangeProcess]:
    """An exchange that replays `table` from the close of row `start`, for as long as the block lasts.

    It ends with the block, and within a second if this process is killed. clock_factor: times real time; None for a
    clock that moves only by ExchangeControl. Raises InputError if it does not come up, with the reason.
    """
    with tempfile.TemporaryDirectory(prefix="exchange-") as name:
        folder = pathlib.Path(name)
        settings = {
            "start": start,
            "config": dataclasses.asdict(config),
            "clock_factor": clock_factor,
            "host": host,
            "port": port,
            "parent": os.getpid(),
            "ready": str(folder / "ready.json"),
        }
        path, log = write_settings(folder, table, settings), folder / "log.txt"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "cappuccino.broker.exchange", str(path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield ExchangeProcess(_await_ready(child, folder / "ready.json", log), child.pid)
        finally:
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

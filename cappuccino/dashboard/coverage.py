"""What there is of bars: those that each trader has seen, and the stores that traders and artifacts name."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from cappuccino.artifact.manifest import MANIFEST_NAME, read_manifest
from cappuccino.bars.quality import PROBLEMS, AssetQuality, QualityReport, inspect_frames, problems
from cappuccino.bars.store import BarStore
from cappuccino.config.data import AlpacaData
from cappuccino.dashboard.traders import Trader, traders_below
from cappuccino.errors import InputError
from cappuccino.registry.registry import REGISTRY_NAME
from cappuccino.trading.bar_store import BARS_NAME, read_bars

STRIP = 120
"""Periods that a strip of coverage has."""

NAMES = tuple(name for name, _ in PROBLEMS)

_FIELDS = ("open", "high", "low", "close", "volume")


@dataclasses.dataclass(frozen=True)
class Strip:
    """An asset's bars. counts: of `bars.quality.PROBLEMS`. periods: how many, equal in length, from the first bar to the last of all
    assets; holes: those of them in which a bar is missing."""

    quality: AssetQuality
    counts: dict[str, int]
    periods: int
    holes: list[int]


@dataclasses.dataclass(frozen=True)
class Inspected:
    """Bars that a trader has seen."""

    report: QualityReport
    strips: list[Strip]

    @property
    def problems(self) -> list[str]:
        """Those that an asset has."""
        return [name for name in NAMES if any(strip.counts[name] for strip in self.strips)]

    @property
    def none(self) -> list[str]:
        """Those that none has."""
        return [name for name in NAMES if name not in self.problems]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A store of downloaded bars, by its manifest: source, venue, quote, bar_seconds, assets."""

    path: pathlib.Path
    manifest: dict[str, Any]


class Coverage:
    """Inspections of the traders' bars, kept until a trader has seen more. Threads may share it."""

    def __init__(self, runs_dir: pathlib.Path) -> None:
        self._runs_dir, self._lock = runs_dir, threading.Lock()
        self._known: dict[pathlib.Path, tuple[int, Inspected]] = {}

    def of_traders(self) -> dict[str, Inspected | str]:
        """By name; in words why there is none."""
        found: dict[str, Inspected | str] = {}
        for name in traders_below(self._runs_dir):
            try:
                found[name] = self._of(Trader(self._runs_dir, name))
            except InputError as error:
                found[name] = str(error)
        return found

    def _of(self, trader: Trader) -> Inspected:
        path, assets = trader.folder / BARS_NAME, trader.assets()
        if assets is None:
            raise InputError(f"neither the artifact of {trader.name} nor its journal says which assets it trades")
        ahead = path.with_name(f"{BARS_NAME}-wal")
        state = max((file.stat().st_mtime_ns for file in (path, ahead) if file.exists()), default=0)
        with self._lock:
            known = self._known.get(path)
            if known is None or known[0] != state:
                bars = read_bars(path, assets, 0, 2**62)
                frames = {
                    asset: pd.DataFrame({"timestamp": one.timestamps, **{name: getattr(one, name) for name in _FIELDS}})
                    for asset, one in bars.items()
                    if len(one.timestamps)
                }
                report = inspect_frames(frames, bar_seconds=trader.bar_seconds())
                known = self._known[path] = (state, Inspected(report, _strips(report)))
            return known[1]

    def stores(self) -> dict[pathlib.Path, Stored | str]:
        """Stores of downloaded bars that the traders' configurations and the registry's artifacts name."""
        found: dict[pathlib.Path, Stored | str] = {}
        for path in self._named():
            store = BarStore(path)
            if path not in found and store.exists():
                try:
                    found[path] = Stored(path, store.manifest())
                except InputError as error:
                    found[path] = str(error)
        return found

    def _named(self) -> Iterator[pathlib.Path]:
        """What cannot be read is said on the pages of traders and registry."""
        for name in traders_below(self._runs_dir):
            with contextlib.suppress(InputError):
                data = Trader(self._runs_dir, name).config().data
                if isinstance(data, AlpacaData):
                    yield pathlib.Path(data.path)
        for path in sorted((self._runs_dir / REGISTRY_NAME / "artifacts").glob(f"*/{MANIFEST_NAME}")):
            with contextlib.suppress(InputError):
                trained = read_manifest(path).config.get("data", {})
                if trained.get("source") == "alpaca":
                    yield pathlib.Path(trained["path"])


def _strips(report: QualityReport) -> list[Strip]:
    first, last = min(a.first for a in report.assets), max(a.last for a in report.assets)
    slots = (last - first) // report.bar_seconds + 1
    edges = first + report.bar_seconds * np.unique(np.linspace(0, slots, min(slots, STRIP) + 1).astype(np.int64))
    strips = []
    for asset in report.assets:
        there, _ = np.histogram(asset.timestamps[asset.timestamps % report.bar_seconds == 0], bins=edges)
        holes = np.flatnonzero(there * report.bar_seconds < np.diff(edges))
        strips.append(Strip(asset, dict(zip(NAMES, problems(asset), strict=True)), len(there), holes.tolist()))
    return strips

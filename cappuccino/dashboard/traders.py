"""A trader as the page shows it, read from its folder without disturbing it."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from cappuccino.artifact.manifest import MANIFEST_NAME, Manifest, checksum, read_manifest
from cappuccino.config.composition import load_trade_config
from cappuccino.config.roots import TradeCommandConfig
from cappuccino.config.trading import LocalBrokerConfig
from cappuccino.dashboard.log_lines import Line, newest_warnings
from cappuccino.errors import InputError
from cappuccino.registry.registry import REGISTRY_NAME
from cappuccino.registry.store import ArtifactStore
from cappuccino.risk import Marks
from cappuccino.risk.distance import Distance, distances
from cappuccino.trading import journal_reading as reading
from cappuccino.trading.folder import CONFIG_NAME, JOURNAL_NAME, LOG_NAME, running
from cappuccino.trading.records import FINAL, State
from cappuccino.trading.ruled import state_of, stops_in_force

STALE_BARS = 2
"""Bars' time after the close of the last bar from which on a trader that runs in real time is stale."""

NEWEST_ORDERS, NEWEST_BARS = 200, 30

ORDER_STATES: tuple[State, ...] = (
    "planned",
    "sent",
    "unknown",
    "accepted",
    "partially_filled",
    "filled",
    "canceled",
    "rejected",
    "expired",
    "abandoned",
)
OPEN_STATES = tuple(state for state in ORDER_STATES if state not in FINAL)


def traders_below(runs_dir: pathlib.Path) -> list[str]:
    """Names of the traders that were started."""
    root = runs_dir / "traders"
    return sorted(path.parent.relative_to(root).as_posix() for path in root.rglob(JOURNAL_NAME))


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a trader stands. state: running, halted or stopped. Money in quote currency, at closes; None before the first mark.

    last_bar: opening of the last bar that was marked. closed_at: the bar's close, where bars go by real time. written_at: when the
    journal was last written, real time. is_stale: it runs in real time, and no bar has come for STALE_BARS.
    """

    name: str
    state: str
    process: int | None
    halt: dict[str, Any] | None
    capital: float | None
    equity: float | None
    change: float | None
    drawdown: float | None
    peak: float | None
    cash: float | None
    first_bar: int | None
    last_bar: int | None
    closed_at: float | None
    written_at: float
    is_stale: bool
    counts: Counter[str]
    undecided: int
    stops: list[str]

    @property
    def open_orders(self) -> int:
        """Orders not known to have ended."""
        return sum(self.counts[state] for state in OPEN_STATES)

    @property
    def faults(self) -> list[str]:
        """What a person should look at, in words."""
        said = [f"{self.counts['unknown']} orders whose fate is not known"] if self.counts["unknown"] else []
        said += ["no bar for two bars' time"] if self.is_stale else []
        said += [f"kept sold: {stop}" for stop in self.stops]
        said += [f"{self.counts['rejected']} orders rejected"] if self.counts["rejected"] else []
        said += [f"{self.undecided} bars without a decision"] if self.undecided else []
        return said


class Position(NamedTuple):
    """asset: or cash. quantity: base units; price: the close; weight: share of equity now; target: that was decided; None: not known."""

    asset: str
    quantity: float | None
    price: float | None
    value: float | None
    weight: float | None
    target: float | None


class Trader:
    """A trader's folder. Everything is read when it is asked for; calls raise InputError for a journal that cannot be read."""

    def __init__(self, runs_dir: pathlib.Path, name: str) -> None:
        self.name, self.folder, self.runs_dir = name, runs_dir / "traders" / name, runs_dir
        self.journal = self.folder / JOURNAL_NAME

    def config(self) -> TradeCommandConfig:
        """As it was last started. Raises InputError."""
        return load_trade_config(self.folder / CONFIG_NAME)

    def artifact(self) -> pathlib.Path:
        """The artifact's folder: the registry's copy, by the checksum that the journal began with, or where it was taken from.

        Raises InputError where neither is there.
        """
        wanted = reading.read_meta(self.journal).get("artifact", "")
        try:
            return ArtifactStore(self.runs_dir / REGISTRY_NAME / "artifacts").folder(wanted)
        except InputError:
            folder = pathlib.Path(self.config().artifact)
            if checksum(read_manifest(folder / MANIFEST_NAME)) != wanted:
                raise InputError(f"{folder} does not hold the artifact {wanted[:12]} that this trader trades") from None
            return folder

    def manifest(self) -> Manifest:
        """The artifact's. Raises InputError."""
        return read_manifest(self.artifact() / MANIFEST_NAME)

    def assets(self) -> tuple[str, ...] | None:
        """In the order of a decision's lists; None where nothing tells."""
        try:
            return self.manifest().assets
        except InputError:
            marks = reading.read_marks(self.journal, last=1)
            record = marks[0]["risk"] if marks else None
            return None if record is None else tuple(record["assets"])

    def standing(self) -> Standing:
        """See `Standing`."""
        halts = reading.read_halts(self.journal)
        halt = halts[-1] if halts and halts[-1]["is_halted"] else None
        process = running(self.folder)
        equity = reading.read_equity(self.journal)
        last = reading.read_marks(self.journal, last=1)
        peak = max((value for _, value in equity), default=None)
        closed_at = self._closed_at(equity)
        is_late = closed_at is not None and time.time() - closed_at > STALE_BARS * self.bar_seconds()
        capital = reading.read_meta(self.journal).get("capital")
        return Standing(
            name=self.name,
            state="halted" if halt is not None else "running" if process is not None else "stopped",
            process=process,
            halt=halt,
            capital=None if capital is None else float(capital),
            equity=equity[-1][1] if equity else None,
            change=equity[-1][1] / equity[0][1] - 1 if equity else None,
            drawdown=1 - equity[-1][1] / peak if equity and peak else None,
            peak=peak,
            cash=float(last[0]["cash"]) if last else None,
            first_bar=equity[0][0] if equity else None,
            last_bar=equity[-1][0] if equity else None,
            closed_at=closed_at,
            written_at=max(path.stat().st_mtime for path in self._files()),
            is_stale=process is not None and is_late,
            counts=self.counts(),
            undecided=reading.count_undecided(self.journal),
            stops=stops_in_force(last[0]["risk"]) if last else [],
        )

    def _files(self) -> list[pathlib.Path]:
        ahead = self.journal.with_name(f"{JOURNAL_NAME}-wal")
        # An empty one may be a reader's.
        return [self.journal, *([ahead] if ahead.exists() and ahead.stat().st_size else [])]

    def counts(self) -> Counter[str]:
        """How many orders are in each state."""
        return reading.count_orders(self.journal)

    def last_bar(self) -> int | None:
        """Opening of the last bar that was marked."""
        marks = reading.read_marks(self.journal, last=1)
        return marks[0]["bar"] if marks else None

    def bar_seconds(self) -> int:
        """Of the artifact's bars, or the least distance of two marks. Raises InputError where nothing tells."""
        try:
            return self.manifest().bar_seconds
        except InputError:
            lengths = np.diff([bar for bar, _ in reading.read_equity(self.journal)])
            if len(lengths) == 0:
                raise
            return int(lengths.min())

    def _closed_at(self, equity: list[tuple[int, float]]) -> float | None:
        """When the last marked bar closed, where the trader's time is this machine's."""
        try:
            broker = self.config().broker
            is_real = not isinstance(broker, LocalBrokerConfig) or broker.clock == "real"
            return equity[-1][0] + self.bar_seconds() if equity and is_real else None
        except InputError:
            return None

    def positions(self) -> list[Position]:
        """At the last mark, with the weights that were decided there or last before."""
        marks, decided = reading.read_marks(self.journal, last=1), self._decided()
        assets = self.assets()
        if not marks:
            return []
        mark, equity = marks[0], marks[0]["equity"]
        held = {asset: float(quantity) for asset, quantity in mark["positions"].items()}
        columns = {asset: column for column, asset in enumerate(assets or ())}
        closes: dict[str, float] = {}
        targets: dict[str, float] = {}
        if decided is not None and assets is not None:
            targets = dict(zip(assets, decided["targets"], strict=True))
            if decided["bar"] == mark["bar"]:
                closes = dict(zip(assets, decided["closes"], strict=True))
        if mark["risk"] is not None:
            closes = dict(zip(mark["risk"]["assets"], mark["risk"]["close"], strict=True))
        rows = []
        for asset in sorted(held.keys() | columns.keys(), key=lambda name: (columns.get(name, len(columns)), name)):
            quantity, close = held.get(asset, 0.0), closes.get(asset)
            value = None if close is None else quantity * close
            weight = None if value is None or equity <= 0 else value / equity
            rows.append(Position(asset, quantity, close, value, weight, targets.get(asset)))
        cash = float(mark["cash"])
        kept = 1 - sum(targets.values()) if targets else None
        return [*rows, Position("cash", None, None, cash, cash / equity if equity > 0 else None, kept)]

    def _decided(self) -> dict[str, Any] | None:
        """The last decision that was one."""
        for decision in reversed(reading.read_decisions(self.journal, last=NEWEST_BARS)):
            if decision["phase"] != "none":
                return decision
        return None

    def distances(self) -> list[Distance] | None:
        """To the limits of the risk rules at the last mark; None without rules, or before the first mark."""
        marks, limits = reading.read_marks(self.journal, last=1), self.config().risk
        if not marks or limits is None or marks[0]["risk"] is None:
            return None
        record = marks[0]["risk"]
        state = state_of(record)
        seen = Marks(state.holdings, state.close, np.float64(marks[0]["equity"]), state.day)
        decided = self._decided()
        closes = dict(zip(record["assets"], record["close"], strict=True))
        planned = [] if decided is None else [one for one in self.orders(None) if one["bar"] == decided["bar"]]
        order = max((float(one["quantity"]) * closes.get(one["asset"], 0.0) for one in planned), default=0.0)
        return distances(state, seen, limits.limits, record["assets"], order)

    def orders(self, states: tuple[str, ...] | None) -> list[dict[str, Any]]:
        """The last NEWEST_ORDERS in these states (None: any), the newest first, with `value`, before fees."""
        rows = reading.read_orders(self.journal, last=NEWEST_ORDERS, states=states)
        for row in rows:
            filled = row["filled_price"] is not None
            row["value"] = float(row["filled_quantity"]) * float(row["filled_price"]) if filled else None
        return rows[::-1]

    def undecided(self) -> list[dict[str, Any]]:
        """The last bars without a decision, the newest first."""
        return reading.read_decisions(self.journal, last=NEWEST_BARS, undecided=True)[::-1]

    def halts(self) -> list[dict[str, Any]]:
        """Every time that the kill switch was thrown or released, the newest first."""
        return reading.read_halts(self.journal)[::-1]

    def adjustments(self) -> list[dict[str, Any]]:
        """Differences that were taken over from the venue, the newest first."""
        return reading.read_adjustments(self.journal)[::-1]

    def warnings(self) -> list[Line]:
        """What the log warns of or complains about, the newest first."""
        return newest_warnings(self.folder / LOG_NAME)

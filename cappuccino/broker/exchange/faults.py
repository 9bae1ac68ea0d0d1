"""What goes wrong at the exchange on request: drawn from a hash of seed, request and attempt, or told by a script.

A draw depends on nothing else: not on the order of other requests, not on when a trader was restarted. A request's key is the client
order id where it is about one order, and the exchange's second otherwise; its attempt counts requests of the same kind and key.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from cappuccino.errors import InputError

WIRE: dict[str, str] = {
    "drop_before": "the connection is closed before the request is served",
    "drop_after": "the request is served and the connection closed without an answer",
    "timeout_before": "504, nothing was done",
    "timeout_after": "504, the request was served",
    "busy": "429 with the time of the reset, to all requests until then",
    "html": "500 with a page of HTML, nothing was done",
    "hang": "the request is served, and nothing is answered for hang_s seconds; then the connection is closed",
    "drip": "the request is served and answered a byte at a time, over drip_s seconds",
    "repeat_token": "a page of bars whose token leads to the same page again",
}
"""Faults of an answer."""

ORDER: dict[str, str] = {
    "stale": "for stale_s the order is not shown, and account and positions are those of before",
    "partial": "a part fills at once, the rest after rest_s",
    "rest": "a market order fills after rest_s",
    "stick": "a market order does not fill, and its cancellation takes stick_s",
    "reject": "the order is accepted, and rejected after rest_s",
    "race": "a market order rests until its cancellation is asked for, and then fills",
}
"""Faults of an order, by its client order id."""

DATA: dict[str, str] = {
    "late_bar": "a bar is served late_s after its close only",
    "missing_bar": "a bar is never served",
    "restated_bar": "a bar is served with another close until restated_s after its close",
    "absurd_bar": "a bar's close is half as much again when it is first served",
    "idle_bar": "a bar is served without volume",
    "halted_asset": "an asset is not tradable for an hour",
    "coarse_asset": "an asset's increment is a thousand times as large for a day",
}
"""Faults of an asset at a time."""

HOUR_S, DAY_S = 3600, 86_400
_LENGTHS: dict[str, int] = {fault: {"halted_asset": HOUR_S, "coarse_asset": DAY_S}.get(fault, 1) for fault in DATA}

REQUESTS = ("submit", "order", "orders", "cancel", "account", "positions", "assets", "clock", "bars", "quotes", "other")


@dataclasses.dataclass(frozen=True)
class FaultsConfig:
    """rates: by fault, the probability of each request, order, or asset and bar; all others never.

    script: faults to come as told, tried in order before the rates. Of a request or an order: a mapping with `fault` and, all
    optional, `request`, `side`, `asset`, `times` (how often, 1 otherwise). Of an asset at a time: with `fault`, `asset` and `at`,
    Unix seconds or an ISO time (UTC): a bar's opening, or any second of the hour or the day.
    Seconds are the exchange's, but for hang_s and drip_s, which are real.
    skew_s: how far the exchange's clock, where it is asked for, is ahead. page: bars that a page holds at most; 0 for as many as
    were asked for.
    """

    seed: int = 0
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    script: Sequence[Mapping[str, Any]] = ()
    stale_s: float | int = 5.0
    rest_s: float | int = 20.0
    stick_s: float | int = 120.0
    late_s: float | int = 60.0
    restated_s: float | int = 1800.0
    busy_s: float | int = 5.0
    hang_s: float | int = 15.0
    drip_s: float | int = 15.0
    skew_s: float | int = 0.0
    page: int = 0

    def __post_init__(self) -> None:
        known = {**WIRE, **ORDER, **DATA}
        for fault, rate in self.rates.items():
            if fault not in known:
                raise InputError(f"faults.rates has {fault!r}; faults are {', '.join(known)}")
            if not 0 <= rate <= 1:
                raise InputError(f"faults.rates.{fault} is {rate}; a probability is right")
        for kinds in (WIRE, ORDER, DATA):
            total = sum(rate for fault, rate in self.rates.items() if fault in kinds)
            if total > 1:
                raise InputError(f"the rates of {', '.join(kinds)} add up to {total:g}; at most 1 is right")
        for entry in self.script:
            if entry.get("fault") in DATA:
                if entry.keys() != {"fault", "asset", "at"}:
                    raise InputError(f"faults.script has {dict(entry)}; {entry['fault']} takes asset and at")
                _seconds(entry["at"])
                continue
            times = entry.get("times", 1)
            if not isinstance(times, int) or times < 1:
                raise InputError(f"faults.script has times {times!r}; a whole number from 1 on is right")
            if entry.get("fault") in ORDER and entry.get("request", "submit") != "submit":
                raise InputError(f"faults.script has {entry['fault']} of request {entry['request']!r}; it happens to a submit")
            if entry.get("fault") not in {**WIRE, **ORDER} or not entry.keys() <= {
                "fault",
                "request",
                "side",
                "asset",
                "times",
            }:
                raise InputError(f"faults.script has {dict(entry)}; it takes fault, request, side, asset and times")
            if entry.get("request", "submit") not in REQUESTS:
                raise InputError(f"faults.script has request {entry['request']!r}; requests are {', '.join(REQUESTS)}")
        for name in ("stale_s", "rest_s", "stick_s", "late_s", "restated_s", "busy_s", "hang_s", "drip_s", "page"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"faults.{name} is {getattr(self, name)}; a finite number from 0 on is right")


def _seconds(at: Any) -> int:
    """Unix seconds of `at`, given as such or as an ISO time (UTC)."""
    try:
        return int(np.datetime64(at, "s").astype(np.int64))
    except (TypeError, ValueError):
        raise InputError(f"faults.script has at {at!r}; Unix seconds or an ISO time is right") from None


class Asked(NamedTuple):
    """A request: its kind (REQUESTS), its key, and what it says of an order, where it is one."""

    request: str
    key: str
    side: str | None = None
    asset: str | None = None


class FaultPlan:
    """Draws faults and counts them."""

    def __init__(self, config: FaultsConfig) -> None:
        self.counts: Counter[str] = Counter()
        self.become(config)

    def become(self, config: FaultsConfig) -> None:
        """From now on these faults; what was counted stays counted."""
        self.config, self.busy_until = config, 0.0
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._is_faulty = bool(config.script) or any(rate > 0 for rate in config.rates.values())
        self._left = [int(entry.get("times", 1)) for entry in config.script]

    def of_request(self, asked: Asked, now: float | int) -> str | None:
        """The fault of this answer; None for none. Every call is an attempt, but for those while the exchange is busy."""
        if now < self.busy_until:
            return self._counted("busy")
        if not self._is_faulty:
            return None
        self._attempts[asked.request, asked.key] += 1
        attempt = self._attempts[asked.request, asked.key]
        fault = self._scripted(asked, WIRE) or self._drawn(WIRE, asked.request, asked.key, str(attempt))
        if fault == "busy":
            self.busy_until = now + self.config.busy_s
        return self._counted(None if fault == "repeat_token" and asked.request != "bars" else fault)

    def of_order(self, asked: Asked) -> str | None:
        """What will become of an order if it is accepted; `accepted` then counts it."""
        number = self._entry(asked, ORDER)
        return self._drawn(ORDER, "fate", asked.key) if number is None else str(self.config.script[number]["fault"])

    def accepted(self, asked: Asked) -> None:
        """The order of `of_order` was accepted, and its fate takes its course."""
        self._counted(self._scripted(asked, ORDER) or self._drawn(ORDER, "fate", asked.key))

    def of_bar(self, asset: str, opening: int) -> str | None:
        """What is wrong with a bar."""
        fault = self._told(asset, opening, 1) or self._drawn(DATA, "bar", asset, str(opening))
        return fault if fault is not None and fault.endswith("_bar") else None

    def is_first(self, asset: str, opening: int) -> bool:
        """Whether a bar is served for the first time. Every call is a serving."""
        self._attempts["served", f"{asset} {opening}"] += 1
        return self._attempts["served", f"{asset} {opening}"] == 1

    def is_halted(self, asset: str, now: float) -> bool:
        """Whether an asset is not tradable in this hour."""
        is_drawn = self._drawn({"halted_asset": ""}, "halted", asset, str(int(now // HOUR_S))) is not None
        return is_drawn or self._told(asset, now, HOUR_S) == "halted_asset"

    def increment(self, asset: str, now: float, usual: Decimal) -> Decimal:
        """An asset's increment on this day."""
        is_drawn = self._drawn({"coarse_asset": ""}, "coarse", asset, str(int(now // DAY_S))) is not None
        return usual * 1000 if is_drawn or self._told(asset, now, DAY_S) == "coarse_asset" else usual

    def count(self, fault: str) -> None:
        """Count a fault that was drawn elsewhere, as it shows."""
        self.counts[fault] += 1

    def _counted(self, fault: str | None) -> str | None:
        if fault is not None:
            self.counts[fault] += 1
        return fault

    def _scripted(self, asked: Asked, kinds: Mapping[str, str]) -> str | None:
        number = self._entry(asked, kinds)
        if number is None:
            return None
        self._left[number] -= 1
        return str(self.config.script[number]["fault"])

    def _entry(self, asked: Asked, kinds: Mapping[str, str]) -> int | None:
        """The first entry of the script that fits and is not used up."""
        for number, entry in enumerate(self.config.script):
            fits = all(entry.get(name, getattr(asked, name)) == getattr(asked, name) for name in ("request", "side", "asset"))
            fits = fits and (entry["fault"] != "repeat_token" or asked.request == "bars")
            if self._left[number] > 0 and fits and entry["fault"] in kinds:
                return number
        return None

    def _told(self, asset: str, at: float, length: int) -> str | None:
        """The script's fault of an asset, of those that hold for `length` seconds."""
        for entry in self.config.script:
            fault = str(entry["fault"])
            if _LENGTHS.get(fault) == length and entry["asset"] == asset and _seconds(entry["at"]) // length == at // length:
                return fault
        return None

    def _drawn(self, kinds: Mapping[str, str], *words: str) -> str | None:
        rates = {fault: rate for fault, rate in self.config.rates.items() if fault in kinds and rate > 0}
        if not rates:
            return None
        digest = hashlib.sha256("\n".join((str(self.config.seed), *words)).encode()).digest()
        at = int.from_bytes(digest[:8], "big") / 2**64
        for fault in sorted(rates):
            at -= rates[fault]
            if at < 0:
                return fault
        return None

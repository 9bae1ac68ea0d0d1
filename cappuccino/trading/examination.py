"""What would keep a trader from trading: one function a check, each with what to do. Nothing is changed and no order is sent."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple

import numpy as np

from cappuccino.artifact.manifest import Manifest
from cappuccino.artifact.runtime import Artifact, load_artifact
from cappuccino.broker.protocol import Broker, BrokerUnavailable
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet
from cappuccino.trading.folder import JOURNAL_NAME, running
from cappuccino.trading.journal import SCHEMA_VERSION
from cappuccino.trading.latch import HALT_FILE
from cappuccino.trading.timing import Timing

SKEW_S = 2.0
"""Seconds that this machine's clock may be off the venue's without a word."""

Grade = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """What one check found; `text` says what to do unless all is well."""

    check: str
    grade: Grade
    text: str


def examine_artifact(path: str) -> tuple[Finding, Artifact | None]:
    """Whether it loads with the right checksums, and decides within its limits on windows from its training range."""
    try:
        artifact = load_artifact(path)
        manifest = artifact.manifest
        warmup = FeatureSet(manifest.features, manifest.bar_seconds).warmup
        if warmup != manifest.warmup:
            raise InputError(f"its features had a warm-up of {manifest.warmup} bars, here they take {warmup}: export it again")
        low, high = np.array(manifest.training_range.low), np.array(manifest.training_range.high)
        A = len(manifest.assets)
        for share in (0.0, 0.5, 1.0):
            row = low + share * (high - low)
            window = np.broadcast_to(row, (manifest.lookback, A, len(manifest.features)))
            for weights in (np.zeros(A), np.full(A, 1.0 / A)):
                artifact.decide(window, weights)
    except InputError as error:
        return Finding("artifact", "problem", f"{error}"), None
    return Finding("artifact", "ok", f"{artifact.checksum[:12]}, {', '.join(manifest.assets)}, decides within limits"), artifact


def examine_venue(
    broker: Broker, now: Callable[[], float], capital: float, manifest: Manifest | None, ours: Collection[str]
) -> Iterator[Finding]:
    """Keys, clock, account and bars, in this order, until one is not answered. ours: ids of orders in the trader's journal."""
    try:
        account = broker.account()
    except BrokerUnavailable as error:
        if error.status in (401, 403):
            text = f"not taken ({error}): a key of the paper service goes with broker=alpaca; make new ones where it was reset"
            yield Finding("keys", "problem", text)
        else:
            yield Finding("venue", "problem", f"no answer to a look at the account ({error}); is it up, and broker.url right?")
        return
    yield Finding("keys", "ok", f"taken, account {account.id}")
    try:
        yield _clock(now(), broker.clock(), manifest)
        if account.blocked:
            text = f"may not trade: {', '.join(account.blocked)}; mend that with the venue first"
            yield Finding("account", "problem", text)
        elif float(account.equity) < capital:
            text = f"is worth {account.equity:,.2f}, trade.capital is {capital:,.2f}: lower it or fund the account"
            yield Finding("account", "problem", text)
        else:
            money = f"equity {account.equity:,.2f}, buying power {account.buying_power:,.2f}"
            yield Finding("account", "ok", money)
        yield _foreign(broker, ours)
        if manifest is not None:
            yield _assets(broker, manifest)
            yield _bars(broker, now(), manifest)
    except BrokerUnavailable as error:
        yield Finding("venue", "problem", f"an answer failed to come ({error}); try again, and look at the venue's status page")


def _clock(ours: float, venues: float, manifest: Manifest | None) -> Finding:
    most = Timing.for_bars(3600 if manifest is None else manifest.bar_seconds).late
    skew = ours - venues
    grade: Grade = "ok" if abs(skew) <= SKEW_S else "warning" if abs(skew) <= most else "problem"
    advice = "" if grade == "ok" else "; set this machine's clock right, by NTP"
    return Finding("clock", grade, f"{skew:+.1f} s off the venue's{advice}")


def _foreign(broker: Broker, ours: Collection[str]) -> Finding:
    held = [f"{position.quantity} {position.asset}" for position in broker.positions().values()]
    strange = [order for order in broker.open_orders() if order.client_order_id not in ours]
    orders = [f"{order.side} {order.asset} ({order.client_order_id})" for order in strange]
    found = [f"positions {', '.join(held)}"] * bool(held) + [f"open orders {', '.join(orders)}"] * bool(orders)
    if orders or (held and not ours):
        return Finding(
            "holdings", "warning", f"{'; '.join(found)}: not this trader's; trade.foreign says what is done about them"
        )
    return Finding("holdings", "ok", "; ".join(found) or "none")


def _assets(broker: Broker, manifest: Manifest) -> Finding:
    listed = broker.assets(manifest.assets)
    missing = [asset for asset in manifest.assets if asset not in listed]
    halted = [asset for asset in manifest.assets if asset in listed and not listed[asset].tradable]
    if missing:
        return Finding("assets", "problem", f"the venue does not list {', '.join(missing)}: export an artifact without them")
    if halted:
        return Finding("assets", "warning", f"{', '.join(halted)} cannot be traded now: nothing is ordered of them")
    return Finding("assets", "ok", "all are listed and can be traded")


def _bars(broker: Broker, now: float, manifest: Manifest) -> Finding:
    length, wanted = manifest.bar_seconds, manifest.warmup + manifest.lookback
    running_bar = int(now // length) * length
    found = broker.bars(manifest.assets, running_bar - wanted * length, running_bar, bar_seconds=length)
    last = {asset: int(bars.timestamps[-1]) if len(bars.timestamps) else None for asset, bars in found.items()}
    none = [asset for asset in manifest.assets if last.get(asset) is None]
    if none:
        return Finding("bars", "problem", f"the venue has none of {', '.join(none)} in the last {wanted} bars")
    old = [asset for asset, stamp in last.items() if stamp is not None and stamp < running_bar - 2 * length]
    if old:
        return Finding("bars", "problem", f"the last one of {', '.join(old)} is more than two bars old: nothing can be decided")
    counts = {asset: len(bars.timestamps) for asset, bars in found.items()}
    short = {asset: count for asset, count in counts.items() if count < wanted}
    if short:
        list_ = ", ".join(f"{asset} {count}" for asset, count in short.items())
        return Finding(
            "bars", "warning", f"{wanted} are wanted for warm-up and look-back, there are of {list_}: holes are filled"
        )
    return Finding("bars", "ok", f"the last {wanted} of all assets are there")


def examine_folder(folder: pathlib.Path) -> tuple[Finding, frozenset[str]]:
    """Whether a trader runs there, is halted, and its journal can be read; the ids of the journal's orders."""
    journal = folder / JOURNAL_NAME
    if not journal.exists():
        return Finding("folder", "ok", f"{folder} is new"), frozenset()
    try:
        with contextlib.closing(sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if version != SCHEMA_VERSION:
                text = f"{journal} has schema {version}, this version reads {SCHEMA_VERSION}: use another trade.name"
                return Finding("folder", "problem", text), frozenset()
            if state != "ok":
                raise sqlite3.DatabaseError(state)
            ids = frozenset(name for (name,) in db.execute("SELECT client_order_id FROM orders"))
            halt = db.execute("SELECT is_halted, reason FROM halts ORDER BY rowid DESC LIMIT 1").fetchone()
    except sqlite3.DatabaseError as error:
        text = f"{journal} cannot be read ({error}): put a backup in its place, or use another trade.name"
        return Finding("folder", "problem", text), frozenset()
    if (folder / HALT_FILE).exists() or (halt is not None and halt[0]):
        reason = "" if halt is None or not halt[0] else f" ({halt[1]})"
        return Finding("folder", "problem", f"the kill switch is thrown{reason}: `cappuccino trade resume` releases it"), ids
    process = running(folder)
    if process is not None:
        return Finding("folder", "warning", f"process {process} trades there: no second one can be started"), ids
    return Finding("folder", "ok", f"{folder}, {len(ids)} orders in its journal"), ids


def examine_disk(folder: pathlib.Path, least_mb: float) -> Finding:
    """Free space where the folder is, or will be."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free / 1e6
    if free < least_mb:
        text = (
            f"{free:,.0f} MB free, less than watch.disk_mb, {least_mb:,.0f}: without space nothing can be journaled or ordered"
        )
        return Finding("disk", "warning" if free >= least_mb / 10 else "problem", text)
    return Finding("disk", "ok", f"{free:,.0f} MB free")

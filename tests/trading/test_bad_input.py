"""Bad input, eight of each kind and more: what the trader says, how it ends, and that it orders nothing on it.

Each row names what is wrong, the outcome, and words of the message. Outcomes: `refused` and `input` end the trader (exit codes 3 and 2);
`none` leaves every bar without a decision, with the message as the journaled reason.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import json
import math
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from altered import Alter, serving_altered
from loopback import walk
from trading_scenarios import manifest_of, trader, venue_of

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.errors import InputError, Refusal
from cappuccino.risk import Limits
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.timing import Timing

ROWS, START = 420, 300
TABLE = walk(ROWS)
HASTY = dataclasses.replace(Timing.for_bars(3600), patience=5.0, late=10.0, start=10.0)
"""What does not answer is not asked for minutes."""


def outcome_of(folder: pathlib.Path, path: str, alter: Alter) -> tuple[str, str, int]:
    """How two bars end with altered answers: the outcome, what was said, and the number of orders at the venue."""
    venue = venue_of(TABLE, START)
    with serving_altered(venue, path, alter) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url, sleep=lambda _: None)
        try:
            trader(
                url, folder, manifest_of(TABLE), broker=broker, bars=2, timing=HASTY, allow_outside=manifest_of(TABLE).features
            ).run()
        except Refusal as refusal:
            return "refused", str(refusal), len(venue.ledger.orders)
        except InputError as error:
            return "input", str(error), len(venue.ledger.orders)
    decisions = read_decisions(folder / "journal.sqlite")
    reasons = [str(decision["reason"]) for decision in decisions]
    phases = {decision["phase"] for decision in decisions}
    return "/".join(sorted(phases)), "; ".join(reasons), len(venue.ledger.orders)


def last_bar(change: Callable[[dict[str, Any]], Any]) -> Alter:
    """Alter the last bar of BTC on every page that has one; what is returned takes its place, None leaves the changed one."""

    def alter(page: Any) -> Any:
        page = copy.deepcopy(page)
        bars = page["bars"].get("BTC/USD") or []
        if bars:
            made = change(bars[-1])
            bars[-1:] = [bars[-1]] if made is None else made
        return page

    return alter


def setting(**values: Any) -> Alter:
    return last_bar(lambda bar: bar.update(values))


def without(name: str) -> Alter:
    return last_bar(lambda bar: bar.pop(name) and None)


def renamed(page: Any) -> Any:
    return {**page, "bars": {name.replace("BTC", "DOGE"): bars for name, bars in page["bars"].items()}}


BARS: dict[str, tuple[Alter, str, str]] = {
    "a close below zero": (setting(c=-1.0), "none", "close"),
    "a close of zero": (setting(c=0.0), "none", "close"),
    "a close that is not a number": (setting(c=float("nan")), "none", ""),
    "an infinite high": (setting(h=float("inf")), "none", ""),
    "a word for a price": (setting(o="cheap"), "none", "did not answer"),
    "no close": (without("c"), "none", "did not answer"),
    "no time": (without("t"), "none", "did not answer"),
    "a high below the low": (last_bar(lambda bar: bar.update(h=bar["l"] / 2)), "none", "high"),
    "a negative volume": (setting(v=-5.0), "none", "volume"),
    "the same bar twice": (last_bar(lambda bar: [bar, bar]), "none", "order of time"),
    "a time between two bars": (
        last_bar(lambda bar: bar.update(t=bar["t"].replace(":00:00", ":17:00"))),
        "none",
        "",
    ),
    "another asset's bars": (renamed, "none", "not asked for"),
    "no list of bars": (lambda page: {**page, "bars": 7}, "none", "did not answer"),
    "half a page": (lambda page: json.dumps(page).encode()[:200], "none", "did not answer"),
    "nothing at all": (lambda _: b"", "none", "did not answer"),
}


@pytest.mark.parametrize("what", BARS)
def test_bad_bars(what: str, tmp_path: pathlib.Path) -> None:
    alter, expected, words = BARS[what]
    outcome, said, orders = outcome_of(tmp_path, "/v1beta3/crypto/us/bars", alter)
    assert (outcome, orders) == (expected, 0), said
    assert words in said
    assert said not in ("", "None")


IMPOSSIBLE = ("a close below zero", "a close of zero", "a high below the low", "a negative volume")


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_bar_moves_nothing_that_is_held_and_is_forgotten_afterwards(what: str, tmp_path: pathlib.Path) -> None:
    """No mark, no rule and no order comes of it, though a rule would sell all; the bars behind it are decided on again."""
    bars, bad = 10, f"{datetime.datetime.fromtimestamp(int(TABLE.timestamps[START + 5]), datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"
    alter = BARS[what][0]

    def at_one(page: Any) -> Any:
        stamps = [bar["t"] for bar in page["bars"].get("BTC/USD") or []]
        if bad not in stamps:
            return page
        count = stamps.index(bad) + 1
        made = alter({**page, "bars": {**page["bars"], "BTC/USD": page["bars"]["BTC/USD"][:count]}})
        return {**page, "bars": {**made["bars"], "BTC/USD": [*made["bars"]["BTC/USD"], *page["bars"]["BTC/USD"][count:]]}}

    limits = Limits(*[math.inf] * 2, 0.0, *[math.inf] * 4, 1, math.inf, 0.15)
    settings = {"allow_outside": manifest_of(TABLE).features, "limits": limits}
    with serving_altered(venue_of(TABLE, START), "/v1beta3/crypto/us/bars", at_one) as url:
        for number in (5, bars - 5):
            trader(url, tmp_path, manifest_of(TABLE), bars=number, **settings).run()
    journal = tmp_path / "journal.sqlite"
    decisions, marks = read_decisions(journal), read_marks(journal)
    at = int(TABLE.timestamps[START + 5])
    assert [one["bar"] for one in decisions if one["reason"] is not None] == [at]
    assert decisions[5]["notes"]["impossible"] == [f"BTC {at}"]
    assert [mark["bar"] for mark in marks] == [one["bar"] for one in decisions if one["bar"] != at]
    assert not any(mark["risk"]["is_stopped"] for mark in marks)
    assert not [order for order in read_orders(journal) if order["bar"] == at]


def first(**values: Any) -> Alter:
    """Of a list, with an entry more that has these values."""
    position = {"symbol": "BTCUSD", "asset_class": "crypto", "qty": "1", "qty_available": "1", "avg_entry_price": "1"}
    return lambda rows: [*rows, {**position, **values}]


ANSWERS: dict[str, tuple[str, Alter, str, str]] = {
    "cash in words": ("/v2/account", lambda raw: {**raw, "cash": "plenty"}, "refused", "not a number: 'plenty'"),
    "cash that is not a number": ("/v2/account", lambda raw: {**raw, "cash": "NaN"}, "refused", ""),
    "no cash": ("/v2/account", lambda raw: {k: v for k, v in raw.items() if k != "cash"}, "refused", "not a number: None"),
    "a list for the account": ("/v2/account", lambda raw: [raw], "refused", ""),
    "a page of HTML with status 200": ("/v2/account", lambda _: b"<html>welcome</html>", "refused", ""),
    "half an account": ("/v2/account", lambda raw: json.dumps(raw).encode()[:80], "refused", ""),
    "a blocked account": ("/v2/account", lambda raw: {**raw, "trading_blocked": True}, "refused", "may not trade"),
    "less cash than capital": ("/v2/account", lambda raw: {**raw, "cash": "10"}, "refused", "is worth 10"),
    "a position in words": ("/v2/positions", first(qty="some"), "refused", ""),
    "a position that is not a number": ("/v2/positions", first(qty="NaN"), "refused", ""),
    "positions that are no list": ("/v2/positions", lambda _: {"message": "busy"}, "refused", ""),
    "a position that nobody bought": ("/v2/positions", first(), "refused", "holds 1 BTC"),
    "open orders that are no list": ("/v2/orders", lambda _: {"orders": []}, "refused", ""),
    "an order without a state": ("/v2/orders", lambda _: [{"id": "1", "client_order_id": "x"}], "refused", ""),
    "an asset without its increment": (
        "/v2/assets",
        lambda rows: [{k: v for k, v in row.items() if k != "min_trade_increment"} for row in rows],
        "refused",
        "",
    ),
    "assets that it does not list": ("/v2/assets", lambda _: [], "refused", "does not list"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_bad_answers(what: str, tmp_path: pathlib.Path) -> None:
    path, alter, expected, words = ANSWERS[what]
    outcome, said, orders = outcome_of(tmp_path, path, alter)
    assert (outcome, orders) == (expected, 0), said
    assert words in said
    assert said


CLOCKS: dict[str, tuple[Alter, str]] = {
    "an hour ahead": (lambda raw: {**raw, "timestamp": "2023-11-28T11:13:20Z"}, "clock is"),
    "years behind": (lambda raw: {**raw, "timestamp": "1999-01-01T00:00:00Z"}, "clock is"),
    "years ahead": (lambda raw: {**raw, "timestamp": "2999-01-01T00:00:00Z"}, "clock is"),
    "words": (lambda raw: {**raw, "timestamp": "tea time"}, ""),
    "no zone": (lambda raw: {**raw, "timestamp": "2023-11-28T00:00:00"}, ""),
    "a number": (lambda raw: {**raw, "timestamp": 12}, ""),
    "none": (lambda _: {}, ""),
    "the 31st of February": (lambda raw: {**raw, "timestamp": "2023-02-31T00:00:00Z"}, ""),
    "half an answer": (lambda raw: json.dumps(raw).encode()[:10], ""),
}


@pytest.mark.parametrize("what", CLOCKS)
def test_bad_clocks(what: str, tmp_path: pathlib.Path) -> None:
    alter, words = CLOCKS[what]
    outcome, said, orders = outcome_of(tmp_path, "/v2/clock", alter)
    assert (outcome, orders) == ("refused", 0), said
    assert words in said


def spoil(sql: str) -> Callable[[pathlib.Path], None]:
    def change(path: pathlib.Path) -> None:
        with sqlite3.connect(path) as db:
            db.executescript(sql)
        db.close()

    return change


def cut(path: pathlib.Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def as_folder(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


DATABASES: dict[str, tuple[Callable[[pathlib.Path], Any], str]] = {
    "not a database": (lambda path: path.write_text("order 1: buy all\n" * 100), "not a journal"),
    "half a database": (cut, "journal"),
    "a folder": (as_folder, "not a journal"),
    "another version's": (spoil("PRAGMA user_version=99"), "schema 99"),
    "another artifact's": (spoil("UPDATE meta SET value = 'x' WHERE key = 'artifact'"), "began with artifact x"),
    "another account's": (spoil("UPDATE meta SET value = 'x' WHERE key = 'account'"), "began with account x"),
    "another capital's": (spoil("UPDATE meta SET value = '1' WHERE key = 'capital'"), "began with capital 1"),
    "no table of orders": (spoil("DROP TABLE orders"), "has no table orders"),
    "holdings that the venue does not have": (
        spoil("UPDATE anchor SET own = json_set(own, '$.BTC', '77')"),
        "not what the journal explains",
    ),
}


@pytest.mark.parametrize("what", DATABASES)
def test_bad_databases(what: str, tmp_path: pathlib.Path) -> None:
    change, words = DATABASES[what]
    manifest = manifest_of(TABLE)
    venue = venue_of(TABLE, START)
    with serving_altered(venue, "/nowhere", lambda raw: raw) as url:
        trader(url, tmp_path, manifest, bars=2, allow_outside=manifest.features).run()
        for end in ("-wal", "-shm"):
            (tmp_path / f"journal.sqlite{end}").unlink(missing_ok=True)
        before = len(venue.ledger.orders)
        assert before > 0
        change(tmp_path / "journal.sqlite")
        with pytest.raises((Refusal, InputError)) as caught:
            trader(url, tmp_path, manifest, bars=2, allow_outside=manifest.features).run()
        assert words in str(caught.value)
        assert len(venue.ledger.orders) == before

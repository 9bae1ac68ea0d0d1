"""The store: what is appended is read, in any number of steps; nothing half-written is ever seen; damage is noticed."""

from __future__ import annotations

import json
import multiprocessing
import os
import pathlib
from multiprocessing.synchronize import Event

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars import Origin
from cappuccino.bars import store as store_module
from cappuccino.bars.frames import COLUMNS
from cappuccino.bars.store import MANIFEST, BarStore, describe
from cappuccino.errors import InputError

ORIGIN = Origin("alpaca", "alpaca", "USD")
HOUR = 3600


def frame_of(hours: list[int], version: int = 0) -> pd.DataFrame:
    prices = 100.0 + np.array(hours, dtype=float) + version
    values = {"open": prices, "high": prices + 1, "low": prices - 1, "close": prices, "volume": prices % 7}
    return pd.DataFrame({"timestamp": np.array(hours, dtype=np.int64) * HOUR, **values})


def append(store: BarStore, **frames: pd.DataFrame) -> dict:
    return store.append(frames, bar_seconds=HOUR, origin=ORIGIN, start=0)


steps = st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=1, max_size=4)


@given(steps=steps)
@settings(deadline=None, max_examples=25)
def test_appending_in_steps_equals_a_dictionary_in_which_the_newest_wins(
    steps: list[set[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = BarStore(tmp_path_factory.mktemp("store") / "bars")
    expected: dict[int, float] = {}
    changes = 0
    for version, hours in enumerate(steps):
        report = append(store, BTC=frame_of(sorted(hours), version))["BTC"]
        assert report.added == len(hours - set(expected))
        assert sorted(report.restated) == sorted(HOUR * h for h in hours & set(expected))
        assert report.unchanged == 0
        changes += len(report.restated)
        expected.update({hour: 100.0 + hour + version for hour in hours})
    frame = store.read()["BTC"]
    assert list(frame.columns) == list(COLUMNS)
    assert frame["timestamp"].tolist() == [HOUR * hour for hour in sorted(expected)]
    assert frame["close"].tolist() == [expected[hour] for hour in sorted(expected)]
    assert store.last("BTC") == HOUR * max(expected)
    entry = store.manifest()["assets"]["BTC"]
    assert (entry["bars"], entry["restated"]) == (len(expected), changes)


def test_the_same_bars_again_change_nothing(tmp_path: pathlib.Path) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1, 2, 3]), ETH=frame_of([1, 2]))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    report = append(store, BTC=frame_of([2, 3]))
    assert (report["BTC"].added, report["BTC"].unchanged, report["BTC"].restated) == (0, 2, ())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert "BTC, ETH in USD" in describe(store)


def test_an_empty_folder_has_no_last_bar(tmp_path: pathlib.Path) -> None:
    store = BarStore(tmp_path)
    assert not store.exists()
    assert store.last("BTC") is None
    with pytest.raises(InputError, match=r"is no bar store"):
        store.read()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_append_that_dies_anywhere_leaves_the_store_as_it_was(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1, 2]), ETH=frame_of([1, 2]))
    replace, calls = os.replace, []

    def die(source: str, target: pathlib.Path) -> None:
        calls.append(target)
        if len(calls) > step:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            append(store, BTC=frame_of([3]), ETH=frame_of([3]))
    assert store.last("BTC") == store.last("ETH") == 2 * HOUR
    assert {asset: len(frame) for asset, frame in store.read().items()} == {"BTC": 2, "ETH": 2}
    append(store, BTC=frame_of([3]), ETH=frame_of([3]))
    assert {asset: len(frame) for asset, frame in store.read().items()} == {"BTC": 3, "ETH": 3}
    assert len(list(tmp_path.glob("*.parquet"))) == 2
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".") and file.name != ".lock"]


def test_a_changed_byte_or_a_lost_file_is_noticed(tmp_path: pathlib.Path) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1, 2, 3]), ETH=frame_of([1]))
    file = tmp_path / store.manifest()["assets"]["BTC"]["file"]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"is corrupt: its SHA-256"):
        store.read()
    with pytest.raises(InputError, match=r"is corrupt"):
        append(store, BTC=frame_of([4]))
    assert list(store.read(["ETH"])) == ["ETH"]
    file.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        store.read()
    with pytest.raises(InputError, match="has no SOL; it has BTC, ETH"):
        store.read(["SOL"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"format": "cappuccino-bars-1"', '"format": "other"'),
        ('"bar_seconds": 3600', '"bar_seconds": "an hour"'),
        ('"file": "', '"file": "../'),
        ('"sha256"', '"md5"'),
        ("{", "["),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(tmp_path: pathlib.Path, old: str, new: str) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1]))
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=MANIFEST):
        store.read()


def test_bars_of_another_kind_are_refused(tmp_path: pathlib.Path) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1]))
    with pytest.raises(InputError, match="bars of bar_seconds 3600, not 1800"):
        store.append({"BTC": frame_of([2])}, bar_seconds=1800, origin=ORIGIN, start=0)
    with pytest.raises(InputError, match="bars of venue alpaca, not kraken"):
        store.append({"BTC": frame_of([2])}, bar_seconds=HOUR, origin=Origin("alpaca", "kraken", "USD"), start=0)
    with pytest.raises(InputError, match="earlier than the one before"):
        append(store, BTC=frame_of([3, 2]))
    with pytest.raises(InputError, match="cannot name a file"):
        append(store, **{"../BTC": frame_of([2])})
    assert json.loads((tmp_path / MANIFEST).read_text())["assets"]["BTC"]["bars"] == 1


def test_a_file_in_the_way_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "bars").write_text("not a folder")
    with pytest.raises(InputError, match="cannot be written"):
        append(BarStore(tmp_path / "bars"), BTC=frame_of([1]))


def _hold(store: BarStore, held: Event, done: Event) -> None:
    with store._alone():
        held.set()
        done.wait(30)


def test_a_second_writer_is_turned_away(tmp_path: pathlib.Path) -> None:
    store = BarStore(tmp_path)
    append(store, BTC=frame_of([1]))
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(store, held, done))
    process.start()
    try:
        assert held.wait(60)
        with pytest.raises(InputError, match="being written by another process"):
            append(store, BTC=frame_of([2]))
        assert store.last("BTC") == HOUR
    finally:
        done.set()
        process.join()
    append(store, BTC=frame_of([2]))

"""Live bars become the same table, and the same features, as the recorded ones."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import ASSETS, HOUR, walk
from trading_scenarios import FEATURES, LOOKBACK

from cappuccino.bars.align import table_from_frames
from cappuccino.bars.table import BarTable, Origin
from cappuccino.broker.protocol import BarArrays, BrokerUnavailable
from cappuccino.errors import InputError
from cappuccino.features.registry import FeatureSet
from cappuccino.trading.bar_store import BarStore, read_bars
from cappuccino.trading.feed import Feed, table_from_grid

FIELDS = ("open", "high", "low", "close", "volume")
ORIGIN = Origin("synthetic", "none", "USD")


def _grid(table: BarTable) -> np.ndarray:
    return np.stack([getattr(table, name) for name in FIELDS])


@settings(max_examples=60)
@given(data=st.data(), rows=st.integers(1, 25), max_hole=st.integers(0, 4))
def test_the_grid_table_is_the_training_table(data: st.DataObject, rows: int, max_hole: int) -> None:
    mask = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=rows, max_size=rows)))
    mask[-1] = True
    full = walk(rows)
    frames = {
        asset: pd.DataFrame({"timestamp": full.timestamps, **{name: getattr(full, name)[:, k] for name in FIELDS}})[mask[:, k]]
        for k, asset in enumerate(ASSETS)
    }
    theirs = table_from_frames(
        {asset: frame.reset_index(drop=True) for asset, frame in frames.items()},
        bar_seconds=HOUR,
        max_hole_bars=max_hole,
        origin=ORIGIN,
    )
    # Before the last asset's first bar there is no common range: the training table does not begin there.
    first = int((full.timestamps == max(frame["timestamp"].iloc[0] for frame in frames.values())).argmax())
    values = np.where(mask, _grid(full), -1.0)
    ours = table_from_grid(full.timestamps[first:], values[:, first:], mask[first:], ASSETS, HOUR, max_hole, ORIGIN)
    assert ours.fingerprint() == theirs.fingerprint()


class Replay:
    """Bars up to a row, from a table that may be changed between two looks; counts the bars it was asked for."""

    def __init__(self, table: BarTable) -> None:
        self.table, self.asked = table, []

    def bars(self, assets: tuple[str, ...], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        self.asked.append((stop - start) // bar_seconds)
        inside = (self.table.timestamps >= start) & (self.table.timestamps < stop)
        return {
            asset: BarArrays(*(column[inside & self.table.mask[:, k]] for column in self._columns(k)))
            for k, asset in enumerate(assets)
        }

    def _columns(self, k: int) -> Iterator[np.ndarray]:
        yield self.table.timestamps
        yield from (getattr(self.table, name)[:, k] for name in FIELDS)


def _feed(replay: Replay, rows: int = 20, store: BarStore | None = None, features: tuple[str, ...] = FEATURES) -> Feed:
    return Feed(
        replay,
        FeatureSet(features, HOUR),
        assets=ASSETS,
        bar_seconds=HOUR,
        lookback=LOOKBACK,
        rows=rows,
        max_hole_bars=3,
        origin=ORIGIN,
        store=store or BarStore(pathlib.Path(":memory:")),
    )


def _wanted(table: BarTable, *rows: int) -> list[int]:
    """Bars that updates at these rows ask for, after one at the first: three, what is new with the last known, and holes that lasted
    in the day before, from their beginnings on."""
    counts = []
    for last, row in itertools.pairwise(rows):
        begin = min(row - 2, last - 1)
        for column in table.mask.T:
            for hole in np.flatnonzero(~column[: last + 1]):
                if hole > last - 24:
                    begin = min(begin, int(np.flatnonzero(column[:hole])[-1]) + 1)
        counts.append(row - begin + 1)
    return counts


@pytest.fixture
def table() -> BarTable:
    return walk(400, missing={230: (1,), 303: (0, 2), 304: (0,), 330: (0, 1, 2), 350: (2,)})


def test_live_windows_equal_the_recorded_ones(table: BarTable) -> None:
    replay = Replay(table)
    feed, features = _feed(replay), FeatureSet(FEATURES, HOUR).compute(table)
    scale = np.nanstd(features, axis=(0, 1))
    for row in range(300, 360):
        feed.update(int(table.timestamps[row]))
        view = feed.view()
        expected = features[row - LOOKBACK + 1 : row + 1]
        assert (np.abs(view.window - expected) / scale).max() < 1e-9
        np.testing.assert_array_equal(feed.prices().closes, table.close[row])
        np.testing.assert_array_equal(feed.prices().tradable, table.mask[row])
    assert replay.asked == [feed.depth, *_wanted(table, *range(300, 360))]
    assert (replay.asked[3], max(replay.asked[1:])) == (3, 26)


def test_live_windows_on_coarser_bars_equal_the_recorded_ones_over_a_restart(table: BarTable, tmp_path: pathlib.Path) -> None:
    names = (*FEATURES, "cci_20@4h", "volatility_6_24@8h", "relative_volume_24@6h")
    features = FeatureSet(names, HOUR)
    recorded = features.compute(table)
    scale = np.nanstd(recorded, axis=(0, 1))
    replay, path = Replay(table), tmp_path / "bars.sqlite"
    for rows in (range(300, 330), range(332, 360)):
        store = BarStore(path)
        feed = _feed(replay, store=store, features=names)
        for row in rows:
            feed.update(int(table.timestamps[row]))
            gap = np.abs(feed.view().window - recorded[row - LOOKBACK + 1 : row + 1]) / scale
            assert gap.max() < 1e-9, row
        store.close()
    assert feed.depth == features.warmup + 20 == 226
    assert replay.asked == [feed.depth, *_wanted(table, *range(300, 330), *range(332, 360))]


def test_a_pause_is_caught_up(table: BarTable) -> None:
    replay = Replay(table)
    feed, fresh = _feed(replay), _feed(Replay(table))
    rows = (300, 301, 310, 395)
    for row in rows:
        feed.update(int(table.timestamps[row]))
    fresh.update(int(table.timestamps[395]))
    assert feed.table().fingerprint() == fresh.table().fingerprint()
    assert replay.asked == [feed.depth, *_wanted(table, *rows)]
    assert replay.asked[-1] == 93


def test_restated_and_late_bars_are_taken_and_told(table: BarTable) -> None:
    replay = Replay(table)
    feed = _feed(replay)
    assert feed.update(int(table.timestamps[303])) == {}
    assert feed.missing() == ("BTC", "LTC")
    close, mask = table.close.copy(), table.mask.copy()
    close[302, 1] = (table.high[302, 1] + table.low[302, 1]) / 2
    mask[303, 2] = True
    replay.table = dataclasses.replace(table, close=close, mask=mask)
    notes = feed.update(int(table.timestamps[304]))
    assert notes == {"restated": [f"ETH {table.timestamps[302]}"], "late": [f"LTC {table.timestamps[303]}"]}
    assert feed.table().close[-3, 1] == close[302, 1]
    assert feed.table().mask[-2].tolist() == [False, True, True]


@settings(max_examples=25)
@given(data=st.data())
def test_a_restart_asks_for_the_same_bars(data: st.DataObject) -> None:
    """Whatever comes late, for whichever assets, at whatever bars it is restarted."""
    whole = walk(420)
    delay = np.zeros(whole.mask.shape, int)
    for _ in range(data.draw(st.integers(0, 6))):
        start, length = data.draw(st.integers(230, 400)), data.draw(st.integers(1, 30))
        rows = np.arange(start, min(start + length, 420))
        late = start + length + data.draw(st.integers(0, 40)) - rows
        column = data.draw(st.integers(0, 1))  # the last asset always has a bar
        delay[rows, column] = np.maximum(delay[rows, column], late)
    restarts = data.draw(st.sets(st.integers(310, 418), max_size=8))
    replay, store = Replay(whole), BarStore(pathlib.Path(":memory:"))
    running, restarted = _feed(replay), _feed(replay, store=store)
    for row in range(300, 419):
        mask = whole.mask & (np.arange(420)[:, None] + delay <= row)
        replay.table = dataclasses.replace(whole, mask=mask)
        if row in restarts:
            restarted = _feed(replay, store=store)
        for feed in (running, restarted):
            feed.update(int(whole.timestamps[row]))
        assert replay.asked[-1] == replay.asked[-2]
        np.testing.assert_array_equal(running._mask, restarted._mask)


def test_bars_that_come_late_are_held_against_their_neighbours() -> None:
    """A coin that climbs a quarter of a percent a bar leaves no jump, though in a day it goes far."""
    logs = np.cumsum(np.random.default_rng(1).normal(0, 2e-4, (600, 3)), axis=0)
    logs[400:] += 0.0025 * np.arange(200)[:, None]
    close = 100 * np.exp(logs)
    whole = dataclasses.replace(walk(600), open=close, high=close, low=close, close=close)
    mask = whole.mask.copy()
    mask[402:410, 1] = False
    replay = Replay(dataclasses.replace(whole, mask=mask))
    feed = _feed(replay, rows=60)
    for row in range(395, 428):
        feed.update(int(whole.timestamps[row]))
    replay.table, asked = whole, len(replay.asked)
    assert feed.update(int(whole.timestamps[428])).keys() == {"late"}
    assert len(replay.asked) == asked + 1


@pytest.mark.parametrize(("hole", "silence"), [(5, 0), (40, 0), (5, 20)])
def test_what_a_venue_fills_in_afterwards_is_taken(hole: int, silence: int) -> None:
    """It served nothing for hours, or for days, and some hours later all of it."""
    whole = walk(400)
    mask = whole.mask.copy()
    mask[300 : 300 + hole] = False
    replay = Replay(dataclasses.replace(whole, mask=mask))
    feed, fresh = _feed(replay), _feed(Replay(whole))
    for row in range(290, 300 + hole + silence):
        feed.update(int(whole.timestamps[row]))
    with pytest.raises(
        InputError, match=r"hole of more than 3 bars lasts|since the last long hole|without a gap for their warm-up"
    ):
        feed.view()
    replay.table, now = whole, int(whole.timestamps[300 + hole + silence])
    late = feed.update(now)["late"]
    assert len(late) == hole * len(ASSETS)
    fresh.update(now)
    assert feed.table().fingerprint() == fresh.table().fingerprint()
    np.testing.assert_array_equal(feed.view().window, fresh.view().window)


def test_a_hole_is_not_looked_for_again_for_ever_nor_the_time_before_a_first_bar() -> None:
    whole = walk(400)
    mask = whole.mask.copy()
    mask[300:305, 1] = mask[1:297, 2] = False
    replay = Replay(dataclasses.replace(whole, mask=mask))
    feed = _feed(replay)
    for row in range(298, 340):
        feed.update(int(whole.timestamps[row]))
    assert replay.asked[1:3] == [3, 3]
    assert max(replay.asked[1:]) == 304 + 24 - 300 + 1
    assert replay.asked[-8:] == [3] * 8


def test_prices_are_known_in_the_longest_hole() -> None:
    whole = walk(400)
    mask = whole.mask.copy()
    mask[300:, 1] = False
    feed = _feed(Replay(dataclasses.replace(whole, mask=mask)))
    for row in range(290, 330):
        feed.update(int(whole.timestamps[row]))
        prices = feed.prices()
        expected = whole.close[row].copy()
        expected[1] = whole.close[min(row, 299), 1]
        np.testing.assert_array_equal(prices.closes, expected)
        np.testing.assert_array_equal(prices.tradable, mask[row])
    mask[1:, 1] = False
    feed = _feed(Replay(dataclasses.replace(whole, mask=mask)))
    feed.update(int(whole.timestamps[330]))
    with pytest.raises(InputError, match=f"no bar of ETH among the last {feed.depth}"):
        feed.prices()


def test_too_little_history_is_said(table: BarTable) -> None:
    feed = _feed(Replay(table))
    feed.update(int(table.timestamps[168]))
    with pytest.raises(InputError, match=r"169 bars since the last long hole or the venue's first bar; .* warm-up of 168"):
        feed.view()


def test_a_bar_off_the_clock_is_refused(table: BarTable) -> None:
    replay = Replay(dataclasses.replace(table, timestamps=table.timestamps + 60))
    with pytest.raises(InputError, match="which is no multiple of 3600 s"):
        _feed(replay).update(int(table.timestamps[300]))


def test_after_a_restart_only_what_is_new_is_fetched(table: BarTable, tmp_path: pathlib.Path) -> None:
    path, replay, again = tmp_path / "bars.sqlite", Replay(table), Replay(table)
    store = BarStore(path)
    feed = _feed(replay, store=store)
    for row in (300, 301, 302):
        feed.update(int(table.timestamps[row]))
    store.close()
    restarted, alone = _feed(again, store=BarStore(path)), _feed(Replay(table))
    for row in (306, 307):
        assert restarted.update(int(table.timestamps[row])) == {}
    alone.update(int(table.timestamps[307]))
    assert restarted.table().fingerprint() == alone.table().fingerprint()
    assert again.asked == [6, 5] == _wanted(table, 302, 306, 307)
    stored = read_bars(path, ASSETS, int(table.timestamps[300]), int(table.timestamps[308]))
    for k, asset in enumerate(ASSETS):
        there = np.flatnonzero(table.mask[300:308, k]) + 300
        np.testing.assert_array_equal(stored[asset].timestamps, table.timestamps[there])
        np.testing.assert_array_equal(stored[asset].close, table.close[there, k])


def test_a_store_that_does_not_reach_back_far_enough_is_not_relied_on(table: BarTable, tmp_path: pathlib.Path) -> None:
    store, again = BarStore(tmp_path / "bars.sqlite"), Replay(table)
    _feed(Replay(table), store=store).update(int(table.timestamps[390]))
    feed = _feed(again, rows=60, store=store)
    feed.update(int(table.timestamps[391]))
    assert again.asked == [feed.depth]


class Wavering(Replay):
    """A replay whose answers are multiplied, at one bar of one asset, by a factor of each fetch."""

    def __init__(self, table: BarTable, row: int, factors: list[float]) -> None:
        super().__init__(table)
        self.at, self.factors = int(table.timestamps[row]), factors

    def bars(self, assets: tuple[str, ...], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        found = super().bars(assets, start, stop, bar_seconds=bar_seconds)
        eth = found["ETH"]
        if self.at in eth.timestamps:
            factor = np.where(eth.timestamps == self.at, self.factors.pop(0) if self.factors else 1.0, 1.0)
            found["ETH"] = eth._replace(
                open=eth.open * factor, high=eth.high * factor, low=eth.low * factor, close=eth.close * factor
            )
        return found


def test_an_absurd_bar_is_believed_only_when_it_is_fetched_twice(table: BarTable) -> None:
    at, close = int(table.timestamps[310]), table.close[310, 1]
    said = {factor: f"ETH {at} {close * factor:g}" for factor in (3.0, 0.2, 5.0)}
    cases = [
        ([3.0, 3.0], "jump", said[3.0], 3.0),
        ([3.0, 1.0], "unconfirmed", said[3.0], 1.0),
        ([0.2, 5.0], "unconfirmed", said[0.2], None),
    ]
    for factors, kind, text, believed in cases:
        feed = _feed(Wavering(table, 310, list(factors)))
        assert feed.update(int(table.timestamps[309])) == {}
        assert feed.update(at) == {kind: [text]}
        assert feed.missing() == (("ETH",) if believed is None else ())
        if believed is not None:
            assert feed.table().close[-1, 1] == close * believed


@pytest.mark.parametrize("pause", [1, 12])
def test_what_came_before_a_jump_that_nobody_confirmed_is_fetched_again(table: BarTable, pause: int) -> None:
    """After a pause, say: the venue answers once, with a jump, and not when it is asked again."""
    replay, row = Wavering(table, 320, [3.0, 1.0]), 320
    answers, whole = iter([True, False]), replay.bars

    def bars(assets: tuple[str, ...], start: int, stop: int, *, bar_seconds: int) -> dict[str, BarArrays]:
        if not next(answers, True):
            raise BrokerUnavailable("no answer")
        return whole(assets, start, stop, bar_seconds=bar_seconds)

    feed, fresh = _feed(replay), _feed(Replay(table))
    feed.update(int(table.timestamps[row - pause]))
    replay.bars = bars  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable):
        feed.update(int(table.timestamps[row]))
    feed.update(int(table.timestamps[row]))
    fresh.update(int(table.timestamps[row]))
    assert feed.table().fingerprint() == fresh.table().fingerprint()


def test_a_usual_move_is_fetched_once(table: BarTable) -> None:
    replay = Wavering(table, 310, [1.03])
    feed = _feed(replay)
    feed.update(int(table.timestamps[309]))
    assert feed.update(int(table.timestamps[310])) == {}
    assert len(replay.asked) == 2


def test_a_bar_without_trades_is_told(table: BarTable) -> None:
    volume = table.volume.copy()
    volume[310, 2] = 0
    feed = _feed(Replay(dataclasses.replace(table, volume=volume)))
    assert feed.update(int(table.timestamps[310])) == {"zero_volume": ["LTC"]}

"""Alignment is by time stamp, holes follow the policy, resampling equals a plain loop, bad bars are refused in one line."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars import BarTable, Origin
from cappuccino.bars.align import resample, table_from_frames
from cappuccino.errors import InputError

ORIGIN = Origin("files", "test", "USD")
HOUR = 3600
ZERO = 1_600_000_000 // 86_400 * 86_400


def bar(asset: int, hour: int) -> list[float]:
    """A bar that can be told from every other one: its values depend on asset and hour only."""
    close = 100 * (asset + 1) + hour % 97
    return [close + 0.25, close + 0.75, close - 0.5, close, 10 * asset + hour % 13 + 1]


def frame_of(asset: int, hours: list[int]) -> pd.DataFrame:
    rows = [[ZERO + HOUR * hour, *bar(asset, hour)] for hour in hours]
    frame = pd.DataFrame(rows, columns=["timestamp", "open", "high", "low", "close", "volume"])
    return frame.astype({"timestamp": "int64"})


def table_by_loop(hours: list[set[int]], max_hole: int) -> list[tuple[int, int, list[list[float]], list[bool]]]:
    """Hour, segment, values and mask of every row, by going through the hours one at a time."""
    first, last = max(min(h) for h in hours), min(max(h) for h in hours)
    removed = set()
    for h in hours:
        run: list[int] = []
        for hour in range(first, last + 2):
            if hour in h or hour > last:
                if len(run) > max_hole:
                    removed.update(run)
                run = []
            else:
                run.append(hour)
    rows: list[tuple[int, int, list[list[float]], list[bool]]] = []
    segment, inside = -1, False
    closes = [math.nan] * len(hours)
    for hour in range(first, last + 1):
        there = [hour in h for h in hours]
        if hour in removed:
            inside = False
            continue
        if not inside:
            if not all(there):
                continue
            inside = True
            segment += 1
        closes = [bar(a, hour)[3] if there[a] else closes[a] for a in range(len(hours))]
        values = [bar(a, hour) if there[a] else [closes[a]] * 4 + [0.0] for a in range(len(hours))]
        rows.append((hour, segment, values, there))
    return rows


hours_of_one = st.sets(st.integers(0, 40), min_size=1).map(set)


@given(hours=st.lists(hours_of_one, min_size=1, max_size=3), max_hole=st.integers(0, 4))
@settings(deadline=None, max_examples=60)
def test_alignment_by_time_equals_a_plain_loop(hours: list[set[int]], max_hole: int) -> None:
    frames = {f"A{a}": frame_of(a, sorted(h)) for a, h in enumerate(hours)}
    expected = table_by_loop(hours, max_hole) if max(map(min, hours)) <= min(map(max, hours)) else []
    if not expected:
        with pytest.raises(InputError, match=r"no common range|is there for all"):
            table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=max_hole, origin=ORIGIN)
        return
    table = table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=max_hole, origin=ORIGIN)
    assert table.timestamps.tolist() == [ZERO + HOUR * row[0] for row in expected]
    assert table.segment.tolist() == [row[1] for row in expected]
    values = np.stack([table.open, table.high, table.low, table.close, table.volume], axis=-1)
    np.testing.assert_array_equal(values, np.array([row[2] for row in expected]))
    np.testing.assert_array_equal(table.mask, np.array([row[3] for row in expected]))


@given(data=st.data(), ratio=st.sampled_from([2, 3, 4, 6]))
@settings(deadline=None, max_examples=60)
def test_resampling_equals_a_plain_loop(data: st.DataObject, ratio: int) -> None:
    everywhere = data.draw(st.sets(st.integers(0, 40), min_size=1))
    some = data.draw(st.sets(st.integers(0, 40)))
    try:
        fine = table_from_frames(
            {"A0": frame_of(0, sorted(everywhere)), "A1": frame_of(1, sorted(everywhere | some))},
            bar_seconds=HOUR,
            max_hole_bars=data.draw(st.integers(0, 5)),
            origin=ORIGIN,
        )
    except InputError:
        return
    rows: dict[int, list[int]] = {}
    for row, time in enumerate(fine.timestamps.tolist()):
        rows.setdefault(time // (ratio * HOUR), []).append(row)
    expected, previous = [], None
    for bucket, part in rows.items():
        if len(part) < ratio:
            continue
        whole = [all(fine.mask[r, a] for r in part) for a in range(2)]
        if not all(whole) and (previous is None or bucket != previous + 1):
            continue
        previous = bucket
        for a in range(2):
            close = fine.close[part[-1], a]
            extremes = (max(fine.high[r, a] for r in part), min(fine.low[r, a] for r in part))
            total = sum(fine.volume[r, a] for r in part)
            values = (fine.open[part[0], a], *extremes, close, total) if whole[a] else (close,) * 4 + (0.0,)
            expected.append((bucket * ratio * HOUR, a, whole[a], *values))
    if not expected:
        with pytest.raises(InputError, match="complete for all"):
            resample(fine, ratio * HOUR)
        return
    coarse = resample(fine, ratio * HOUR)
    found = [
        (
            int(coarse.timestamps[t]),
            a,
            bool(coarse.mask[t, a]),
            *(float(getattr(coarse, name)[t, a]) for name in ("open", "high", "low", "close", "volume")),
        )
        for t in range(len(coarse))
        for a in range(2)
    ]
    assert found == expected
    assert coarse.bar_seconds == ratio * HOUR


def test_resampling_in_two_steps_equals_one() -> None:
    fine = table_from_frames(
        {"A": frame_of(0, list(range(3, 200))), "B": frame_of(1, [h for h in range(200) if h != 50])},
        bar_seconds=HOUR,
        max_hole_bars=2,
        origin=ORIGIN,
    )
    assert resample(resample(fine, 2 * HOUR), 6 * HOUR).fingerprint() == resample(fine, 6 * HOUR).fingerprint()


@pytest.mark.parametrize("seconds", [0, -3600, 1800, 5400])
def test_only_multiples_can_be_resampled_to(seconds: int) -> None:
    fine = table_from_frames({"A": frame_of(0, [0, 1, 2])}, bar_seconds=HOUR, max_hole_bars=0, origin=ORIGIN)
    with pytest.raises(InputError, match="give a multiple"):
        resample(fine, seconds)


def test_two_holes_of_different_assets_become_one_seam() -> None:
    everything = set(range(30))
    frames = {"A": frame_of(0, sorted(everything - {10, 11, 12})), "B": frame_of(1, sorted(everything - {13, 14, 15, 16}))}
    table = table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=2, origin=ORIGIN)
    assert [(s.start, s.stop) for s in table.segment_slices()] == [(0, 10), (10, 23)]
    assert table.timestamps[10] == ZERO + 17 * HOUR


def spoil(row: int, **values: float) -> pd.DataFrame:
    frame = frame_of(0, list(range(6)))
    for name, value in values.items():
        frame.loc[row, name] = value
    return frame


BAD = {
    "earlier than the one before": frame_of(0, [0, 1, 3, 2, 4]),
    "two bars have this time stamp": frame_of(0, [0, 1, 2, 2, 3]),
    "off the clock of 3600 s": spoil(2, timestamp=ZERO + 2 * HOUR + 60),
    "prices must be positive and finite": spoil(3, low=0.0),
    "finite (open nan": spoil(3, open=math.nan),
    "finite (open inf": spoil(3, open=math.inf),
    "the volume must be finite and not negative": spoil(3, volume=-1.0),
    "high and low must bound": spoil(3, high=100.0),
    "low 104.0": spoil(3, low=104.0),
    "no bars": frame_of(0, []),
    "no column volume": frame_of(0, [0, 1]).drop(columns="volume"),
    "not whole Unix seconds": frame_of(0, [0, 1]).astype({"timestamp": "float64"}),
    "no time stamp in Unix seconds": frame_of(0, [0, 1]).assign(timestamp=lambda f: f["timestamp"] * 1000),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_bars_are_refused_in_one_line_that_names_the_asset(message: str) -> None:
    frames = {"GOOD": frame_of(1, list(range(6))), "BAD": BAD[message]}
    with pytest.raises(InputError) as caught:
        table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=2, origin=ORIGIN)
    text = str(caught.value)
    assert text.startswith("BAD")
    assert message in text
    assert "\n" not in text


def test_frames_that_never_overlap_are_refused() -> None:
    frames = {"OLD": frame_of(0, [0, 1, 2]), "NEW": frame_of(1, [5, 6])}
    with pytest.raises(InputError, match=r"no common range: NEW begins at .*, OLD ends at"):
        table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=2, origin=ORIGIN)


@pytest.mark.parametrize(("frames", "seconds", "hole"), [({}, HOUR, 0), ({"A": [0, 1]}, 0, 0), ({"A": [0, 1]}, HOUR, -1)])
def test_arguments_out_of_range_are_refused(frames: dict[str, list[int]], seconds: int, hole: int) -> None:
    made = {asset: frame_of(0, hours) for asset, hours in frames.items()}
    with pytest.raises(InputError):
        table_from_frames(made, bar_seconds=seconds, max_hole_bars=hole, origin=ORIGIN)


def test_rows_of_a_frame_need_no_particular_index() -> None:
    frame = frame_of(0, list(range(10)))
    shuffled = frame.set_index(pd.Index(range(100, 110)))
    tables: list[BarTable] = [
        table_from_frames({"A": f}, bar_seconds=HOUR, max_hole_bars=0, origin=ORIGIN) for f in (frame, shuffled)
    ]
    assert tables[0].fingerprint() == tables[1].fingerprint()

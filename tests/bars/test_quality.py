"""The quality report counts what was planted, from frames that no table would take; the page stands alone."""

from __future__ import annotations

import pathlib

import numpy as np
import pandas as pd
import pytest
import rich.console
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars import Origin
from cappuccino.bars.align import table_from_frames
from cappuccino.bars.quality import Gap, inspect_frames, inspect_table, quality_table
from cappuccino.bars.quality_page import write_quality_page
from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.errors import InputError

HOUR = 3600


def frame_of(bars: int = 400, asset: str = "BTC") -> pd.DataFrame:
    table = synthetic_bars("martingale", assets=(asset,), bars=bars, seed=1)
    values = {name: getattr(table, name)[:, 0] for name in ("open", "high", "low", "close", "volume")}
    return pd.DataFrame({"timestamp": table.timestamps, **values})


def spoilt() -> tuple[pd.DataFrame, dict[str, int]]:
    """A frame with one of everything, and what the report should count."""
    frame = frame_of()
    frame.loc[50:, ["open", "high", "low", "close"]] *= 1.5
    frame.loc[100, "volume"] = 0.0
    frame.loc[120, "low"] = np.nan
    frame.loc[130, "volume"] = -1.0
    frame.loc[140, "high"] = frame.loc[140, "low"]
    frame = frame.drop(index=[200, 201, 202, 300])
    frame = pd.concat([frame, frame.iloc[[10]], frame.iloc[[20]].assign(timestamp=lambda f: f["timestamp"] + 60)])
    return frame.reset_index(drop=True), {"duplicates": 1, "unsorted": 1, "off_clock": 1, "zero_volume": 1, "bad_order": 1}


def test_everything_planted_is_counted() -> None:
    frame, counts = spoilt()
    clean = frame_of()
    found = inspect_frames({"BTC": frame}, bar_seconds=HOUR).assets[0]
    assert {name: getattr(found, name) for name in counts} == counts
    assert found.bad_values == 2
    first = int(clean["timestamp"].iloc[0])
    assert found.gaps == (Gap(first + 200 * HOUR, 3), Gap(first + 300 * HOUR, 1))
    assert (found.longest_gap, found.bars, found.expected) == (3, 396, 400)
    assert found.coverage == pytest.approx(396 / 400)
    assert found.outliers == (first + 50 * HOUR,)


def test_clean_bars_have_no_findings() -> None:
    found = inspect_frames({"BTC": frame_of()}).assets[0]
    assert found.coverage == 1
    assert (found.gaps, found.outliers, found.restated, found.duplicates, found.bad_order) == ((), (), (), 0, 0)


@given(changed=st.sets(st.integers(0, 59)), shift=st.integers(0, 70))
@settings(deadline=None, max_examples=30)
def test_restated_bars_are_those_of_both_sources_that_differ(changed: set[int], shift: int) -> None:
    base = frame_of(140)
    old, new = base.iloc[:70].copy(), base.iloc[shift : shift + 70].copy()
    for place in changed:
        new.loc[new.index[place], "volume"] += 1
    expected = sorted(int(new["timestamp"].iloc[place]) for place in changed if place + shift < 70)
    found = inspect_frames({"BTC": new}, other={"BTC": old, "ETH": old}, bar_seconds=HOUR).assets[0]
    assert list(found.restated) == expected


def test_a_table_is_inspected_through_its_mask() -> None:
    frames = {"BTC": frame_of(), "ETH": frame_of(asset="ETH")}
    frames["ETH"] = frames["ETH"].drop(index=[5, *range(50, 60)])
    table = table_from_frames(frames, bar_seconds=HOUR, max_hole_bars=3, origin=Origin("files", "test", "USD"))
    btc, eth = inspect_table(table).assets
    assert [gap.bars for gap in eth.gaps] == [1, 10]
    assert [gap.bars for gap in btc.gaps] == [10]


def test_flat_prices_have_no_outliers() -> None:
    flat = frame_of().assign(open=1.0, high=1.0, low=1.0, close=1.0)
    assert inspect_frames({"BTC": flat}).assets[0].outliers == ()


def test_the_table_has_a_row_for_every_asset_and_fits_a_terminal() -> None:
    frame, _ = spoilt()
    report = inspect_frames({"BTC": frame, "AAVE": frame_of()}, bar_seconds=HOUR)
    console = rich.console.Console(width=110, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(quality_table(report))
    text = console.export_text()
    for word in ("BTC", "AAVE", "99.00%", "100.00%", "duplicates", "none: restated"):
        assert word in text


def test_the_page_stands_alone_and_escapes_names(tmp_path: pathlib.Path) -> None:
    frame, _ = spoilt()
    report = inspect_frames({"BTC": frame, "<b>X": frame_of()}, bar_seconds=HOUR)
    assert report.common_range() is not None
    write_quality_page(report, tmp_path / "page.html", title="Bars & holes")
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<h1>Bars &amp; holes</h1>" in page
    assert "<td>&lt;b&gt;X</td>" in page
    assert 'src="http' not in page
    assert "Plotly.newPlot" in page
    with pytest.raises(InputError, match="cannot be written"):
        write_quality_page(report, tmp_path / "nowhere" / "page.html")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({}, "no bars to inspect"),
        ({"BTC": frame_of().iloc[:0]}, "BTC: there are no bars"),
        ({"BTC": frame_of().iloc[:1]}, "give bar_seconds"),
        ({"BTC": frame_of().drop(columns="high")}, "BTC: no column high"),
    ],
)
def test_what_cannot_be_inspected_is_told(frames: dict[str, pd.DataFrame], message: str) -> None:
    with pytest.raises(InputError, match=message):
        inspect_frames(frames)

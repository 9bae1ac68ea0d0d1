"""Files of every format give the same table; whatever is wrong with a path or a file is told in one line."""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cappuccino.bars import Origin
from cappuccino.bars.align import resample
from cappuccino.bars.clock import utc
from cappuccino.bars.files import find_files, name_parts, read_files, read_raw_frames
from cappuccino.bars.formats import read_frame
from cappuccino.bars.frames import COLUMNS, restated
from cappuccino.bars.quality import inspect_frames
from cappuccino.bars.store import BarStore
from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.bars.table import BarTable
from cappuccino.errors import InputError

SHARED = (pathlib.Path(__file__).parents[2] / "../shared/data").resolve()
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real bars beside the repository are not here")
HOUR = 3600
ORIGIN = Origin("alpaca", "alpaca", "USD")


def frames_of(*assets: str, bars: int = 50, bar_seconds: int = HOUR) -> dict[str, pd.DataFrame]:
    table = synthetic_bars("realistic", assets=assets, bars=bars, bar_seconds=bar_seconds, seed=3)
    values = {name: getattr(table, name) for name in COLUMNS[1:]}
    return {
        asset: pd.DataFrame({"timestamp": table.timestamps, **{name: value[:, a] for name, value in values.items()}})
        for a, asset in enumerate(assets)
    }


def write(frame: pd.DataFrame, path: pathlib.Path) -> pathlib.Path:
    """As freqtrade has it for Feather and JSON; dates as text in CSV; Unix seconds in Parquet."""
    dated = frame.rename(columns={"timestamp": "date"}).assign(date=lambda f: pd.to_datetime(f["date"], unit="s", utc=True))
    if path.suffix == ".feather":
        dated.to_feather(path, compression="lz4")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".csv":
        dated.rename(columns=str.title).to_csv(path, index=False)
    else:
        rows = frame.assign(timestamp=frame["timestamp"] * 1000).to_numpy().tolist()
        path.write_text(json.dumps([[int(row[0]), *row[1:]] for row in rows]))
    return path


def read(path: pathlib.Path, **changes: Any) -> BarTable:
    settings: dict[str, Any] = {"assets": None, "bar_seconds": HOUR, "max_hole_bars": 2, "start": None, "stop": None}
    return read_files(path, **{**settings, "venue": "test", **changes})


@pytest.mark.parametrize("suffix", [".feather", ".parquet", ".csv", ".json"])
def test_every_format_gives_the_table_that_was_written(tmp_path: pathlib.Path, suffix: str) -> None:
    for asset, frame in frames_of("BTC", "ETH").items():
        write(frame, tmp_path / f"{asset}_USDT-1h{suffix}")
    table = read(tmp_path)
    expected = synthetic_bars("realistic", assets=("BTC", "ETH"), bars=50, seed=3)
    assert table.fingerprint() == expected.fingerprint()
    assert table.origin == Origin("files", "test", "USDT")


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_numbers_as_times_may_be_seconds_to_nanoseconds(tmp_path: pathlib.Path, unit: int) -> None:
    frame = frames_of("BTC")["BTC"]
    frame.assign(timestamp=frame["timestamp"] * unit).to_csv(tmp_path / "BTC_USD.csv", index=False)
    assert read_frame(tmp_path / "BTC_USD.csv")["timestamp"].tolist() == frame["timestamp"].tolist()


@pytest.mark.parametrize(
    ("name", "asset", "quote"),
    [
        ("BTC_USDT-1h.feather", "BTC", "USDT"),
        ("BTC-USD.csv", "BTC", "USD"),
        ("btcusdt.csv", "BTC", "USDT"),
        ("ETHBTC.csv", "ETHBTC", None),
        ("1INCH_EUR-5m.json", "1INCH", "EUR"),
        ("UNI.parquet", "UNI", None),
        ("BTC-1d.csv", "BTC", None),
    ],
)
def test_asset_and_quote_come_from_the_name(name: str, asset: str, quote: str | None) -> None:
    assert name_parts(pathlib.Path(name))[1:] == (asset, quote)


@pytest.mark.parametrize("name", ["BTC_USDT_USDT-1h-futures.feather", "BTC_USDT-trades.feather", "bars of btc.csv", ".csv"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no asset can be read"):
        name_parts(pathlib.Path(name))


def test_assets_keep_the_order_asked_for_and_are_sorted_otherwise(tmp_path: pathlib.Path) -> None:
    for asset, frame in frames_of("UNI", "BTC", "ETH").items():
        write(frame, tmp_path / f"{asset}_USDT-1h.feather")
    assert read(tmp_path).assets == ("BTC", "ETH", "UNI")
    assert read(tmp_path, assets=["UNI", "BTC"]).assets == ("UNI", "BTC")
    assert read(tmp_path / "[BE]*").assets == ("BTC", "ETH")
    assert read(tmp_path / "ETH_USDT-1h.feather").assets == ("ETH",)


def test_start_and_stop_cut_by_opening_time(tmp_path: pathlib.Path) -> None:
    write(frames_of("BTC")["BTC"], tmp_path / "BTC_USD.csv")
    whole = read(tmp_path)
    cut = read(tmp_path, start=int(whole.timestamps[5]), stop=int(whole.timestamps[9]))
    assert cut.fingerprint() == whole.rows(5, 9).fingerprint()
    with pytest.raises(InputError, match="BTC: no bars from 2031"):
        read(tmp_path, start=1_927_584_000)
    with pytest.raises(InputError, match="must be before stop"):
        read(tmp_path, start=2 * HOUR, stop=2 * HOUR)


def test_finer_files_are_resampled_and_holes_count_in_the_bars_asked_for(tmp_path: pathlib.Path) -> None:
    frame = frames_of("BTC", bars=12 * 48, bar_seconds=300)["BTC"]
    holed = frame.drop(index=list(range(120, 143)))
    write(frame, tmp_path / "BTC_USD.csv")
    write(holed, tmp_path / "ETH_USD.csv")
    fine = read(tmp_path, bar_seconds=300, max_hole_bars=23)
    assert read(tmp_path, max_hole_bars=2).fingerprint() == resample(fine, HOUR).fingerprint()
    assert read(tmp_path, max_hole_bars=1).segment[-1] == 1


BROKEN = {
    "BTC_USDT-1h.feather": b"ARROW1 nothing of the kind",
    "BTC_USDT-1h.parquet": b"PAR1",
    "BTC_USDT-1h.csv": b"",
    "BTC_USDT-1h.json": b'[[1609459200000, 1.0, 2.0, 0.5, "x"',
    "BTC_USDT.csv": b"a,b\n1,2\n",
    "BTCUSDT.csv": b"date,open,high,low,close,volume\n2021-01-01,1,2,x,1,1\n",
    "BTC-USDT.csv": b"date,open,high,low,close,volume\nnever,1,2,1,1,1\n",
    "BTC-USDT.json": b'{"BTC": 1}',
    "BTC_USDT.json": b"[[1609459200500, 1, 2, 1, 1, 1]]",
    "BTC_USD.json": b"[]",
    "BTC_USD.parquet": gzip.compress(b"anything"),
    "BTC_USD.feather": b"\x80\x04\x95 a pickle is not read",
    "BTC_USD.csv": b"\xff\xfe\x00\x01",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_in_one_line(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_feather_file_with_any_byte_missing_or_changed_never_ends_in_a_traceback(tmp_path: pathlib.Path) -> None:
    path = write(frames_of("BTC")["BTC"], tmp_path / "BTC_USDT-1h.feather")
    whole = path.read_bytes()
    draw = np.random.default_rng(0)
    for _ in range(60):
        content = bytearray(whole[: draw.integers(1, len(whole))] if draw.random() < 0.3 else whole)
        content[int(draw.integers(len(content)))] ^= int(draw.integers(1, 256))
        path.write_bytes(content)
        with contextlib.suppress(InputError):
            read(tmp_path)


def test_paths_and_assets_that_are_not_there_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="nowhere is not there"):
        read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no bars"):
        read(tmp_path)
    for asset, frame in frames_of("BTC", "ETH").items():
        write(frame, tmp_path / f"{asset}_USDT-1h.feather")
    with pytest.raises(InputError, match="has no SOL, UNI; it has BTC/USDT, ETH/USDT"):
        read(tmp_path, assets=["BTC", "SOL", "UNI"])
    with pytest.raises(InputError, match="has no bars in EUR"):
        read(tmp_path, quote="EUR")
    (tmp_path / "notes.txt").write_text("left aside in a folder")
    read(tmp_path)
    with pytest.raises(InputError, match=r"notes.txt is no file of bars"):
        read(tmp_path / "notes.txt", quote="USD")


def test_two_files_of_one_asset_are_both_named(tmp_path: pathlib.Path) -> None:
    frame = frames_of("BTC")["BTC"]
    write(frame, tmp_path / "BTC_USDT-1h.feather")
    write(frame, tmp_path / "BTC_USDT-1h.json")
    with pytest.raises(InputError, match=r"BTC_USDT-1h.feather and .*BTC_USDT-1h.json are both bars of BTC"):
        read(tmp_path)
    assert read(tmp_path / "*.json").assets == ("BTC",)


def test_quotes_must_agree_and_can_be_chosen(tmp_path: pathlib.Path) -> None:
    made = frames_of("BTC", "ETH")
    write(made["BTC"], tmp_path / "BTC_USDT.csv")
    write(made["ETH"], tmp_path / "ETH_EUR.csv")
    with pytest.raises(InputError, match="bars in EUR and USDT"):
        read(tmp_path)
    assert read(tmp_path, quote="EUR").origin.quote == "EUR"
    write(made["ETH"], tmp_path / "ETH.parquet")
    with pytest.raises(InputError, match="no quote currency"):
        read(tmp_path / "ETH.parquet")
    assert read(tmp_path / "ETH.parquet", quote="USD").origin.quote == "USD"
    assert read(tmp_path / "ETH_EUR.csv", venue=None).origin.venue == "unknown"


def test_coarser_or_unequal_bars_are_refused(tmp_path: pathlib.Path) -> None:
    write(frames_of("BTC")["BTC"], tmp_path / "BTC_USDT.csv")
    with pytest.raises(InputError, match="BTC has bars of 3600 s, coarser than the 900 s"):
        read(tmp_path, bar_seconds=900)
    with pytest.raises(InputError, match="do not make up 5400 s"):
        read(tmp_path, bar_seconds=5400)
    write(frames_of("ETH", bar_seconds=900)["ETH"], tmp_path / "ETH_USDT.csv")
    with pytest.raises(InputError, match="bars differ in length: BTC 3600 s, ETH 900 s"):
        read(tmp_path)


def test_a_store_is_read_with_its_own_origin(tmp_path: pathlib.Path) -> None:
    made = frames_of("BTC", "ETH")
    start = int(made["BTC"]["timestamp"].iloc[0])
    BarStore(tmp_path / "store").append(made, bar_seconds=HOUR, origin=ORIGIN, start=start)
    table = read(tmp_path / "store", venue=None)
    assert table.origin == ORIGIN
    assert table.fingerprint() == synthetic_bars("realistic", assets=("BTC", "ETH"), bars=50, seed=3).fingerprint()
    assert read(tmp_path / "store", venue="alpaca", quote="USD", assets=["ETH"]).assets == ("ETH",)
    with pytest.raises(InputError, match="holds bars of venue alpaca, not binance"):
        read(tmp_path / "store", venue="binance")
    assert set(read_raw_frames(tmp_path / "store")) == {"BTC", "ETH"}


@shared
def test_feather_and_json_agree_over_the_same_hours_but_for_the_restated_bars() -> None:
    old, new = read_raw_frames(SHARED / "binance_1h_2021h1_json"), read_raw_frames(SHARED / "binance_1h")
    assert list(old) == list(new) == ["AAVE", "BCH", "BTC", "ETH", "LINK", "LTC", "UNI"]
    for asset in old:
        both = old[asset].merge(new[asset], on="timestamp")
        assert len(both) == len(old[asset]) == 4090
        differ = restated(old[asset], new[asset])
        assert [utc(t) for t in differ] == ["2021-01-11 08:00:00Z", "2021-04-23 01:00:00Z"]
        closes = both.loc[both["close_x"] != both["close_y"], "timestamp"].tolist()
        assert [utc(t) for t in closes] == ["2021-04-23 01:00:00Z"]


@shared
def test_the_four_outages_of_early_2021_are_found() -> None:
    for asset in inspect_frames(read_raw_frames(SHARED / "binance_1h_2021h1_json")).assets:
        assert [utc(gap.start - HOUR)[:13] for gap in asset.gaps] == [
            "2021-02-11 03",
            "2021-03-06 01",
            "2021-04-20 01",
            "2021-04-25 04",
        ]
        assert asset.zero_volume == 1


@shared
@pytest.mark.parametrize(("max_hole_bars", "segments"), [(0, 11), (4, 1)])
def test_the_common_hours_of_the_real_bars(max_hole_bars: int, segments: int) -> None:
    table = read(SHARED / "binance_1h", max_hole_bars=max_hole_bars, venue="binance")
    assert int(table.mask.all(axis=1).sum()) == 30_979
    assert utc(int(table.timestamps[0])) == "2020-10-15 03:00:00Z"
    assert utc(int(table.timestamps[-1])) == "2024-04-28 17:00:00Z"
    assert len(table.segment_slices()) == segments
    assert find_files(SHARED / "binance_1h", assets=["BTC"], quote=None)[0].quote == "USDT"

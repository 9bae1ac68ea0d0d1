"""Bars from a file, a folder, a glob pattern or a store: which files hold which asset, and the table they make."""

from __future__ import annotations

import glob
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cappuccino.bars.align import resample, table_from_frames
from cappuccino.bars.clock import utc
from cappuccino.bars.formats import SUFFIXES, read_frame
from cappuccino.bars.frames import bar_length, check_columns, times
from cappuccino.bars.store import MANIFEST, BarStore
from cappuccino.bars.table import BarTable, Origin
from cappuccino.errors import InputError

_JOINED_QUOTES = "USDT|USDC|BUSD|FDUSD|USD|EUR|GBP"
_NAME = re.compile(
    rf"(?:(?P<pair>[A-Z0-9]+)[_-](?P<pair_quote>[A-Z]+)|(?P<joined>[A-Z0-9]{{2,}}?)(?P<joined_quote>{_JOINED_QUOTES})"
    r"|(?P<alone>[A-Z0-9]+))(?:[-_]\d+(?:S|M|MIN|H|D|W))?"
)


UNKNOWN_VENUE = "unknown"


class BarFile(NamedTuple):
    """A file of bars with the asset and, where its name tells, the quote currency."""

    path: pathlib.Path
    asset: str
    quote: str | None


def name_parts(path: pathlib.Path) -> BarFile:
    """Asset and quote from a file's name, in any case, with or without a time frame at its end.

    `BTC_USDT-1h` and `BTC-USD` are BTC in USDT and USD; `BTCUSDT` is BTC in USDT (joined so, a quote is USDT, USDC, BUSD,
    FDUSD, USD, EUR or GBP); `BTC` alone has no quote. Raises InputError for any other name.
    """
    match = _NAME.fullmatch(path.stem.upper())
    if match is None:
        raise InputError(f"{path}: no asset can be read from the name; it should be like BTC_USDT-1h{path.suffix}")
    part = match.groupdict()
    return BarFile(path, part["pair"] or part["joined"] or part["alone"], part["pair_quote"] or part["joined_quote"])


def find_files(path: pathlib.Path, *, assets: Sequence[str] | None, quote: str | None) -> list[BarFile]:
    """The one file of every asset, in the order of `assets`, or alphabetically where that is None.

    `path` is a file, a folder (its own files that end in one of `formats.SUFFIXES`), or a glob pattern. With `quote`, files
    in another quote currency are left aside. Raises InputError for a path that is not there or has no bars, assets that
    are missing, two files for one asset, and files in several quote currencies.
    """
    if path.is_dir():
        paths = sorted(path.iterdir())
    elif path.exists():
        paths = [path]
    else:
        paths = sorted(pathlib.Path(name) for name in glob.glob(str(path), recursive=True))
    if not paths and not path.exists():
        raise InputError(f"{path} is not there; give a file, a folder or a pattern of bars")
    one_file = paths == [path]
    found = [name_parts(p) for p in paths if p.is_file() and (one_file or p.suffix.lower() in SUFFIXES)]
    if not found:
        raise InputError(f"{path} holds no bars; these are files that end in {', '.join(SUFFIXES)}")
    there = sorted({file.asset for file in found if quote is None or file.quote in (None, quote)})
    missing = [asset for asset in assets or () if asset not in there]
    if missing or not there:
        in_quote = "" if quote is None else f" in {quote}"
        raise InputError(f"{path} has no {', '.join(missing) or 'bars'}{in_quote}; it has {_listing(found)}")
    return [_only(asset, found, quote) for asset in (there if assets is None else assets)]


def read_files(
    path: pathlib.Path | str,
    *,
    assets: Sequence[str] | None,
    bar_seconds: int,
    max_hole_bars: int,
    start: int | None,
    stop: int | None,
    venue: str | None,
    quote: str | None = None,
) -> BarTable:
    """The bars of a file, a folder, a glob pattern or a store as one table.

    Bars opening from `start` to before `stop` (Unix seconds; None: all) are taken. Files in finer bars than `bar_seconds` are
    resampled (`align.resample`); max_hole_bars counts bars of bar_seconds all the same. Assets, their order and the quote
    are as in `find_files`; the quote comes from the files' names, or from `quote` where these have none. `venue` says who
    traded the bars (None: unknown). A folder with a manifest is a store: its files are checked against the manifest, which gives source,
    venue and quote; venue and quote must then be None or the same.

    Raises InputError for whatever is missing, unreadable, corrupt, coarser than asked for or contradictory.
    """
    path = pathlib.Path(path)
    if start is not None and stop is not None and start >= stop:
        raise InputError(f"start {utc(start)} must be before stop {utc(stop)}")
    if bar_seconds <= 0:
        raise InputError(f"bar_seconds is {bar_seconds}; it must be positive")
    if (path / MANIFEST).is_file():
        store = BarStore(path)
        origin = store.origin()
        for name, value in (("venue", venue), ("quote", quote)):
            if value not in (None, getattr(origin, name)):
                raise InputError(f"{path} holds bars of {name} {getattr(origin, name)}, not {value}")
        frames = store.read(assets)
    else:
        files = find_files(path, assets=assets, quote=quote)
        origin = Origin("files", venue or UNKNOWN_VENUE, _common_quote(path, files, quote))
        frames = {file.asset: read_frame(file.path) for file in files}
    frames = {asset: _between(asset, frame, start, stop) for asset, frame in frames.items()}
    native = _native_bar_seconds(path, frames, bar_seconds)
    hole = max_hole_bars * (bar_seconds // native)
    return resample(table_from_frames(frames, bar_seconds=native, max_hole_bars=hole, origin=origin), bar_seconds)


def read_raw_frames(path: pathlib.Path | str, assets: Sequence[str] | None = None) -> dict[str, pd.DataFrame]:
    """The frames of a file, folder, pattern or store as they stand, neither checked nor aligned, to be inspected."""
    path = pathlib.Path(path)
    if (path / MANIFEST).is_file():
        return BarStore(path).read(assets)
    return {file.asset: read_frame(file.path) for file in find_files(path, assets=assets, quote=None)}


def _only(asset: str, found: Sequence[BarFile], quote: str | None) -> BarFile:
    files = [file for file in found if file.asset == asset and (quote is None or file.quote in (None, quote))]
    if len(files) > 1:
        raise InputError(f"{files[0].path} and {files[1].path} are both bars of {asset}; give a pattern that takes one")
    return files[0]


def _listing(found: Sequence[BarFile]) -> str:
    return ", ".join(sorted({file.asset if file.quote is None else f"{file.asset}/{file.quote}" for file in found}))


def _common_quote(path: pathlib.Path, files: Sequence[BarFile], quote: str | None) -> str:
    quotes = sorted({file.quote for file in files if file.quote is not None} | ({quote} if quote else set()))
    if len(quotes) > 1:
        raise InputError(f"{path} has bars in {' and '.join(quotes)}; give the quote currency to take")
    if not quotes:
        raise InputError(f"{path}: no quote currency in the file names; give the quote")
    return quotes[0]


def _between(asset: str, frame: pd.DataFrame, start: int | None, stop: int | None) -> pd.DataFrame:
    time = times(frame)
    inside = np.ones(len(frame), dtype=bool)
    inside &= True if start is None else time >= start
    inside &= True if stop is None else time < stop
    if not inside.any():
        span = f"from {'the first' if start is None else utc(start)} to {'the last' if stop is None else utc(stop)}"
        raise InputError(f"{asset}: no bars {span}; there are some from {utc(time.min())} to {utc(time.max())}")
    return frame.loc[inside]


def _native_bar_seconds(path: pathlib.Path, frames: dict[str, pd.DataFrame], bar_seconds: int) -> int:
    """The length of the files' bars, which must divide bar_seconds; bar_seconds where each has a single bar."""
    lengths = {}
    for asset, frame in frames.items():
        check_columns(asset, frame)
        length = bar_length(times(frame))
        if length is not None:
            lengths[asset] = length
    for asset, length in lengths.items():
        if length > bar_seconds:
            raise InputError(f"{path}: {asset} has bars of {length} s, coarser than the {bar_seconds} s asked for")
        if bar_seconds % length:
            raise InputError(f"{path}: {asset} has bars of {length} s, which do not make up {bar_seconds} s")
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path}: bars differ in length: {', '.join(f'{a} {n} s' for a, n in lengths.items())}")
    return next(iter(lengths.values()), bar_seconds)

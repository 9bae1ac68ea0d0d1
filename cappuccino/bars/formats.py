"""One file of bars into a raw frame: Feather, Parquet, CSV, and freqtrade's JSON."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from cappuccino.bars.frames import COLUMNS, VALUES
from cappuccino.errors import InputError

SUFFIXES = (".feather", ".parquet", ".csv", ".json")

_UNITS = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))
"""An integer time stamp from 1e11, 1e14 or 1e17 on is in milli-, micro- or nanoseconds: that many to the second."""


def read_frame(path: pathlib.Path) -> pd.DataFrame:
    """The file's bars as they stand, neither sorted nor cleaned, in the columns of `frames.COLUMNS`.

    Feather, Parquet and CSV have the columns open, high, low, close, volume and `date` or `timestamp`, in any case and
    order, more are ignored; a time is a date (UTC where it has no zone) or a number of seconds, milli-, micro- or
    nanoseconds since the epoch. JSON is `[[milliseconds, open, high, low, close, volume], ...]`.

    Raises InputError for a file that is missing, unreadable, corrupt, empty, or has other columns.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no file of bars; these end in {', '.join(SUFFIXES)}")
    try:
        frame = _READERS[path.suffix.lower()](path)
    except (ValueError, TypeError, OverflowError, OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}") from error
    if frame.empty:
        raise InputError(f"{path} holds no bars")
    return frame


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _from_feather(path: pathlib.Path) -> pd.DataFrame:
    return _from_columns(pyarrow.feather.read_table(path, memory_map=False).to_pandas(ignore_metadata=True))


def _from_parquet(path: pathlib.Path) -> pd.DataFrame:
    return _from_columns(pyarrow.parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True))


def _from_csv(path: pathlib.Path) -> pd.DataFrame:
    return _from_columns(pd.read_csv(path, skipinitialspace=True))


def _from_json(path: pathlib.Path) -> pd.DataFrame:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(COLUMNS) for row in rows):
        raise ValueError("it is not a list of [milliseconds, open, high, low, close, volume]")
    values = np.array(rows, dtype=np.float64).reshape(-1, len(COLUMNS))
    frame = pd.DataFrame(values[:, 1:], columns=list(VALUES))
    frame.insert(0, "timestamp", _whole(values[:, 0], 1_000))
    return frame


_READERS = {".feather": _from_feather, ".parquet": _from_parquet, ".csv": _from_csv, ".json": _from_json}


def _from_columns(raw: pd.DataFrame) -> pd.DataFrame:
    raw.columns = [str(name).strip().lower() for name in raw.columns]
    if raw.columns.has_duplicates:
        raise ValueError(f"it has a column twice: {', '.join(raw.columns)}")
    times = [name for name in ("date", "timestamp") if name in raw.columns]
    if len(times) != 1:
        raise ValueError(f"it needs a column date or timestamp, and one of them only; it has {', '.join(raw.columns)}")
    missing = [name for name in VALUES if name not in raw.columns]
    if missing:
        raise ValueError(f"it has no column {', '.join(missing)}; it has {', '.join(raw.columns)}")
    frame = pd.DataFrame({name: np.asarray(pd.to_numeric(pd.Series(raw[name])), dtype=np.float64) for name in VALUES})
    frame.insert(0, "timestamp", _seconds(pd.Series(raw[times[0]])))
    return frame


def _seconds(times: pd.Series) -> np.ndarray:
    """Unix seconds of a column of dates or numbers; ValueError where one is missing or not a whole second."""
    if pd.api.types.is_numeric_dtype(times):
        numbers = np.asarray(times, dtype=np.int64 if pd.api.types.is_integer_dtype(times) else np.float64)
        largest = np.max(np.abs(numbers), initial=0)
        return _whole(numbers, next((unit for bound, unit in _UNITS if largest >= bound), 1))
    dates = pd.to_datetime(times, utc=True)
    if dates.hasnans:
        raise ValueError("a time is missing")
    return _whole(dates.dt.as_unit("ns").astype("int64").to_numpy(), 1_000_000_000)


def _whole(numbers: np.ndarray, unit: int) -> np.ndarray:
    bad = ~np.isfinite(numbers) | (numbers % unit != 0)
    if bad.any():
        raise ValueError(f"time {numbers[np.argmax(bad)]} is not a whole second")
    return (numbers // unit).astype(np.int64)

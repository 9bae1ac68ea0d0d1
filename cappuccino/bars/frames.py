"""Raw bars of one asset as a pandas frame: what they must be, and what two frames say of the same bar."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from cappuccino.bars.clock import LATEST, utc
from cappuccino.errors import InputError

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume")
COLUMNS = ("timestamp", *VALUES)
"""`timestamp` is the bar's opening in Unix seconds, UTC (int64); the others are float64."""


def column(frame: pd.DataFrame, name: str) -> Float[np.ndarray, "T"]:
    """A column of prices or volumes as float64."""
    return np.asarray(frame[name], dtype=np.float64)


def times(frame: pd.DataFrame) -> Int[np.ndarray, "T"]:
    """The time stamps as int64."""
    return np.asarray(frame["timestamp"], dtype=np.int64)


def check_columns(asset: str, frame: pd.DataFrame) -> None:
    """Raises InputError unless the frame has every column of COLUMNS, integers as time stamps and at least one row."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise InputError(f"{asset}: no column {', '.join(missing)}; bars have {', '.join(COLUMNS)}")
    if frame.empty:
        raise InputError(f"{asset}: there are no bars")
    if not pd.api.types.is_integer_dtype(frame["timestamp"]) or frame["timestamp"].hasnans:
        raise InputError(f"{asset}: time stamps are {frame['timestamp'].dtype}, not whole Unix seconds")


def broken_prices(frame: pd.DataFrame) -> Bool[np.ndarray, "T"]:
    """Rows with a price that is not positive and finite."""
    prices = np.stack([column(frame, name) for name in PRICES])
    return ~np.logical_and.reduce(np.isfinite(prices) & (prices > 0), axis=0)


def broken_volume(frame: pd.DataFrame) -> Bool[np.ndarray, "T"]:
    """Rows whose volume is negative or not finite."""
    volume = column(frame, "volume")
    return ~(np.isfinite(volume) & (volume >= 0))


def broken_order(frame: pd.DataFrame) -> Bool[np.ndarray, "T"]:
    """Rows whose high or low does not bound open and close."""
    opens, high, low, close = (column(frame, name) for name in PRICES)
    return (high < np.maximum(opens, close)) | (low > np.minimum(opens, close))


def check_frame(asset: str, frame: pd.DataFrame, bar_seconds: int) -> None:
    """Raises InputError, naming asset, time and value, unless these are clean bars on the clock of `bar_seconds`.

    Clean: time stamps rise strictly and are multiples of bar_seconds; prices are positive and finite; high and low bound
    open and close; volumes are not negative. Holes are allowed.
    """
    check_columns(asset, frame)
    time = times(frame)

    def refuse(bad: np.ndarray, what: str) -> None:
        if bad.any():
            row = int(np.argmax(bad))
            values = ", ".join(f"{name} {frame[name].iloc[row]}" for name in VALUES)
            raise InputError(f"{asset} at {utc(int(time[row]))}: {what} ({values})")

    step = np.diff(time, prepend=time[0] - 1)
    refuse((time < 0) | (time >= LATEST), f"{time.max()} is no time stamp in Unix seconds")
    refuse(step == 0, "two bars have this time stamp")
    refuse(step < 0, "the bar is earlier than the one before it; bars must be sorted by time")
    refuse(time % bar_seconds != 0, f"the bar is off the clock of {bar_seconds} s bars")
    refuse(broken_prices(frame), "prices must be positive and finite")
    refuse(broken_volume(frame), "the volume must be finite and not negative")
    refuse(broken_order(frame), "high and low must bound open and close")


def bar_length(timestamps: Int[np.ndarray, "T"]) -> int | None:
    """The most common distance between neighbouring bars in seconds, the shorter of two equally common; None if unknown."""
    step = np.diff(np.unique(timestamps))
    if len(step) == 0:
        return None
    lengths, counts = np.unique(step, return_counts=True)
    return int(lengths[np.argmax(counts)])


def restated(old: pd.DataFrame, new: pd.DataFrame) -> Int[np.ndarray, "R"]:
    """Time stamps, sorted, of the bars that are in both frames with other values."""
    both = old.merge(new, on="timestamp", suffixes=("", "_new"))
    differs = np.zeros(len(both), dtype=bool)
    for name in VALUES:
        differs |= column(both, name) != column(both, f"{name}_new")
    return np.unique(times(both)[differs])

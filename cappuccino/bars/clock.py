"""Time stamps: Unix seconds of a bar's opening, UTC, how a message shows them, and how long bars are in words."""

from __future__ import annotations

import datetime
import re

import numpy as np

LATEST = 4_102_444_800
"""Time stamps end before the year 2100, so that milliseconds taken for seconds are noticed."""

DAY = 86_400

_UNITS = {"d": DAY, "h": 3_600, "m": 60}


def utc(timestamp: int | np.integer) -> str:
    """Unix seconds as `2021-04-23 01:00:00Z`; the number itself where no calendar has it."""
    try:
        return datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(int(timestamp))


def seconds(text: str) -> int:
    """Unix seconds of what `utc` has written. Raises ValueError for anything else."""
    return int(datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=datetime.UTC).timestamp())


def bar_length(text: str) -> int:
    """Seconds of a bar's length like `15m`, `1h` or `1d`. Raises ValueError for anything else."""
    match = re.fullmatch(r"([1-9][0-9]*)([mhd])", text)
    if match is None:
        raise ValueError(f"{text!r} is no length of a bar")
    return int(match[1]) * _UNITS[match[2]]


def bar_words(length: int) -> str:
    """A length in seconds as `bar_length` reads it, in the largest unit that divides it; `90 s` where none does."""
    for unit, size in _UNITS.items():
        if length % size == 0:
            return f"{length // size}{unit}"
    return f"{length} s"

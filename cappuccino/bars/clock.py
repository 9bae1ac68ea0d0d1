"""Time stamps: Unix seconds of a bar's opening, UTC, and how a message shows them."""

from __future__ import annotations

import datetime

import numpy as np

LATEST = 4_102_444_800
"""Time stamps end before the year 2100, so that milliseconds taken for seconds are noticed."""


def utc(timestamp: int | np.integer) -> str:
    """Unix seconds as `2021-04-23 01:00:00Z`; the number itself where no calendar has it."""
    try:
        return datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(int(timestamp))


def seconds(text: str) -> int:
    """Unix seconds of what `utc` has written. Raises ValueError for anything else."""
    return int(datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=datetime.UTC).timestamp())

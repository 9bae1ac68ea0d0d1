"""Spans of a market's rows, and the hold-out split into training, validation and test."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import numpy as np

from cappuccino.errors import InputError
from cappuccino.market import MarketSpec

TRAIN_SHARE = 0.70


class Span(NamedTuple):
    """Market rows start to stop - 1, and what they are for."""

    name: str
    start: int
    stop: int


class Holdout(NamedTuple):
    """Three spans in order of time that share no bar."""

    train: Span
    valid: Span
    test: Span


def holdout(spec: MarketSpec, train_end: str | None, valid_end: str | None, lookback: int) -> Holdout:
    """Split all rows of a market by time.

    train_end, valid_end: ISO dates or times, UTC where they name no zone; the first instant of the next span. None takes
    70 % of the rows for training, and halves what is left after training into validation and test (70/15/15 where both are
    None). A window may reach back into the span before: what is past is known.

    Raises InputError for a date that cannot be read or lies outside the bars, and for a span that is empty or too short for
    a decision with `lookback` rows of features past their warm-up and a bar to mark it at.
    """
    total = len(spec.timestamps)
    train_stop = round(TRAIN_SHARE * total) if train_end is None else row_of(spec, train_end, "data.train_end")
    valid_stop = (train_stop + total + 1) // 2 if valid_end is None else row_of(spec, valid_end, "data.valid_end")
    split = Holdout(Span("train", 0, train_stop), Span("valid", train_stop, valid_stop), Span("test", valid_stop, total))
    for span in split:
        _check(spec, span, lookback)
    return split


def iso(timestamp: int | np.integer) -> str:
    """A Unix time stamp as `2024-01-31T05:00Z`."""
    moment = datetime.datetime.fromtimestamp(int(timestamp), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M") + (f":{moment:%S}Z" if moment.second else "Z")


def _range(spec: MarketSpec) -> str:
    return f"the bars run from {iso(spec.timestamps[0])} to {iso(spec.timestamps[-1])}"


def row_of(spec: MarketSpec, date: str, name: str) -> int:
    """The first row at or after an ISO date. Raises InputError, with `name`, for one that cannot be read or lies outside the bars."""
    try:
        moment = datetime.datetime.fromisoformat(date)
    except ValueError:
        raise InputError(f"{name} is {date!r}; it must be an ISO date such as 2024-01-31, and {_range(spec)}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    timestamp = moment.timestamp()
    if not spec.timestamps[0] < timestamp <= spec.timestamps[-1]:
        raise InputError(f"{name} is {date}, outside the data: {_range(spec)}")
    return int(np.searchsorted(spec.timestamps, timestamp))


def _check(spec: MarketSpec, span: Span, lookback: int) -> None:
    if span.stop <= span.start:
        raise InputError(f"the {span.name} span is empty; data.train_end must come before data.valid_end, and {_range(spec)}")
    if len(spec.episode_rows(span.start, span.stop, lookback, 1)) == 0:
        raise InputError(
            f"the {span.name} span, {iso(spec.timestamps[span.start])} to {iso(spec.timestamps[span.stop - 1])}, is too short: "
            f"its {span.stop - span.start} bars leave none to decide at after {spec.warmup} bars of warm-up and a look-back of "
            f"{lookback}; {_range(spec)}"
        )

"""Checks of configured values. Each raises InputError with the dotted name, the value, and what is allowed."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Any

from cappuccino.bars.clock import bar_length
from cappuccino.errors import InputError
from cappuccino.extensions import VARIABLE, added


def check_ranges(group: str, config: Any, **intervals: str) -> None:
    """Every named field of `config` lies in its interval, written as in mathematics: "(0, 1]", "[1, inf)". None passes.

    A list or a mapping passes if all of its values do. Not-a-number never does.
    """
    for name, interval in intervals.items():
        value = getattr(config, name)
        numbers = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
        if not all(number is None or _inside(number, interval) for number in numbers):
            raise InputError(f"{dotted(group, name)} is {value}; {_plural(value)} must be {_in_words(interval)}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InputError(f"{name} is {value!r}; it must be one of {', '.join(choices)}")


def check_added(name: str, value: str, kind: str) -> None:
    """Something that a module of the user's has added."""
    if value not in added(kind):
        raise InputError(
            f"{name} names {value!r}; it must be one of {', '.join(added(kind)) or 'none: there is no ' + kind + ' of your own'}. "
            f"{VARIABLE} names the modules that add them"
        )


def check_distinct(name: str, values: Sequence[str]) -> None:
    """At least one, none twice."""
    if not values:
        raise InputError(f"{name} is empty; it must name at least one")
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise InputError(f"{name} names {', '.join(twice)} twice; each may be named once")


def unix_seconds(name: str, text: str) -> int:
    """An ISO date or time as Unix seconds; UTC where it names no zone."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{name} is {text!r}; it must be a date like 2023-01-01 or a time like 2023-01-01T12:00") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return int(moment.timestamp())


def check_rising_dates(group: str, config: Any, *names: str) -> None:
    """The named fields that are not None are ISO dates, each later than the one before."""
    given = [(name, getattr(config, name)) for name in names if getattr(config, name) is not None]
    seconds = [unix_seconds(dotted(group, name), text) for name, text in given]
    for i in range(1, len(given)):
        if seconds[i] <= seconds[i - 1]:
            earlier, later = given[i - 1], given[i]
            raise InputError(
                f"{dotted(group, later[0])} is {later[1]}; it must be after {dotted(group, earlier[0])}, {earlier[1]}"
            )


def seconds_of_bar(name: str, text: str) -> int:
    """The length of a bar like 15m, 1h or 1d in seconds."""
    try:
        return bar_length(text)
    except ValueError:
        raise InputError(f"{name} is {text!r}; it must be a number of minutes, hours or days like 15m, 1h or 1d") from None


def dotted(group: str, name: str) -> str:
    return f"{group}.{name}" if group else name


def _inside(number: float, interval: str) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = number >= low if interval[0] == "[" else number > low
    below = number <= high if interval[-1] == "]" else number < high
    return above and below


def _plural(value: Any) -> str:
    return "each" if isinstance(value, list | dict) else "it"


def _in_words(interval: str) -> str:
    low, high = interval[1:-1].split(", ")
    if math.isinf(float(high)):
        return f"at least {low} and finite" if interval[0] == "[" else f"above {low} and finite"
    return f"in {interval}"


def check_name(name: str, value: str) -> None:
    """A name of a folder below another one: relative, and never leading out of it."""
    parts = value.split("/")
    if value.startswith("/") or not all(part and part not in (".", "..") for part in parts):
        raise InputError(f"{name} is {value!r}; it must be the name of a folder, without '..'")

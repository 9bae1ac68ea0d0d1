"""The end of a trader's log, as the page shows it."""

from __future__ import annotations

import dataclasses
import json
import pathlib

NEWEST = 20
TAIL = 262_144
"""Bytes of the log, from its end, that are looked through."""


@dataclasses.dataclass(frozen=True)
class Line:
    """What the log warns of, so many times in a row, last at that time."""

    at: str
    level: str
    said: str
    times: int = 1


def newest_warnings(log: pathlib.Path) -> list[Line]:
    """What it warns of or complains about, the newest first, NEWEST at most; nothing where there is no log."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    found: list[Line] = []
    for line in reversed(lines):
        if '"level": "info"' in line or (one := _line(line)) is None:
            continue
        if found and (found[-1].level, found[-1].said) == (one.level, one.said):
            found[-1] = dataclasses.replace(found[-1], times=found[-1].times + 1)
        elif len(found) == NEWEST:
            break
        else:
            found.append(one)
    return found


def _line(text: str) -> Line | None:
    """None for the half of a line with which a part of the log begins, and for what does not warn."""
    try:
        values = json.loads(text)
        level, at, event = (values.pop(name) for name in ("level", "timestamp", "event"))
    except (ValueError, KeyError, AttributeError):
        return None
    if level not in ("warning", "error"):
        return None
    details = "; ".join(
        f"{value}" if name in ("reason", "error", "stopped") else f"{name} {value}" for name, value in values.items()
    )
    return Line(str(at)[:19].replace("T", " "), level, f"{event}: {details}" if details else event)

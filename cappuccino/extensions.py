"""What others add from outside: features, rewards, networks, risk rules and brokers, each put by name into the table of its kind.

CAPPUCCINO_EXTENSIONS names the modules that do so; every command imports them before it reads its configuration. Nothing else names
code: neither a configuration nor an artifact can make a command import any.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import TypeVar

from cappuccino.errors import InputError

VARIABLE = "CAPPUCCINO_EXTENSIONS"

Entry = TypeVar("Entry")

_added: dict[str, list[str]] = {}


def load() -> None:
    """Import the modules that the environment names, with spaces between. Raises InputError for one that there is not."""
    for name in os.environ.get(VARIABLE, "").split():
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise InputError(
                f"{VARIABLE} names {name!r}, which is not there; it must name modules that Python finds, installed or in a folder of "
                f"PYTHONPATH"
            ) from None


def add(kind: str, table: dict[str, Entry], name: str, entry: Entry) -> None:
    """Put an entry into the table of its kind. Raises InputError for a name that is taken, or that cannot stand in an override."""
    if name in table:
        raise InputError(f"there is a {kind} {name!r} already; a name of your own is right")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"a {kind} is named {name!r}; lower-case letters, digits and _ are right, a letter first")
    table[name] = entry
    _added.setdefault(kind, []).append(name)


def added(kind: str) -> tuple[str, ...]:
    """The names that were added of a kind, in order."""
    return tuple(_added.get(kind, ()))

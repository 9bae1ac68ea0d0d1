"""Where everything of the pipeline lies, and what its studies, traders and accounts are called."""

from __future__ import annotations

import datetime
import pathlib
import re
from typing import NamedTuple

FOLDER = "pipeline"
_DIGITS = 12
"""Characters of a checksum in the name of a trader."""
_SHADOW = re.compile(r"shadow-([0-9a-f]{12})-(\d+)")
_CHAMPION = re.compile(r"champion-(\d+)-(\d+)-([0-9a-f]{12})")


class Places(NamedTuple):
    """Below a folder of runs."""

    runs: pathlib.Path

    @property
    def own(self) -> pathlib.Path:
        """What is the pipeline's alone."""
        return self.runs / FOLDER

    @property
    def traders(self) -> pathlib.Path:
        """The folders of traders."""
        return self.runs / "traders"

    def launched(self, name: str) -> pathlib.Path:
        """The lock that a trader or an exchange holds from before its first instruction to its end."""
        return self.own / "launched" / f"{name}.lock"

    def log(self, name: str) -> pathlib.Path:
        """What a step, a trader or an exchange prints."""
        return self.own / "logs" / f"{name}.txt"

    def validation(self, study: str) -> str:
        """The name of a study's validation, below the folder of runs."""
        return f"{FOLDER}/{study}/validation"


class ShadowName(NamedTuple):
    """A trader of a shadow. attempt: from 1; a new one where a trader was killed, whose exchange ended with it."""

    artifact: str
    attempt: int

    def __str__(self) -> str:
        return f"shadow-{self.artifact}-{self.attempt}"


class ChampionName(NamedTuple):
    """A trader of a champion. account: from 1. place: from 1, the traders that followed one another on it."""

    account: int
    place: int
    artifact: str

    def __str__(self) -> str:
        return f"champion-{self.account}-{self.place}-{self.artifact}"


def trader_name(text: str) -> ShadowName | ChampionName | None:
    """What the name of a trader says; None if it is not one of the pipeline's."""
    if found := _SHADOW.fullmatch(text):
        return ShadowName(found[1], int(found[2]))
    if found := _CHAMPION.fullmatch(text):
        return ChampionName(int(found[1]), int(found[2]), found[3])
    return None


def short(checksum: str) -> str:
    """An artifact in the name of a trader."""
    return checksum[:_DIGITS]


def exchange_name(account: int) -> str:
    """The exchange of an account."""
    return f"exchange-{account}"


def study_name(first: str, number: int, cut: int) -> str:
    """The first study's name, and of those after it with the date of its cut behind it."""
    return first if number == 0 else f"{first}-{datetime.datetime.fromtimestamp(cut, datetime.UTC):%Y%m%dT%H%M}"

"""What a look finds: all that the next steps follow from."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from cappuccino.pipeline.places import ChampionName, ShadowName
from cappuccino.registry.gates import Gate
from cappuccino.registry.registry import Entry


class Bars(NamedTuple):
    """Of the data that is configured. first, last: openings, Unix seconds. cut: where the first study's bars end, and train_end
    where its training does. can_grow: whether bars are still to come."""

    first: int
    last: int
    bar_seconds: int
    train_end: int
    cut: int
    can_grow: bool


@dataclasses.dataclass(frozen=True)
class Study:
    """A search that is due. cut: opening of the first bar that nothing of it reads. trials_ended: by its storage, None if there is none.

    is_concluded: whether all of its trials ended and the registry knows them. has_best: whether one of them did anything.
    """

    name: str
    number: int
    cut: int
    trials_ended: int | None
    is_concluded: bool
    has_best: bool


@dataclasses.dataclass(frozen=True)
class SeenTrader:
    """A trader that was launched.

    is_alive: its lock is held. exit_code: of its last end, None if it was killed, if the registry was not told, and if it was left to a
    person before this pipeline began. deployment: the number of its last start in the registry. bars: that it handled; marks: those of
    them that were marked, the last of them `last_bar`. is_over: the replay was. halted: why its kill switch is thrown. since: real
    seconds since it was launched.
    """

    name: ShadowName | ChampionName
    is_alive: bool
    exit_code: int | None
    deployment: int | None
    bars: int
    marks: int
    last_bar: int | None
    is_over: bool
    halted: str | None
    since: float


class Account(NamedTuple):
    """An account that champions trade. url: of its exchange, None where it is not up yet, or where the venue is not local."""

    number: int
    is_alive: bool
    url: str | None


@dataclasses.dataclass(frozen=True)
class Seen:
    """studies: in the order in which they are due. entries: of the registry. live_failed: gates that the champion's trader fails.

    is_busy: a step of this or an earlier pipeline runs. failed: names of steps that are not to be tried again now.
    reported: what was told before. fetched: real seconds since bars were fetched, None for never.
    """

    bars: Bars
    studies: tuple[Study, ...]
    entries: tuple[Entry, ...]
    traders: tuple[SeenTrader, ...]
    accounts: tuple[Account, ...]
    has_predecessor: bool
    live_failed: tuple[Gate, ...]
    is_busy: bool
    failed: frozenset[str]
    reported: frozenset[str]
    fetched: float | None

    def champion(self) -> Entry | None:
        """The one that trades."""
        return next((entry for entry in self.entries if entry.state == "champion"), None)

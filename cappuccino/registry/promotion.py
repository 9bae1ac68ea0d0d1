"""An artifact a state further, if the gates before it hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cappuccino.config.gates import GatesConfig
from cappuccino.errors import InputError
from cappuccino.registry.gates import Gate, as_figures, failed, shadow_gates, validation_gates
from cappuccino.registry.limits import measured_limits
from cappuccino.registry.paired import better_than
from cappuccino.registry.registry import Entry, Registry
from cappuccino.registry.states import State

_AFTER: Mapping[State, State] = {"candidate": "validated", "validated": "shadow", "shadow": "champion"}


class Judged(NamedTuple):
    """What was asked of an artifact to become `after`, and what was found."""

    before: State
    after: State
    gates: list[Gate]

    @property
    def refused(self) -> list[Gate]:
        """The gates that do not hold."""
        return failed(self.gates)


def judge(registry: Registry, checksum: str, config: GatesConfig) -> Judged:
    """What stands before the next state. Raises InputError for an artifact that has none, and one that is missing or damaged."""
    entry = registry.entry(checksum)
    if entry.state not in _AFTER:
        raise InputError(f"artifact {checksum[:12]} is {entry.state}; candidates, validated ones and shadows are promoted")
    after = _AFTER[entry.state]
    gates: list[Gate] = []
    if after == "validated":
        registry.record(checksum, "limits", measured_limits(registry.store.folder(checksum)))
        gates = validation_gates(registry.entry(checksum).figures, config)
    elif after == "champion":
        gates = [*shadow_gates(entry.figures, config), *_against_champion(registry, entry, config)]
    return Judged(entry.state, after, gates)


def promote(registry: Registry, checksum: str, config: GatesConfig, reason: str) -> Judged:
    """Change its state, unless a gate does not hold: then nothing is changed, and it is said which."""
    judged = judge(registry, checksum, config)
    if not judged.refused:
        registry.change(checksum, judged.after, reason, as_figures(judged.gates))
    return judged


def said(gates: Sequence[Gate]) -> str:
    """Gates in a sentence: what was found of each, and what was asked."""
    return "; ".join(f"{gate.name} is {gate.found}, asked is {gate.asked}" for gate in gates)


def _against_champion(registry: Registry, entry: Entry, config: GatesConfig) -> list[Gate]:
    champion = registry.champion()
    if champion is None:
        return []
    mine = _equity(entry, "shadow")
    theirs = max((_equity(champion, kind) for kind in ("shadow", "live")), key=lambda one: len(one.keys() & mine.keys()))
    return [better_than(mine, theirs, config)]


def _equity(entry: Entry, kind: str) -> dict[int, float]:
    """By bar: of a shadow on paper, of a champion on its account."""
    return {int(bar): value for bar, value in entry.figures.get(kind, {}).get("equity", {}).items()}

"""The registry as the page shows it: artifacts with their gates, and the refused ones with what they lack."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from cappuccino.config.gates import GatesConfig
from cappuccino.errors import InputError
from cappuccino.registry.gates import Gate, failed, shadow_gates, validation_gates
from cappuccino.registry.registry import Change, Deployment, Entry, Registry
from cappuccino.registry.states import STATES


class Judged(NamedTuple):
    """The gates of one step: what it is called, and whether all hold."""

    title: str
    gates: list[Gate]

    @property
    def held(self) -> int:
        """How many hold."""
        return len(self.gates) - len(failed(self.gates))


@dataclasses.dataclass(frozen=True)
class Shown:
    """An artifact. since: when it came into its state. folder: None where it was pruned."""

    entry: Entry
    since: float
    steps: list[Judged]
    changes: list[Change]
    deployments: list[Deployment]
    folder: pathlib.Path | None


def shown_entries(runs_dir: pathlib.Path, gates: GatesConfig) -> tuple[dict[str, list[Shown]], dict[str, int]]:
    """All artifacts by state, the newest first, and the trials of each study that is known. Raises InputError as `Registry` does."""
    with contextlib.closing(Registry(runs_dir, read_only=True)) as registry:
        found = [_shown(registry, entry, gates) for entry in registry.entries()]
        studies = registry.studies()
    by_state = {state: [one for one in reversed(found) if one.entry.state == state] for state in reversed(STATES)}
    order = ("champion", "shadow", "validated", "candidate", "retired")
    return {state: by_state[state] for state in order if by_state[state]}, studies


def shown_entry(runs_dir: pathlib.Path, name: str, gates: GatesConfig) -> Shown:
    """One artifact by the beginning of its checksum. Raises InputError."""
    with contextlib.closing(Registry(runs_dir, read_only=True)) as registry:
        return _shown(registry, registry.entry(registry.find(name)), gates)


def side_by_side(several: Sequence[Shown]) -> list[tuple[str, list[Gate | None]]]:
    """Every gate with what each artifact has of it."""
    by_entry = [{f"{step.title}: {gate.name}": gate for step in one.steps for gate in step.gates} for one in several]
    names = dict.fromkeys(name for gates in by_entry for name in gates)
    return [(name, [gates.get(name) for gates in by_entry]) for name in names]


def _shown(registry: Registry, entry: Entry, config: GatesConfig) -> Shown:
    steps = [Judged("validation", validation_gates(entry.figures, config))]
    if "shadow" in entry.figures:
        steps.append(Judged("on paper", shadow_gates(entry.figures, config)))
    changes = registry.changes(entry.checksum)
    folder = None
    with contextlib.suppress(InputError):  # what was pruned has none
        folder = registry.store.folder(entry.checksum)
    return Shown(
        entry, changes[-1].at if changes else entry.at, steps, changes[::-1], registry.deployments(entry.checksum), folder
    )

"""The registry: every artifact with all that is known of it, its state, and each change of that with its reason."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import exc, func, select
from sqlalchemy.dialects.sqlite import insert

from cappuccino.errors import InputError
from cappuccino.registry import schema
from cappuccino.registry.states import NEXT, State
from cappuccino.registry.store import ArtifactStore

REGISTRY_NAME = "registry"
_MADE_ROOM = "made room for"
"""What the reason begins with of a champion that was retired because another became champion, and for nothing of its own."""
_SHORTEST = 4
"""Characters of a checksum that may name an artifact."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An artifact. name: that of the run it came from. at: when it was added, Unix seconds. figures: the latest of each kind."""

    checksum: str
    name: str
    study: str | None
    trial: int | None
    at: float
    state: State
    figures: dict[str, dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of an artifact's state at a time, with its reason and the figures that it was made on. before: None for the first."""

    checksum: str
    at: float
    before: State | None
    after: State
    reason: str
    figures: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A trader of an artifact. ended, exit_code: None while it runs, or where nobody saw its end."""

    id: int
    checksum: str
    trader: str
    began: float
    ended: float | None
    exit_code: int | None


@dataclasses.dataclass(frozen=True)
class Trial:
    """A study's trial. state: how it ended, or that it did not. value: None where it has none that is a number."""

    number: int
    state: str
    value: float | None
    parameters: dict[str, Any]


def store_of(runs_dir: pathlib.Path | str) -> ArtifactStore:
    """The artifacts of the registry below a folder of runs."""
    return ArtifactStore(pathlib.Path(runs_dir) / REGISTRY_NAME / "artifacts")


class Registry:
    """The registry below a folder of runs, made if it is not there. read_only: to be read only, and not made.

    All calls raise InputError where the file is locked for too long, damaged or gone; then nothing was changed.
    """

    def __init__(self, runs_dir: pathlib.Path | str, now: Callable[[], float] = time.time, *, read_only: bool = False) -> None:
        self.path = pathlib.Path(runs_dir) / REGISTRY_NAME / "registry.sqlite"
        self.store = store_of(runs_dir)
        self._engine = schema.open_to_read(self.path) if read_only else schema.open_engine(self.path)
        self._now = now

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlalchemy.Connection]:
        try:
            if not self.path.exists():
                raise InputError(f"the registry {self.path} is gone")
            with self._engine.begin() as connection:
                yield connection
        except exc.DatabaseError as error:
            raise InputError(schema.unusable(self.path, error)) from None

    def add_study(self, name: str, *, objective: str, direction: str, trials: Sequence[Trial]) -> None:
        """A study as it is now; what was known of it is replaced."""
        row = {"name": name, "objective": objective, "direction": direction, "at": self._now()}
        rows = [{**dataclasses.asdict(one), "study": name, "parameters": json.dumps(one.parameters)} for one in trials]
        with self._transaction() as db:
            db.execute(insert(schema.studies).values(row).on_conflict_do_update(index_elements=["name"], set_=row))
            db.execute(schema.trials.delete().where(schema.trials.c.study == name))
            if rows:
                db.execute(schema.trials.insert(), rows)

    def studies(self) -> dict[str, int]:
        """How many trials each study has, by name."""
        counted = select(schema.studies.c.name, func.count(schema.trials.c.number)).join(
            schema.trials, schema.trials.c.study == schema.studies.c.name, isouter=True
        )
        with self._transaction() as db:
            return {name: number for name, number in db.execute(counted.group_by(schema.studies.c.name))}

    def trials(self, study: str) -> list[Trial]:
        """A study's trials by number; none of a study that is not known."""
        mine = select(schema.trials).where(schema.trials.c.study == study).order_by(schema.trials.c.number)
        with self._transaction() as db:
            rows = db.execute(mine).mappings().all()
        return [Trial(row["number"], row["state"], row["value"], json.loads(row["parameters"])) for row in rows]

    def add(self, folder: pathlib.Path, *, name: str, study: str | None = None, trial: int | None = None) -> str:
        """Take an artifact in as a candidate, if it is not known; its checksum. Raises InputError if it is damaged."""
        checksum = self.store.put(folder)
        row = {"checksum": checksum, "name": name, "study": study, "trial": trial, "at": self._now(), "state": "candidate"}
        with self._transaction() as db:
            if db.execute(insert(schema.artifacts).values(row).on_conflict_do_nothing()).rowcount:
                self._write_change(db, Change(checksum, self._now(), None, "candidate", f"from {folder}", {}))
        return checksum

    def find(self, name: str) -> str:
        """The checksum that begins with `name`. Raises InputError for none and for several."""
        with self._transaction() as db:
            found = list(
                db.execute(
                    select(schema.artifacts.c.checksum).where(schema.artifacts.c.checksum.startswith(name, autoescape=True))
                ).scalars()
            )
        if len(name) < _SHORTEST or len(found) != 1:
            raise InputError(
                f"{name!r} names {len(found)} artifacts of the registry; the first {_SHORTEST} characters of a checksum or more, "
                "as `cappuccino registry list` shows them, are right"
            )
        return str(found[0])

    def entry(self, checksum: str) -> Entry:
        """What is known of an artifact. Raises InputError if it is not."""
        (found,) = self._entries(schema.artifacts.c.checksum == checksum) or (None,)
        if found is None:
            raise InputError(f"artifact {checksum[:12]} is not in the registry {self.path}")
        return found

    def entries(self, *states: State) -> list[Entry]:
        """All artifacts, or those in these states, in the order in which they came."""
        return self._entries(schema.artifacts.c.state.in_(states) if states else sqlalchemy.true())

    def _entries(self, condition: sqlalchemy.ColumnElement[bool]) -> list[Entry]:
        latest = (
            select(func.max(schema.figures.c.id))
            .where(schema.figures.c.checksum == schema.artifacts.c.checksum)
            .group_by(schema.figures.c.kind)
            .correlate(schema.artifacts)
        )
        with self._transaction() as db:
            rows = db.execute(
                select(schema.artifacts).where(condition).order_by(schema.artifacts.c.at, schema.artifacts.c.checksum)
            )
            found = rows.mappings().all()
            known: dict[str, dict[str, Any]] = {row["checksum"]: {} for row in found}
            of_all = select(schema.artifacts.c.checksum, schema.figures.c.kind, schema.figures.c.figures).where(
                schema.figures.c.checksum == schema.artifacts.c.checksum, schema.figures.c.id.in_(latest), condition
            )
            for checksum, kind, text in db.execute(of_all):
                known[checksum][kind] = json.loads(text)
        return [Entry(**row, figures=known[row["checksum"]]) for row in found]

    def record(self, checksum: str, kind: str, figures: Mapping[str, Any]) -> None:
        """Write down figures of an artifact; those of the same kind before them are kept too. Raises InputError for one not finite."""
        try:
            text = json.dumps(figures, allow_nan=False)
        except ValueError as error:
            raise InputError(f"figures of {kind} cannot be written down: {error}") from None
        row = {"checksum": checksum, "kind": kind, "at": self._now(), "figures": text}
        with self._transaction() as db:
            self._state(db, checksum)
            db.execute(schema.figures.insert(), row)

    def champion(self) -> Entry | None:
        """The one that trades."""
        found = self.entries("champion")
        return found[0] if found else None

    def predecessor(self) -> Entry | None:
        """The last one that was champion and made room for another, not counting those that were rolled back or retired."""
        reigns: list[str] = []
        for one in self.changes():
            if one.after == "champion":
                # A roll-back leads from `retired`: the reigns behind the one that it goes back to are over.
                is_back = one.before == "retired" and one.checksum in reigns
                reigns = reigns[: reigns.index(one.checksum)] if is_back else reigns
                reigns.append(one.checksum)
            elif one.before == "champion" and not one.reason.startswith(_MADE_ROOM):
                reigns.remove(one.checksum)
        champion = self.champion()
        if champion is not None and reigns and reigns[-1] == champion.checksum:
            reigns.pop()
        return self.entry(reigns[-1]) if reigns else None

    def change(self, checksum: str, after: State, reason: str, figures: Mapping[str, Any] | None = None) -> None:
        """Change an artifact's state. A new champion retires the one before. Raises InputError for what does not follow (NEXT)."""
        with self._transaction() as db:
            before = self._state(db, checksum)
            if after not in NEXT[before]:
                raise InputError(
                    f"artifact {checksum[:12]} is {before}; from there it may become {' or '.join(sorted(NEXT[before]))}"
                )
            if before == "retired" and checksum not in self._champions(db):
                raise InputError(f"artifact {checksum[:12]} was never champion; only one that was can be again")
            if after == "champion":
                for other in self._in_state(db, "champion"):
                    self._move(db, Change(other, self._now(), "champion", "retired", f"{_MADE_ROOM} {checksum[:12]}", {}))
            self._move(db, Change(checksum, self._now(), before, after, reason, dict(figures or {})))

    def roll_back(self, reason: str, figures: Mapping[str, Any] | None = None) -> tuple[str, str]:
        """Retire the champion and make its predecessor champion again; both checksums. Raises InputError where there are not both."""
        champion, predecessor = self.champion(), self.predecessor()
        if champion is None or predecessor is None:
            raise InputError("there is no champion to roll back" if champion is None else "the champion has no predecessor")
        with self._transaction() as db:
            if self._in_state(db, "champion") != [champion.checksum]:
                raise InputError(f"artifact {champion.checksum[:12]} is not champion any more")
            given = dict(figures or {})
            self._move(db, Change(champion.checksum, self._now(), "champion", "retired", reason, given))
            again = f"in the place of {champion.checksum[:12]}, which was rolled back: {reason}"
            self._move(db, Change(predecessor.checksum, self._now(), predecessor.state, "champion", again, given))
        return champion.checksum, predecessor.checksum

    def changes(self, checksum: str | None = None) -> list[Change]:
        """Of an artifact or of all, oldest first."""
        condition = sqlalchemy.true() if checksum is None else schema.changes.c.checksum == checksum
        with self._transaction() as db:
            rows = db.execute(select(schema.changes).where(condition).order_by(schema.changes.c.id)).mappings().all()
        return [
            Change(row["checksum"], row["at"], row["before"], row["after"], row["reason"], json.loads(row["figures"]))
            for row in rows
        ]

    def begin_deployment(self, checksum: str, trader: str) -> int:
        """A trader of an artifact began; the number by which its end is told. It held no other end open: an earlier one of its name
        that never told one has been killed, and ends now without an exit code."""
        row = {"checksum": checksum, "trader": trader, "began": self._now()}
        mine = (schema.deployments.c.trader == trader) & schema.deployments.c.ended.is_(None)
        with self._transaction() as db:
            self._state(db, checksum)
            db.execute(schema.deployments.update().where(mine).values(ended=self._now()))
            return int(db.execute(schema.deployments.insert(), row).inserted_primary_key[0])  # type: ignore[index]

    def end_deployment(self, number: int, exit_code: int) -> None:
        """It ended."""
        end = schema.deployments.update().where(schema.deployments.c.id == number)
        with self._transaction() as db:
            db.execute(end.values(ended=self._now(), exit_code=exit_code))

    def deployments(self, checksum: str | None = None) -> list[Deployment]:
        """Of an artifact or of all, oldest first."""
        condition = sqlalchemy.true() if checksum is None else schema.deployments.c.checksum == checksum
        with self._transaction() as db:
            rows = db.execute(select(schema.deployments).where(condition).order_by(schema.deployments.c.id)).mappings().all()
        return [Deployment(**row) for row in rows]

    def prune(self, *, keep: int) -> dict[str, int]:
        """Delete the folders of retired artifacts but the `keep` last ones, the champion's predecessor, and those that a trader trades;
        bytes by checksum. What is known of them stays."""
        retired = self.entries("retired")
        last = {change.checksum: change.at for change in self.changes()}
        ordered = sorted(retired, key=lambda entry: last[entry.checksum])
        predecessor = self.predecessor()
        held = {one.checksum for one in self.deployments() if one.ended is None}
        held |= {predecessor.checksum} if predecessor is not None else set()
        old = [entry.checksum for entry in ordered[: max(len(ordered) - keep, 0)] if entry.checksum not in held]
        sizes = {checksum: self.store.remove(checksum) for checksum in old}
        return {checksum: size for checksum, size in sizes.items() if size}

    def _state(self, db: sqlalchemy.Connection, checksum: str) -> State:
        found = db.execute(select(schema.artifacts.c.state).where(schema.artifacts.c.checksum == checksum)).scalar()
        if found is None:
            raise InputError(f"artifact {checksum[:12]} is not in the registry {self.path}")
        return found

    def _in_state(self, db: sqlalchemy.Connection, state: State) -> list[str]:
        return list(db.execute(select(schema.artifacts.c.checksum).where(schema.artifacts.c.state == state)).scalars())

    def _champions(self, db: sqlalchemy.Connection) -> set[str]:
        """All that were champion at some time."""
        return set(db.execute(select(schema.changes.c.checksum).where(schema.changes.c.after == "champion")).scalars())

    def _move(self, db: sqlalchemy.Connection, change: Change) -> None:
        moved = schema.artifacts.update().where(schema.artifacts.c.checksum == change.checksum)
        db.execute(moved.values(state=change.after))
        self._write_change(db, change)

    def _write_change(self, db: sqlalchemy.Connection, change: Change) -> None:
        row = {**dataclasses.asdict(change), "figures": json.dumps(change.figures, allow_nan=False)}
        db.execute(schema.changes.insert(), row)

"""The studies in `studies.db` as the page shows them, read through Optuna from a file that is opened to be read only."""

from __future__ import annotations

import dataclasses
import datetime
import importlib
import math
import pathlib
import threading
from collections import Counter
from typing import Any
from urllib.parse import quote

import optuna
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from cappuccino.errors import InputError
from cappuccino.sweep.ends import ENDS, end_of
from cappuccino.sweep.storage import unusable

BEST = 12
_IMPORTANCE = "optuna.importance"
"""Imported late: where scikit-learn is installed, it brings that."""
IMPORTANCE_TRIALS = 10
"""Fewest complete trials of which importances are shown."""


@dataclasses.dataclass(frozen=True)
class Study:
    """ends: how many trials ended how. best: the complete ones that did something, the best first. last: when a trial began or
    ended last, Unix seconds. importances: share of each parameter; None of too few trials."""

    name: str
    direction: str
    ends: dict[str, int]
    best: list[FrozenTrial]
    last: float | None
    importances: dict[str, float] | None

    @property
    def trials(self) -> int:
        """All that were begun."""
        return sum(self.ends.values())

    @property
    def parameters(self) -> list[str]:
        """Of the best trials."""
        return list(dict.fromkeys(name for one in self.best for name in one.params))

    @property
    def is_running(self) -> bool:
        """Whether a trial runs, by the storage."""
        return self.ends.get("running", 0) > 0


class Studies:
    """The studies below a folder of runs. Threads may share it."""

    def __init__(self, runs_dir: pathlib.Path) -> None:
        self.path, self._lock = runs_dir / "studies.db", threading.Lock()
        self._storage: BaseStorage | None = None
        self._importances: dict[tuple[str, int], dict[str, float]] = {}

    @staticmethod
    def prepare() -> None:
        """Bring what importances take, so that nobody waits for it."""
        importlib.import_module(_IMPORTANCE)

    @property
    def url(self) -> str:
        """As `optuna-dashboard` takes it."""
        return f"sqlite:///{self.path}"

    def all(self) -> list[Study]:
        """Without importances. Raises InputError where there is no storage, or one that cannot be read."""
        return [self._study(name, weighs=False) for name in self._names()]

    def one(self, name: str) -> Study:
        """Raises InputError, KeyError for an unknown name."""
        if name not in self._names():
            raise KeyError(name)
        return self._study(name, weighs=True)

    def _names(self) -> list[str]:
        return sorted(self._ask(lambda storage: [one.study_name for one in storage.get_all_studies()]))

    def _ask(self, question: Any) -> Any:
        if not self.path.is_file():
            raise InputError(f"there is no {self.path} yet: a search makes it, python train.py -m sweep=ppo")
        try:
            with self._lock:
                if self._storage is None:
                    self._storage = optuna.storages.get_storage(_readable(self.path))
                return question(self._storage)
        except (sqlalchemy.exc.SQLAlchemyError, StorageInternalError, RuntimeError, AssertionError) as error:
            self._storage = None
            raise InputError(unusable(self.url, error)) from None

    def _study(self, name: str, *, weighs: bool) -> Study:
        study = self._ask(lambda storage: optuna.load_study(study_name=name, storage=storage))
        trials: list[FrozenTrial] = self._ask(lambda _: study.get_trials(deepcopy=False))
        ends = Counter(map(end_of, trials))
        sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
        complete = [one for one in trials if end_of(one) == "complete" and one.value is not None and math.isfinite(one.value)]
        times = [at for one in trials for at in (one.datetime_start, one.datetime_complete) if at is not None]
        return Study(
            name=name,
            direction=study.direction.name.lower(),
            ends={end: ends[end] for end in ENDS if ends[end]},
            best=sorted(complete, key=lambda one: sign * (one.value or 0.0))[:BEST],
            last=max(times).astimezone(datetime.UTC).timestamp() if times else None,
            importances=self._weighed(study, complete) if weighs else None,
        )

    def _weighed(self, study: optuna.Study, complete: list[FrozenTrial]) -> dict[str, float] | None:
        names = [name for name in dict.fromkeys(n for one in complete for n in one.params) if _varies(complete, name)]
        if len(complete) < IMPORTANCE_TRIALS or not names or len({one.value for one in complete}) < 2:
            return None
        key = (study.study_name, len(complete))
        if key not in self._importances:
            importance = importlib.import_module(_IMPORTANCE)
            held = optuna.create_study(direction=study.direction)
            held.add_trials(
                [
                    optuna.trial.create_trial(value=one.value, params=one.params, distributions=one.distributions)
                    for one in complete
                ]
            )
            self._importances = {
                key: importance.get_param_importances(held, evaluator=importance.PedAnovaImportanceEvaluator(), params=names)
            }
        return self._importances[key]


def _varies(trials: list[FrozenTrial], name: str) -> bool:
    return all(name in one.params for one in trials) and len({repr(one.params[name]) for one in trials}) > 1


def _readable(path: pathlib.Path) -> RDBStorage:
    """Neither made nor changed."""
    return RDBStorage(f"sqlite:///file:{quote(str(path.absolute()))}?mode=ro&uri=true", skip_table_creation=True)

"""A trial: its parts, and what they have shown so far."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from flax import nnx
from optuna.trial import Trial

from cappuccino.config.roots import TrainConfig
from cappuccino.evaluation.backtest import Path
from cappuccino.sweep.objective import objective_of, validation_of
from cappuccino.sweep.parts import Crossing, Part, Place


class OutOfSample(NamedTuple):
    """What a part did on the blocks that its fold tests. validation: of the path, as a lane has it of its validation rows."""

    path: Path
    validation: Mapping[str, float]


@dataclasses.dataclass
class TrainedTrial:
    """A trial's configuration (of the first seed) and its parts in the order in which they train.

    On a hold-out it is judged by the validation span, on which each part's chunk is chosen too; crossing: on folds by the blocks that
    they test. tested: what parts that are done did on these.
    """

    config: TrainConfig
    parts: dict[Place, Part]
    crossing: Crossing | None
    objective: str
    direction: str
    tested: dict[Place, OutOfSample] = dataclasses.field(default_factory=dict, init=False)

    @property
    def diverged(self) -> list[Place]:
        return [place for place, part in self.parts.items() if part.failed]

    @property
    def done(self) -> bool:
        return all(part.done for part in self.parts.values())

    @property
    def env_steps(self) -> int:
        return sum(part.env_steps for part in self.parts.values())

    @property
    def share_done(self) -> float:
        return statistics.fmean(len(part.validations) / part.chunks for part in self.parts.values())

    def keep(self, place: Place, kept: tuple[nnx.State, int]) -> None:
        """Take the parameters of a part that is done, and let it show what it does on the blocks of its fold, if it has one."""
        part = self.parts[place]
        part.kept = kept
        if self.crossing is not None:
            path = self.crossing.path(place.fold, part.training, kept[0])
            self.tested[place] = OutOfSample(path, validation_of(path, self.crossing.data.market))

    def out_of_sample(self) -> list[Path]:
        """All bars that folds test, by seed and path, once all parts are done."""
        assert self.crossing is not None
        seeds = dict.fromkeys(place.seed for place in self.parts)
        by_fold = [[self.tested[place].path for place in self.parts if place.seed == seed] for seed in seeds]
        return [path for paths in by_fold for path in self.crossing.tested.paths(paths)]

    def value(self) -> float:
        """The mean over parts of the objective: on a hold-out that of each one's best chunk, otherwise that of the blocks it tests."""
        if self.crossing is not None:
            return self.by_fold()[-1]
        return self.mean_of(part.best for part in self.parts.values() if part.best is not None)

    def by_fold(self) -> list[float]:
        """The mean of the objective over the folds up to each, as far as they are done."""
        assert self.crossing is not None
        values: list[float] = []
        for fold in range(len(self.crossing.folds.folds)):
            upto = [place for place in self.parts if place.fold <= fold]
            if any(place not in self.tested for place in upto):
                break
            values.append(self.mean_of(self.tested[place].validation for place in upto))
        return values

    def mean_of(self, validations: Iterable[Mapping[str, float]]) -> float:
        """Of the objective."""
        return statistics.fmean(objective_of(self.objective, one, self.direction) for one in validations)

    def said(self, place: Place) -> str:
        """A part's name in a message."""
        return (
            f"seed {place.seed}"
            if self.crossing is None
            else f"{self.crossing.folds.folds[place.fold].name}, seed {place.seed}"
        )


@dataclasses.dataclass
class RunningTrial(TrainedTrial):
    """A trial in progress. first: folds that train side by side before the others do, and are judged chunk by chunk.

    reported: how much Optuna has been told; last_value: the last of it.
    """

    trial: Trial = dataclasses.field(kw_only=True)
    first: int = dataclasses.field(kw_only=True)
    reported: int = 0
    last_value: float | None = None

    def to_report(self) -> list[tuple[int, float]]:
        """(step, objective) that Optuna has not been told. What is told at a step is of the same bars in every trial.

        Chunk by chunk the mean over the parts of the first folds (of all, on a hold-out), by the bars that checkpoints are chosen on,
        where a part that stopped early stands where it stopped. Behind the last chunk, on folds, for each that is done the mean over
        those up to it, by the blocks that they test.
        """
        values = self._by_chunk()
        if self.crossing is not None:
            last = next(iter(self.parts.values())).chunks
            values += [(last + fold, value) for fold, value in enumerate(self.by_fold()) if fold >= self.first - 1]
        new = values[self.reported :]
        self.reported = max(self.reported, len(values))
        self.last_value = new[-1][1] if new else self.last_value
        return new

    def _by_chunk(self) -> list[tuple[int, float]]:
        parts = [part for place, part in self.parts.items() if place.fold < self.first]
        going = [part for part in parts if not part.done]
        common = min(len(part.validations) for part in going) if going else max(len(part.validations) for part in parts)
        return [
            (chunk, self.mean_of(part.validations[min(chunk, len(part.validations) - 1)] for part in parts))
            for chunk in range(common)
        ]

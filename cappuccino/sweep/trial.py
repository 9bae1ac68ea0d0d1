"""A trial in progress: its trainings, one for each seed, and what they have shown so far."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

from optuna.trial import Trial

from cappuccino.config.roots import TrainConfig
from cappuccino.lanes.progress import TrainingProgress
from cappuccino.sweep.objective import objective_of


@dataclasses.dataclass
class SeedProgress(TrainingProgress):
    """The training of a trial with one of its seeds."""

    config: TrainConfig = dataclasses.field(kw_only=True)


@dataclasses.dataclass
class RunningTrial:
    """A trial and its trainings by seed. reported: chunks of which Optuna has been told; last_value: the last of them."""

    trial: Trial
    seeds: dict[int, SeedProgress]
    objective: str
    direction: str
    reported: int = 0
    last_value: float | None = None

    @property
    def diverged(self) -> list[int]:
        return [seed for seed, progress in self.seeds.items() if progress.failed]

    @property
    def done(self) -> bool:
        return all(progress.done for progress in self.seeds.values())

    @property
    def env_steps(self) -> int:
        return sum(progress.env_steps for progress in self.seeds.values())

    @property
    def share_done(self) -> float:
        return statistics.fmean(len(progress.validations) / progress.chunks for progress in self.seeds.values())

    def to_report(self) -> list[tuple[int, float]]:
        """(chunk, objective) that Optuna has not been told: the mean over seeds, of the chunks that all have done. One that stopped
        early stands where it stopped."""
        going = [progress for progress in self.seeds.values() if not progress.done] or self.seeds.values()
        both = max(self.reported, min(len(progress.validations) for progress in going))
        new = [
            (chunk, self._mean_of([p.validations[min(chunk, len(p.validations) - 1)] for p in self.seeds.values()]))
            for chunk in range(self.reported, both)
        ]
        self.reported, self.last_value = both, new[-1][1] if new else self.last_value
        return new

    def value(self) -> float:
        """The objective of each training's best chunk, averaged over seeds."""
        return self._mean_of(self._best())

    def _best(self) -> list[Mapping[str, float]]:
        return [progress.best for progress in self.seeds.values() if progress.best is not None]

    def _mean_of(self, validations: Sequence[Mapping[str, float]]) -> float:
        return statistics.fmean(objective_of(self.objective, one, self.direction) for one in validations)

"""A trial: its parts, and what they have shown so far."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping

import numpy as np
from flax import nnx
from optuna.trial import Trial

from cappuccino.config.roots import TrainConfig
from cappuccino.config.sweep import RobustConfig
from cappuccino.evaluation.backtest import Path, policy_strategy
from cappuccino.sweep.objective import BY_CHUNK, objective_of
from cappuccino.sweep.parts import Crossing, FoldSeed, Part
from cappuccino.sweep.robust import robust_growth


@dataclasses.dataclass
class TrainedTrial:
    """A trial's configuration (of the first seed) and its parts in the order in which they train.

    On a hold-out it is judged by the validation span, on which each part's chunk is chosen too; crossing: on folds by the blocks that
    they test. robust: what the objective of that name means. shown: of each part that is done, the figures of its best chunk on what
    it is judged by; paths: on folds, what it did there.
    """

    config: TrainConfig
    parts: dict[FoldSeed, Part]
    crossing: Crossing | None
    objective: str
    direction: str
    robust: RobustConfig
    shown: dict[FoldSeed, Mapping[str, float]] = dataclasses.field(default_factory=dict, init=False)
    paths: dict[FoldSeed, Path] = dataclasses.field(default_factory=dict, init=False)

    @property
    def diverged(self) -> list[FoldSeed]:
        return [key for key, part in self.parts.items() if part.failed]

    @property
    def done(self) -> bool:
        return all(part.done for part in self.parts.values())

    @property
    def env_steps(self) -> int:
        return sum(part.env_steps for part in self.parts.values())

    @property
    def share_done(self) -> float:
        return statistics.fmean(len(part.validations) / part.chunks for part in self.parts.values())

    def keep(self, key: FoldSeed, kept: tuple[nnx.State, int]) -> None:
        """Take the parameters of a part that is done, and let it show what it is worth."""
        part, market = self.parts[key], self.parts[key].training.data.market
        assert part.best is not None
        part.kept = kept
        shown, bars = part.best, (np.asarray(part.training.valid.rows), int(part.training.valid.number))
        if self.crossing is not None:
            self.paths[key], shown = self.crossing.test(key.fold, part.training, kept[0])
            bars = self.crossing.tested.rows[key.fold], self.crossing.tested.number[key.fold]
        if self.objective == "robust":
            policy = part.training.policy(kept[0])
            strategy = policy_strategy(policy, policy.shape.lookback)
            shown = {**shown, "robust_growth": robust_growth(strategy, market, *bars, part.training.judged, self.robust)}
        self.shown[key] = shown

    def out_of_sample(self) -> list[Path]:
        """All bars that folds test, by seed and path, once all parts are done."""
        assert self.crossing is not None
        seeds = dict.fromkeys(key.seed for key in self.parts)
        by_fold = [[self.paths[key] for key in self.parts if key.seed == seed] for seed in seeds]
        return [path for paths in by_fold for path in self.crossing.tested.paths(paths)]

    def value(self) -> float:
        """The mean of the objective over parts, once all are done."""
        return self.mean_of(self.objective, [self.shown[key] for key in self.parts])

    def by_fold(self) -> list[float]:
        """The mean of the objective over the folds up to each, as far as they are done."""
        assert self.crossing is not None
        values: list[float] = []
        for fold in range(len(self.crossing.folds.folds)):
            upto = [key for key in self.parts if key.fold <= fold]
            if any(key not in self.shown for key in upto):
                break
            values.append(self.mean_of(self.objective, [self.shown[key] for key in upto]))
        return values

    def mean_of(self, objective: str, shown: Iterable[Mapping[str, float]]) -> float:
        return statistics.fmean(objective_of(objective, one, self.direction) for one in shown)

    def said(self, key: FoldSeed) -> str:
        """A part's name in a message."""
        return f"seed {key.seed}" if self.crossing is None else f"{self.crossing.folds.folds[key.fold].name}, seed {key.seed}"


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
        """(step, objective) that Optuna has not been told. What is told at a step is of the same bars in every trial, on folds in every
        trial of a process with as many lanes.

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
        parts = [part for key, part in self.parts.items() if key.fold < self.first]
        going = [part for part in parts if not part.done]
        common = min(len(part.validations) for part in going) if going else max(len(part.validations) for part in parts)
        objective = BY_CHUNK.get(self.objective, self.objective)
        return [
            (chunk, self.mean_of(objective, [part.validations[min(chunk, len(part.validations) - 1)] for part in parts]))
            for chunk in range(common)
        ]

"""One training that runs as a lane, and what it has shown so far."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from flax import nnx

from cappuccino.assemble import Training
from cappuccino.lanes.pool import ChunkOfLane


@dataclasses.dataclass
class TrainingProgress:
    """One training. validations: after each chunk; best: that with the highest score, the earliest of equals. stopped: early.

    kept: of a training that is done, the parameters of that chunk, and after which update it was.
    """

    training: Training
    rows: list[dict[str, float]] = dataclasses.field(default_factory=list)
    validations: list[Mapping[str, float]] = dataclasses.field(default_factory=list)
    best: Mapping[str, float] | None = None
    failed: bool = False
    stopped: bool = False
    kept: tuple[nnx.State, int] | None = None

    def take(self, chunk: ChunkOfLane) -> None:
        """Note what it did in a chunk."""
        chunk.rows[-1] |= {f"validation/{name}": value for name, value in chunk.validation.items()}
        self.rows += chunk.rows
        self.validations.append(chunk.validation)
        self.failed, self.stopped = chunk.failed, chunk.stopped
        if not chunk.failed and (self.best is None or chunk.validation["score"] > self.best["score"]):
            self.best = chunk.validation

    @property
    def chunks(self) -> int:
        """Chunks until it is done, if it does not stop early."""
        return self.training.schedule.updates // self.training.schedule.chunk

    @property
    def done(self) -> bool:
        return self.stopped or len(self.validations) == self.chunks

    @property
    def env_steps(self) -> int:
        return len(self.rows) * self.training.learner.env_steps_per_update

"""The lanes of one program, taken by trainings that come and go."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from cappuccino.assemble import Training
from cappuccino.errors import InputError
from cappuccino.mesh import mesh_of
from cappuccino.training.lane_memory import SHARE, device_memory, lanes_that_fit, measure_lane
from cappuccino.training.lanes import FAILED, STOPPED, LaneProgram, idle_lanes, lanes_chunk, refill, stop
from cappuccino.training.loop import rows_of

LANES_A_DEVICE = 4
"""Where the number is left to us: enough that refilled lanes keep devices busy, few enough that a sampler learns from what ended."""


@dataclasses.dataclass(frozen=True)
class ChunkOfLane:
    """What a lane did in a chunk. rows: of its updates, as a run's log has them. validation: after it. failed: not finite.
    stopped: its patience is at an end."""

    rows: list[dict[str, float]]
    validation: Mapping[str, float]
    failed: bool
    stopped: bool


@dataclasses.dataclass(frozen=True)
class Placed:
    """Where a training ran, which with its configuration is all that decides its result to the last bit."""

    lanes: int
    devices: int
    at_once: int
    lane: int


class LanePool:
    """One compiled program of lanes over all devices, and who is in which.

    lanes: how many, or None to choose. Raises InputError, with the numbers, where they do not divide over the devices or
    do not fit into their memory.
    """

    def __init__(self, training: Training, lanes: int | None) -> None:
        self.mesh: Mesh = mesh_of()
        learner, self._market = training.learner, training.data.market
        at_once = 1 if jax.devices()[0].platform == "cpu" else LANES_A_DEVICE
        self.program = LaneProgram(learner, training.schedule.chunk, at_once)
        number = lanes or LANES_A_DEVICE * self.mesh.size
        like = training.lane()
        self._lanes = idle_lanes(learner, like, number, self._market, self.mesh)
        self._chunk = self._compile()
        if not self._fits():
            found = measure_lane(self.program, like, self._market)
            number = lanes_that_fit(found, self.mesh, requested=lanes)
            self._lanes = idle_lanes(learner, like, number, self._market, self.mesh)
            self._chunk = self._compile()
        self.number = number
        self._updates = dict.fromkeys(range(number), 0)
        self._busy: set[int] = set()

    def _compile(self) -> jax.stages.Compiled:
        return lanes_chunk.lower(self._lanes, self._market, program=self.program, mesh=self.mesh).compile()

    def _fits(self) -> bool:
        analysis = self._chunk.memory_analysis()
        return analysis is None or analysis.temp_size_in_bytes + analysis.argument_size_in_bytes <= SHARE * device_memory(
            self.mesh
        )

    @property
    def free(self) -> int:
        """Lanes without a training."""
        return self.number - len(self._busy)

    def begin(self, training: Training) -> Placed:
        """Begin a training in a free lane, of the device that has most of them."""
        each = self.number // self.mesh.size
        idle = [lane for lane in range(self.number) if lane not in self._busy]
        lane = max(idle, key=lambda lane: (sum(other // each == lane // each for other in idle), -lane))
        return self.begin_in(lane, training)

    def begin_in(self, lane: int, training: Training) -> Placed:
        """Begin a training in this lane, which is free."""
        if lane in self._busy or not 0 <= lane < self.number:
            raise InputError(f"lane {lane} of {self.number} is not free")
        self._lanes = refill(self._lanes, jnp.int32(lane), training.lane(), self._market, learner=self.program.learner)
        self._busy.add(lane)
        self._updates[lane] = 0
        return Placed(self.number, self.mesh.size, self.program.at_once, lane)

    def end(self, lane: int) -> None:
        """Leave a lane idle until another training begins in it."""
        self._lanes = stop(self._lanes, jnp.int32(lane))
        self._busy.remove(lane)

    def chunk(self) -> dict[int, ChunkOfLane]:
        """A chunk of every training, by lane. One that failed or stopped is to be ended."""
        self._lanes, report = self._chunk(self._lanes, self._market)
        report = jax.device_get(report)
        done = {}
        for lane in sorted(self._busy):
            mine = jax.tree.map(lambda leaf, lane=lane: leaf[lane], report)
            done[lane] = ChunkOfLane(
                rows=rows_of(mine.updates, self._updates[lane], self.program.learner.env_steps_per_update),
                validation={name: float(value) for name, value in mine.validation._asdict().items()},
                failed=int(mine.status) == FAILED,
                stopped=int(mine.status) == STOPPED,
            )
            self._updates[lane] += self.program.updates
        return done

    def best(self, lane: int) -> tuple[nnx.State, int]:
        """The parameters of a lane's best chunk, on the host, and after which update that was."""
        best = jax.device_get(self._lanes.best)
        mine: Any = jax.tree.map(lambda leaf: np.array(leaf[lane]), best)
        return mine.weights, int(mine.update)

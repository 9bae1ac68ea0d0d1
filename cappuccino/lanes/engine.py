"""Trainings of any shape, as many at a time as there are lanes: those of one shape train side by side in one program."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

import jax
from flax import nnx

from cappuccino.assemble import Data, Training, market_of, training_of
from cappuccino.bars.table import BarTable
from cappuccino.config.data import DataConfig
from cappuccino.config.roots import TrainConfig
from cappuccino.lanes.pool import LANES_A_DEVICE, ChunkOfLane, LanePool, Placed
from cappuccino.sources import load_bars


class Markets:
    """The bars of `data` groups, each loaded once, and their tables of features."""

    def __init__(self) -> None:
        self._bars: dict[str, BarTable] = {}
        self._data: dict[Hashable, Data] = {}

    def bars(self, data: DataConfig) -> BarTable:
        key = repr(data)
        if key not in self._bars:
            self._bars[key] = load_bars(data)
        return self._bars[key]

    def data(self, config: TrainConfig) -> Data:
        """The market of a configuration. One of the same bars, features and look-back is the same object."""
        names, lookback = tuple(config.features.names), config.network.lookback
        key = (repr(config.data), names, lookback)
        if key not in self._data:
            self._data[key] = market_of(self.bars(config.data), config.data, names, lookback)
        return self._data[key]

    def training(self, config: TrainConfig) -> Training:
        """The training of a configuration on its hold-out. Trainings of one market and look-back share its table."""
        return training_of(config, self.data(config))


Key = TypeVar("Key", bound=Hashable)


class _Seat(NamedTuple):
    pool: LanePool
    lane: int


@dataclasses.dataclass(frozen=True)
class _Shape:
    """What trainings must have in common to share a program and its market table."""

    learner: Hashable
    chunk: int
    market: int

    @classmethod
    def of(cls, training: Training) -> _Shape:
        return cls(training.learner, training.schedule.chunk, id(training.data.market))


class Engine(Generic[Key]):
    """Trainings by a key of the caller's. lanes: of every program, None to choose.

    Trainings of one shape train at a time; those of another wait until none of it is left, unless `add` finds them a lane.
    """

    def __init__(self, lanes: int | None) -> None:
        self._lanes = lanes
        self._pools: dict[_Shape, LanePool] = {}
        self._current: LanePool | None = None
        self._waiting: dict[_Shape, deque[tuple[Key, Training]]] = {}
        self._seats: dict[Key, _Seat] = {}
        self.placed: dict[Key, Placed] = {}

    def add(self, key: Key, training: Training) -> None:
        """Let a training wait for a lane of its program."""
        self._waiting.setdefault(_Shape.of(training), deque()).append((key, training))

    @property
    def lanes(self) -> int:
        """How many trainings a program holds; a larger one, where that is left to us, may hold fewer."""
        return self._lanes or LANES_A_DEVICE * jax.device_count()

    @property
    def unfinished(self) -> int:
        """Trainings that run or wait."""
        return len(self._seats) + sum(len(queue) for queue in self._waiting.values())

    def chunk(self) -> dict[Key, ChunkOfLane]:
        """Fill the free lanes and run a chunk of every training that has one."""
        if not self._seats and any(self._waiting.values()):
            shape = max(self._waiting, key=lambda shape: len(self._waiting[shape]))
            if shape not in self._pools:
                self._pools[shape] = LanePool(self._waiting[shape][0][1], self._lanes)
            self._current = self._pools[shape]
        pool = self._current
        assert pool is not None
        queue = next((self._waiting.get(shape, deque()) for shape, other in self._pools.items() if other is pool))
        while pool.free and queue:
            key, training = queue.popleft()
            self.placed[key] = pool.begin(training)
            self._seats[key] = _Seat(pool, self.placed[key].lane)
        found = pool.chunk()
        return {key: found[seat.lane] for key, seat in self._seats.items()}

    def best(self, key: Key) -> tuple[nnx.State, int]:
        """The parameters of a training's best chunk, and after which update that was."""
        seat = self._seats[key]
        return seat.pool.best(seat.lane)

    def end(self, key: Key) -> None:
        """Take a training out, whether it runs or waits; its lane is free."""
        if key in self._seats:
            seat = self._seats.pop(key)
            seat.pool.end(seat.lane)
        for shape, queue in self._waiting.items():
            self._waiting[shape] = deque(entry for entry in queue if entry[0] != key)

"""Many trainings of one configuration at once, by fold and seed, as lanes of one program."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cappuccino.agents.networks import Policy
from cappuccino.assemble import Data, Rows, training_of
from cappuccino.config.roots import LearningConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Engine
from cappuccino.lanes.progress import TrainingProgress

Key = TypeVar("Key", bound=Hashable)


class Task(NamedTuple):
    """One training: a configuration, seed included, and the rows that it works on. name: what a message calls it."""

    config: LearningConfig
    rows: Rows
    name: str


class Trained(NamedTuple):
    """A policy after its best chunk, `update` updates old, and with the parameters that it began with. env_steps: of all chunks."""

    policy: Policy
    untrained: Policy
    update: int
    env_steps: int
    score: float


def train_all(tasks: Mapping[Key, Task], data: Data, console: Console, *, lanes: int | None = None) -> dict[Key, Trained]:
    """Train every task over the bars of `data`. Those whose networks and environments have one shape, and whose rows are filled up to
    one length, share a program; lanes: of each, None to choose.

    Raises InputError where a training diverges, naming it.
    """
    engine: Engine[Key] = Engine(lanes)
    running: dict[Key, TrainingProgress] = {}
    for key, task in tasks.items():
        running[key] = TrainingProgress(training_of(task.config, data, task.rows))
        engine.add(key, running[key].training)
    done: dict[Key, Trained] = {}
    with _progress(len(tasks), console) as show:
        while engine.unfinished:
            for key, chunk in engine.chunk().items():
                one = running[key]
                one.take(chunk)
                if one.failed:
                    raise InputError(f"{tasks[key].name} diverged: a number was not finite; try a lower agent.learning_rate")
                if one.done:
                    done[key] = _trained(one, engine, key)
                    engine.end(key)
            show(len(done), sum(one.env_steps for one in running.values()))
    return {key: done[key] for key in tasks}


def _trained(one: TrainingProgress, engine: Engine[Key], key: Key) -> Trained:
    assert one.best is not None
    weights, update = engine.best(key)
    training = one.training
    return Trained(training.policy(weights), training.policy(training.weights), update, one.env_steps, one.best["score"])


@contextlib.contextmanager
def _progress(total: int, console: Console) -> Iterator[Callable[[int, int], None]]:
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} trainings, {task.fields[steps]:,} env steps"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("training", total=total, steps=0)
        yield lambda completed, steps: bar.update(task, completed=completed, steps=steps)

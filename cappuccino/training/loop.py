"""The outer loop: compiled chunks, and between them validation, log, checkpoint and progress."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cappuccino.env import Starts
from cappuccino.errors import InputError
from cappuccino.market import Market
from cappuccino.training.checkpoints import Checkpoints, unflatten
from cappuccino.training.learner import Learner, TrainParams, TrainState, UpdateMetrics, compile_chunk
from cappuccino.training.metrics_log import MetricsLog

Validate = Callable[[nnx.State], Mapping[str, float]]
"""Weights to validation figures; the one named `score` chooses the best checkpoint, higher is better."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long to train: updates in all, a whole number of chunks of `chunk` updates. Every chunk ends in a checkpoint.

    patience: chunks without a better score after which a training stops before that; None for never.
    """

    updates: int
    chunk: int
    patience: int | None = None

    @classmethod
    def covering(cls, env_steps: int, per_update: int, chunk: int, patience: int | None = None) -> Schedule:
        """The fewest whole chunks with at least `env_steps` env steps: a shorter last chunk would be another program."""
        updates = -(-env_steps // per_update)
        return cls(updates=-(-updates // chunk) * chunk, chunk=chunk, patience=patience)

    @property
    def most_stale(self) -> int:
        """Chunks without a better score after which it stops; all there are where it never does."""
        return self.patience or self.updates // self.chunk


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a training ended. `compile_seconds`: until the chunk was compiled. `train_seconds`: all that followed, validation and
    checkpoints included; env steps a second over those.
    """

    state: TrainState
    updates: int
    env_steps: int
    compile_seconds: float
    train_seconds: float
    env_steps_per_second: float


def train(
    learner: Learner,
    state: TrainState,
    frozen: nnx.State,
    market: Market,
    starts: Starts,
    params: TrainParams,
    *,
    schedule: Schedule,
    validate: Validate,
    checkpoints: Checkpoints,
    log: MetricsLog,
    meta: Mapping[str, Any],
    console: Console,
) -> Outcome:
    """Train up to `schedule.updates` updates from wherever `state` is, or until `schedule.patience` is at an end.

    After every chunk: validate, write the chunk's rows, then the checkpoint, in this order, so that whatever a checkpoint says
    is done is in the log. Raises InputError if the training diverges (a metric or a weight is not finite), leaving the
    checkpoint before as the latest.
    """
    done = first = int(state.update)
    begun = time.perf_counter()
    compiled = compile_chunk(learner, schedule.chunk, state, frozen, market, starts, params)
    compile_seconds = time.perf_counter() - begun

    begun = time.perf_counter()
    with _progress(schedule.updates * learner.env_steps_per_update, console) as advance:
        advance(done * learner.env_steps_per_update, {})
        best = _best_of(checkpoints)
        while done < schedule.updates and (done - best.update) // schedule.chunk < schedule.most_stale:
            state, metrics = compiled(state, frozen, market, starts, params)
            done += schedule.chunk
            rows = rows_of(jax.device_get(metrics), done - schedule.chunk, learner.env_steps_per_update)
            _check_finite(rows)
            _check_weights(state.weights, done)
            figures = validate(state.weights)
            rows[-1] |= {f"validation/{name}": value for name, value in figures.items()}
            _check_finite(rows[-1:])
            log.write(rows)
            if figures["score"] > best.score:
                best = _Best(done, figures["score"])
            said = {**meta, "validation": dict(figures), "best": best._asdict()}
            checkpoints.save(done, saved_tree(state, frozen), figures["score"], said)
            advance(done * learner.env_steps_per_update, figures)
    seconds = time.perf_counter() - begun
    steps = (done - first) * learner.env_steps_per_update
    return Outcome(
        state=state,
        updates=done,
        env_steps=done * learner.env_steps_per_update,
        compile_seconds=compile_seconds,
        train_seconds=seconds,
        env_steps_per_second=steps / seconds if steps else 0.0,
    )


class _Best(NamedTuple):
    """The highest score so far, the earliest of equals, and after which update it was."""

    update: int
    score: float


def _best_of(checkpoints: Checkpoints) -> _Best:
    """As the latest checkpoint has it, so that a resumed training stops where it would have."""
    latest = checkpoints.latest()
    return _Best(0, -math.inf) if latest is None else _Best(**checkpoints.restore(latest).meta["best"])


def resume(like: TrainState, frozen: nnx.State, checkpoints: Checkpoints, expected: Mapping[str, Any]) -> TrainState:
    """The state of the latest checkpoint; `like` and `frozen` give its structure. `like` itself where there is none yet.

    So a run that was killed before its first checkpoint begins anew, and the same command resumes a run whenever it was killed.
    Raises InputError if what the checkpoint was trained with (`expected`, by name) is not what is given now.
    """
    latest = checkpoints.latest()
    if latest is None:
        return like
    restored = checkpoints.restore(latest)
    for name, value in expected.items():
        if restored.meta.get(name) != value:
            raise InputError(f"{name} is {value} and was {restored.meta.get(name)} when checkpoint {latest} was written")
    tree = unflatten(saved_tree(like, frozen), restored.arrays)
    return TrainState(weights=tree["policy"]["weights"], **tree["progress"])


def saved_tree(state: TrainState, frozen: nnx.State) -> dict[str, Any]:
    """What a checkpoint holds: the policy, which is enough to act, and the progress, which is needed to go on."""
    progress = state._asdict()
    return {"policy": {"weights": progress.pop("weights"), "frozen": frozen}, "progress": progress}


def rows_of(metrics: UpdateMetrics, before: int, env_steps: int) -> list[dict[str, float]]:
    """One row per update, metrics named by their path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(metrics)
    columns: dict[str, np.ndarray] = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    count = len(next(iter(columns.values())))
    return [
        {"update": before + i + 1, "env_steps": (before + i + 1) * env_steps}
        | {name: float(column[i]) for name, column in columns.items()}
        for i in range(count)
    ]


def _check_finite(rows: list[dict[str, float]]) -> None:
    for row in rows:
        for name, value in row.items():
            if not np.isfinite(value):
                raise _diverged(f"{name} is {value}", int(row["update"]))


def _check_weights(weights: nnx.State, update: int) -> None:
    # A policy of NaN plans no orders: its backtest is a plain account in cash, and no metric has seen the last gradient step.
    if not all(np.isfinite(leaf).all() for leaf in jax.device_get(jax.tree.leaves(weights))):
        raise _diverged("a weight of the policy is not finite", update)


def _diverged(what: str, update: int) -> InputError:
    return InputError(
        f"the training diverged: {what} after update {update}; try a lower agent.learning_rate or agent.max_gradient_norm"
    )


@contextlib.contextmanager
def _progress(env_steps: int, console: Console) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("env steps, {task.fields[rate]:,.0f}/s, validation {task.fields[score]}"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        task = bar.add_task("training", total=env_steps, rate=0.0, score="-")
        began, start = time.perf_counter(), [0]

        def advance(done: int, figures: Mapping[str, float]) -> None:
            if not figures:
                start[0] = done
            rate = (done - start[0]) / max(time.perf_counter() - began, 1e-9)
            score = f"{figures['score']:.3g}" if figures else "-"
            bar.update(task, completed=done, rate=rate, score=score)

        yield advance

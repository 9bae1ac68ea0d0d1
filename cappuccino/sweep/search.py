"""A search: trials that Optuna proposes, trained as lanes, judged after every chunk."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import Trial, TrialState
from rich.console import Console

from cappuccino.config.roots import TrainConfig
from cappuccino.config.sweep import SweeperConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Engine, Markets
from cappuccino.lanes.pool import ChunkOfLane
from cappuccino.sweep.progress import SearchProgress
from cappuccino.sweep.returns import write_returns
from cappuccino.sweep.study import SharedStudy
from cappuccino.sweep.trial import RunningTrial, SeedProgress
from cappuccino.sweep.trial_folder import keep_training, validation_figures, validation_path
from cappuccino.training.run import configuration_of

Compose = Callable[[Sequence[str], str], TrainConfig]
"""Overrides and a run's name to a configuration."""

_RENEWALS = 4
"""Times that a lease is renewed before it would run out."""


class Search:
    """This process's part in a study: it claims trials, trains them, and tells how they ended, until nothing is left to claim."""

    def __init__(
        self,
        settings: SweeperConfig,
        shared: SharedStudy,
        suggest: Callable[[Trial], Sequence[str]],
        compose: Compose,
        markets: Markets,
        folder: str,
        console: Console,
    ) -> None:
        self._settings, self._shared, self._suggest, self._compose = settings, shared, suggest, compose
        self._markets, self._folder = markets, folder
        self._engine: Engine[tuple[int, int]] = Engine(None if settings.lanes == "auto" else settings.lanes)
        self._running: dict[int, RunningTrial] = {}
        self._progress = SearchProgress(console, shared)
        self._ended: dict[TrialState, int] = {TrialState.COMPLETE: 0, TrialState.PRUNED: 0, TrialState.FAIL: 0}
        self._renewed = time.monotonic()

    def run(self) -> None:
        """Raises InputError where more trials failed than `max_failure_rate` allows."""
        with self._progress as progress:
            while self._claim():
                progress.show(self._running.values(), self._engine.placed)
                chunk = self._engine.chunk()
                for (number, seed), done in chunk.items():
                    self._take(number, seed, done)
                for running in list(self._running.values()):
                    try:
                        self._judge(running)
                    except UpdateFinishedTrialError:  # another process took it over, thinking this one dead
                        self._drop(running.trial.number)
                self._renew()
                self._check_failures()

    def _concurrent(self) -> int:
        return self._settings.n_jobs or max(1, self._engine.lanes // self._settings.seeds)

    def _claim(self) -> bool:
        """Ask for trials as long as there is room for them; whether there is anything to train."""
        while len(self._running) < self._concurrent():
            trial = self._shared.claim()
            if trial is None:
                self._shared.take_over()
                trial = self._shared.claim()
            if trial is None:
                break
            self._begin(trial)
        return bool(self._running)

    def _begin(self, trial: Trial) -> None:
        try:
            overrides = self._suggest(trial)
            config = self._compose(overrides, f"{self._folder}/{trial.number}")
            several = self._settings.seeds > 1
            configs = [
                dataclasses.replace(
                    config, seed=config.seed + k, name=f"{config.name}/seed-{config.seed + k}" if several else config.name
                )
                for k in range(self._settings.seeds)
            ]
            seeds = {one.seed: SeedProgress(self._markets.training(one), config=one) for one in configs}
        except InputError as error:
            self._tell(trial, None, TrialState.FAIL, {"reason": str(error)})
            return
        running = RunningTrial(trial, seeds, self._settings.objective, self._settings.direction)
        self._running[trial.number] = running
        for seed, progress in seeds.items():
            self._engine.add((trial.number, seed), progress.training)

    def _take(self, number: int, seed: int, chunk: ChunkOfLane) -> None:
        progress = self._running[number].seeds[seed]
        progress.take(chunk)
        if progress.done and not progress.failed:
            progress.kept = self._engine.best((number, seed))
            self._engine.end((number, seed))

    def _judge(self, running: RunningTrial) -> None:
        if running.diverged:
            names = ", ".join(str(seed) for seed in running.diverged)
            self._end(
                running, None, TrialState.FAIL, {"reason": f"the training diverged (seed {names}): a number was not finite"}
            )
            return
        for chunk, value in running.to_report():
            running.trial.report(value, chunk)
        if running.done:
            self._end(running, running.value(), TrialState.COMPLETE, self._keep(running))
        elif running.reported and running.trial.should_prune():
            self._end(running, None, TrialState.PRUNED, self._figures(running))

    def _keep(self, running: RunningTrial) -> dict[str, Any]:
        """Write the trial's folder; its attributes."""
        for progress in running.seeds.values():
            assert progress.kept is not None
            assert progress.best is not None
            weights, update = progress.kept
            keep_training(progress.config, progress.training, weights, update, progress.rows, progress.best)
        placed = {str(seed): dataclasses.asdict(self._engine.placed[running.trial.number, seed]) for seed in running.seeds}
        first = next(iter(running.seeds.values())).config
        return {**self._figures(running), "placed": placed, "configuration": configuration_of(first), "jax": jax.__version__}

    def _figures(self, running: RunningTrial) -> dict[str, float]:
        """Of each training's best chunk so far over the validation span, the means over seeds; their returns are kept in a file."""
        found, paths = [], []
        for seed, progress in running.seeds.items():
            weights, _ = progress.kept or self._engine.best((running.trial.number, seed))
            paths.append(validation_path(progress.training, weights))
            found.append(validation_figures(paths[-1], progress.training.data.market))
        study = pathlib.Path(next(iter(running.seeds.values())).config.runs_dir) / self._folder
        write_returns(study, running.trial.number, paths[0].timestamps[1:], np.mean([path.returns for path in paths], axis=0))
        return {name: statistics.fmean([one[name] for one in found]) for name in found[0] if all(name in one for one in found)}

    def _end(self, running: RunningTrial, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        for seed in running.seeds:
            self._engine.end((running.trial.number, seed))
        del self._running[running.trial.number]
        self._tell(running.trial, value, state, {"env_steps": running.env_steps, **attributes})

    def _tell(self, trial: Trial, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        if self._shared.tell(trial, value, state, attributes):
            self._ended[state] += 1
            self._progress.ended(trial.number, value, state, attributes)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < self._settings.lease / _RENEWALS:
            return
        self._renewed = time.monotonic()
        for gone in self._shared.renew([running.trial for running in self._running.values()]):
            self._drop(gone.number)

    def _drop(self, number: int) -> None:
        for seed in self._running.pop(number).seeds:
            self._engine.end((number, seed))

    def _check_failures(self) -> None:
        allowed, failed = self._settings.max_failure_rate * self._shared.n_trials, self._ended[TrialState.FAIL]
        if failed > allowed:
            raise InputError(
                f"{failed} trials failed; hydra.sweeper.max_failure_rate is {self._settings.max_failure_rate}, which allows "
                f"{allowed:g} of {self._shared.n_trials}"
            )

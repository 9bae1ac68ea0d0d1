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
from cappuccino.evaluation.backtest import Path
from cappuccino.lanes.engine import Engine, Markets
from cappuccino.lanes.pool import ChunkOfLane
from cappuccino.sweep.parts import FoldSeed, parts_of
from cappuccino.sweep.progress import SearchProgress
from cappuccino.sweep.returns import KEPT, write_returns
from cappuccino.sweep.study import SharedStudy
from cappuccino.sweep.trial import RunningTrial
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
        self._engine: Engine[tuple[int, FoldSeed]] = Engine(None if settings.lanes == "auto" else settings.lanes)
        self._first = max(1, self._engine.lanes // settings.seeds)
        self._running: dict[int, RunningTrial] = {}
        self._progress = SearchProgress(console, shared)
        self._renewed = time.monotonic()

    def run(self) -> None:
        """Raises InputError where more trials failed than `max_failure_rate` allows."""
        with self._progress as progress:
            while self._claim():
                progress.show(self._running.values(), self._engine.placed)
                chunk = self._engine.chunk()
                for (number, key), done in chunk.items():
                    self._take(number, key, done)
                for running in list(self._running.values()):
                    try:
                        self._judge(running)
                    except UpdateFinishedTrialError:  # another process took it over, thinking this one dead
                        self._drop(running.trial.number)
                self._renew()
                self._check_failures()

    def _has_room(self) -> bool:
        most = self._settings.n_jobs
        return self._engine.unfinished < self._engine.lanes if most is None else len(self._running) < most

    def _claim(self) -> bool:
        """Ask for trials as long as there is room for them; whether there is anything to train."""
        while self._has_room():
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
            parts, crossing = parts_of(config, self._settings.seeds, self._markets)
        except InputError as error:
            self._tell(trial, None, TrialState.FAIL, {"reason": str(error)})
            return
        settings = self._settings
        self._running[trial.number] = RunningTrial(
            config, parts, crossing, settings.objective, settings.direction, settings.robust, trial=trial, first=self._first
        )
        for key, part in parts.items():
            self._engine.add((trial.number, key), part.training)

    def _take(self, number: int, key: FoldSeed, chunk: ChunkOfLane) -> None:
        running = self._running[number]
        part = running.parts[key]
        part.take(chunk)
        if part.done and not part.failed:
            running.keep(key, self._engine.best((number, key)))
            self._engine.end((number, key))

    def _judge(self, running: RunningTrial) -> None:
        if running.diverged:
            where = "; ".join(running.said(key) for key in running.diverged)
            self._end(running, None, TrialState.FAIL, {"reason": f"the training diverged ({where}): a number was not finite"})
            return
        new = running.to_report()
        for number, value in new:
            running.trial.report(value, number)
        if running.done:
            self._end(running, running.value(), TrialState.COMPLETE, self._keep(running))
        elif new and running.trial.should_prune():
            self._end(running, None, TrialState.PRUNED, self._figures(running))

    def _keep(self, running: RunningTrial) -> dict[str, Any]:
        """Write the trial's folder, where its parts are runs of their own; its attributes."""
        if running.crossing is None:
            for part in running.parts.values():
                keep_training(part)
        placed = [
            {**key._asdict(), **dataclasses.asdict(self._engine.placed[running.trial.number, key])} for key in running.parts
        ]
        configuration = configuration_of(running.config)
        return {**self._figures(running), "placed": placed, "configuration": configuration, "jax": jax.__version__}

    def _figures(self, running: RunningTrial) -> dict[str, Any]:
        """What the trial has shown, the means over its paths; their mean returns are kept in a file, if they are over all bars."""
        paths, whole = self._paths(running)
        if whole:
            study = pathlib.Path(running.config.runs_dir) / self._folder
            returns = np.mean([path.returns for path in paths], axis=0)
            write_returns(study, running.trial.number, paths[0].timestamps[1:], returns)
        market = self._markets.data(running.config).market
        found = [validation_figures(path, market) for path in paths]
        means = {name: statistics.fmean([one[name] for one in found]) for name in found[0] if all(name in one for one in found)}
        return {**means, KEPT: whole}

    def _paths(self, running: RunningTrial) -> tuple[list[Path], bool]:
        """What the best chunks so far do, and whether that is over all bars that it may be over: each part on the validation span, or on
        folds on the blocks of its own, as far as it has begun, and as whole paths once all are done."""
        crossing = running.crossing
        if crossing is not None and running.done:
            return running.out_of_sample(), True
        paths = []
        for key, part in running.parts.items():
            if key in running.paths:
                paths.append(running.paths[key])
            elif part.validations:
                weights, _ = part.kept or self._engine.best((running.trial.number, key))
                paths.append(
                    validation_path(part.training, weights)
                    if crossing is None
                    else crossing.test(key.fold, part.training, weights)[0]
                )
        return paths, crossing is None

    def _end(self, running: RunningTrial, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        for key in running.parts:
            self._engine.end((running.trial.number, key))
        del self._running[running.trial.number]
        self._tell(running.trial, value, state, {"env_steps": running.env_steps, **attributes})

    def _tell(self, trial: Trial, value: float | None, state: TrialState, attributes: Mapping[str, Any]) -> None:
        if self._shared.tell(trial, value, state, attributes):
            self._progress.ended(trial.number, value, state, attributes)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed < self._settings.lease / _RENEWALS:
            return
        self._renewed = time.monotonic()
        for gone in self._shared.renew([running.trial for running in self._running.values()]):
            self._drop(gone.number)

    def _drop(self, number: int) -> None:
        for key in self._running.pop(number).parts:
            self._engine.end((number, key))

    def _check_failures(self) -> None:
        allowed = self._settings.max_failure_rate * self._shared.n_trials
        if allowed < self._shared.n_trials and (failed := self._shared.failed()) > allowed:
            raise InputError(
                f"{failed} trials failed; hydra.sweeper.max_failure_rate is {self._settings.max_failure_rate}, which allows "
                f"{allowed:g} of {self._shared.n_trials}"
            )

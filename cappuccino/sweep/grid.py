"""A multirun of lists: every combination trained, side by side where their shapes agree, each a run as a single command makes it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from cappuccino.assess import assess_best
from cappuccino.config.roots import TrainConfig, check_holds_out
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Engine, Markets
from cappuccino.sweep.parts import Part
from cappuccino.sweep.trial_folder import keep_training


def train_grid(configs: Sequence[TrainConfig], lanes: int | None, console: Console) -> None:
    """Train every configuration, keep and assess each as it ends.

    Raises InputError for one that cannot be trained before any is, and, after the others have ended, for those that diverged.
    """
    for config in configs:
        check_holds_out(config)
    markets = Markets()
    engine: Engine[str] = Engine(lanes)
    progress = {config.name: Part(markets.training(config), config=config) for config in configs}
    for name, one in progress.items():
        engine.add(name, one.training)
    diverged = []
    while engine.unfinished:
        for name, chunk in engine.chunk().items():
            one = progress[name]
            one.take(chunk)
            if one.failed:
                diverged.append(name)
                engine.end(name)
            elif one.done:
                one.kept = engine.best(name)
                engine.end(name)
                run = keep_training(one)
                console.print(f"run         {run.folder}: {one.env_steps:,} env steps")
                assess_best(run, one.training, console)
    if diverged:
        raise InputError(f"the trainings {', '.join(diverged)} diverged; try a lower agent.learning_rate")

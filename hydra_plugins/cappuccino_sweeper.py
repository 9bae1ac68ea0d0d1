"""Where Hydra finds the sweeper of `cappuccino train -m`: it takes plugins from this namespace only, and imports them at every start,
so that nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class StudySweeper(Sweeper):
    """`hydra/sweeper=optuna`: its settings are `cappuccino.config.sweep.SweeperConfig`, read from the composed configuration."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        del task_function
        self.hydra_context = hydra_context
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Search, or train every combination of lists of values, as the arguments say."""
        from cappuccino.sweep.multirun import multirun

        assert self.hydra_context is not None
        assert self.config is not None
        return multirun(self.config, self.hydra_context.config_loader, arguments)

"""How a multirun searches, and where: the `hydra.sweeper` and `hydra.launcher` nodes."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from omegaconf import MISSING

from cappuccino.config.checks import check_choice, check_ranges
from cappuccino.errors import InputError

OBJECTIVES = {
    "active": "lower bound of the ratio of mean to deviation of log growth beyond equal weights', per bar",
    "growth": "lower bound of mean log growth, per bar",
    "mean_growth": "mean log growth, per bar",
    "sharpe": "mean over deviation of log growth, per bar",
    "robust": "low quantile of mean log growth over costs and delays, per bar",
}
MOST_DELAY = 3
"""Bars."""
PRUNERS = ("median", "asha", "none")
DIRECTIONS = ("maximize", "minimize")
PLUGIN = "hydra_plugins.cappuccino_sweeper.StudySweeper"


@dataclasses.dataclass
class RobustConfig:
    """Of `objective=robust`: every factor on fee, half-spread and slippage with every delay of orders in bars, and the quantile."""

    cost_factors: list[float]
    delays: list[int]
    quantile: float

    def __post_init__(self) -> None:
        for name in ("cost_factors", "delays"):
            if not getattr(self, name):
                raise InputError(f"hydra.sweeper.robust.{name} is empty; it must hold at least one")
        check_ranges("hydra.sweeper.robust", self, cost_factors="[0, inf)", delays=f"[0, {MOST_DELAY}]", quantile="[0, 1]")


@dataclasses.dataclass
class SweeperConfig:
    """The published Optuna sweeper's keys, and ours: objective, robust, pruner, lanes, seeds, lease."""

    sampler: Any = MISSING
    direction: Any = MISSING
    storage: str | None = MISSING
    study_name: str | None = MISSING
    n_trials: int = MISSING
    n_jobs: int | None = MISSING
    max_failure_rate: float = MISSING
    params: dict[str, Any] | None = MISSING
    custom_search_space: str | None = MISSING
    objective: str = MISSING
    robust: RobustConfig = MISSING
    pruner: str = MISSING
    lanes: Any = MISSING
    seeds: int = MISSING
    lease: float = MISSING
    _target_: str = PLUGIN
    _recursive_: bool = False

    def check(self) -> None:
        """Raises InputError for what no search could mean."""
        if isinstance(self.direction, list) or self.direction not in DIRECTIONS:
            raise InputError(
                f"hydra.sweeper.direction is {self.direction}; it must be one of {', '.join(DIRECTIONS)}: a trial has one objective"
            )
        check_choice("hydra.sweeper.objective", self.objective, tuple(OBJECTIVES))
        check_choice("hydra.sweeper.pruner", self.pruner, PRUNERS)
        check_ranges(
            "hydra.sweeper",
            self,
            n_trials="[1, inf)",
            n_jobs="[1, inf)",
            max_failure_rate="[0, 1]",
            seeds="[1, inf)",
            lease="[10, inf)",
        )
        if self.lanes != "auto" and not (isinstance(self.lanes, int) and self.lanes >= 1):
            raise InputError(f"hydra.sweeper.lanes is {self.lanes}; it must be auto or a whole number of at least 1")


@dataclasses.dataclass
class RayConfig:
    """Where a search's workers run: the `hydra.launcher` node where `hydra/launcher=ray`."""

    address: str = MISSING
    workers: int = MISSING
    cpus: int = MISSING
    gpus: int = MISSING

    def check(self) -> None:
        """Raises InputError for what is no cluster and no worker."""
        check_ranges("hydra.launcher", self, workers="[1, inf)", cpus="[1, inf)", gpus="[0, inf)")
        if self.address != "auto" and not re.fullmatch(r"[^:/\s]+:\d{1,5}", self.address):
            raise InputError(
                f"hydra.launcher.address is {self.address!r}; it must be auto or HOST:PORT of the cluster's head node"
            )

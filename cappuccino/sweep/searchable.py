"""Which fields of a configuration a study may search: those that a training reads, and that trials are not compared on."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from cappuccino.config.roots import TrainConfig
from cappuccino.errors import InputError

_SAME = {
    "data": "all trials of a study have the same data",
    "costs": "all trials of a study are judged under the same costs; training.cost_factor makes those of training dearer",
    "risk": "all trials of a study are judged under the same risk rules",
    "env.capital": "all trials of a study are judged with the same capital",
    "training.updates_per_chunk": "all trials of a study are judged after the same updates",
    "training.patience": "all trials of a study stop by the same rule",
    "agent.name": "search the group, agent=choice(ppo, apg)",
    "validation": "all trials of a study are judged on the same bars",
    "seed": "hydra.sweeper.seeds=3 trains every trial with three seeds",
    "device": "a study computes on one device",
    "name": "a trial's folder is named by its study and its number",
    "runs_dir": "a trial's folder is named by its study and its number",
    "resume": "a search goes on when its command is repeated",
    "best": "that trains a trial of an earlier study again",
    "experiment": "search what it sets",
    "sweep": "it is the space that is searched",
}
_DIFFERENTIAL_SHARPE = "differential_sharpe"


def check_searchable(space: Mapping[str, BaseDistribution], base: TrainConfig) -> None:
    """Raises InputError for a name of a search space that cannot be searched. base: everything that is fixed in it."""
    for name in space:
        key = name.lstrip("+")
        same = next((field for field in _SAME if key == field or key.startswith(f"{field}.")), None)
        if same is not None:
            raise InputError(f"{key} cannot be searched: {_SAME[same]}")
        if key == "env.reward.sharpe_rate" and _DIFFERENTIAL_SHARPE not in _reward_names(space, base):
            raise InputError(
                f"{key} cannot be searched: only env.reward.name={_DIFFERENTIAL_SHARPE} reads it; set or search that"
            )


def _reward_names(space: Mapping[str, BaseDistribution], base: TrainConfig) -> Container[Any]:
    searched = space.get("env.reward.name")
    return searched.choices if isinstance(searched, CategoricalDistribution) else (base.env.reward.name,)

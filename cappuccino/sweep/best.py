"""The record of a study's best trial, from which it is trained again: configuration, the program's shape, and what came of it."""

from __future__ import annotations

import pathlib
import statistics
from typing import Any

import jax
import optuna
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial
from rich.console import Console

from cappuccino.assess import assess_best
from cappuccino.config.composition import train_config_of
from cappuccino.config.roots import TrainConfig
from cappuccino.config.sweep import SweeperConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Markets
from cappuccino.lanes.pool import LanePool, Placed
from cappuccino.sweep.objective import objective_of
from cappuccino.sweep.significance import tried_ratios
from cappuccino.sweep.trial import SeedProgress
from cappuccino.sweep.trial_folder import keep_training
from cappuccino.training.device import select_device


def write_best(best: FrozenTrial, study: optuna.Study, settings: SweeperConfig, folder: pathlib.Path) -> None:
    """Write `best.yaml` of a study's folder."""
    configuration = dict(best.user_attrs["configuration"])
    data = dict(configuration["data"])
    if data.get("path") is not None:
        data["path"] = str(pathlib.Path(data["path"]).absolute())
    record = {
        "study": study.study_name,
        "trial": best.number,
        "objective": settings.objective,
        "direction": settings.direction,
        "value": best.value,
        "parameters": dict(best.params),
        "placed": best.user_attrs["placed"],
        "jax": best.user_attrs["jax"],
        "tried": tried_ratios(study),
        "configuration": {**configuration, "data": data},
    }
    whole = folder / "best.yaml.tmp"
    OmegaConf.save(OmegaConf.create(record), whole)
    whole.replace(folder / "best.yaml")


def train_best(config: TrainConfig, console: Console) -> None:
    """Train the best trial of the study `config.best` again, with lanes where they were, and say whether its objective came out.

    Only where the run lies (name, runs_dir, device) is taken from `config`. Raises InputError for an unknown study.
    """
    assert config.best is not None
    record = read_record(config.best, config.runs_dir)
    placed = {int(seed): Placed(**where) for seed, where in record["placed"].items()}
    shape = next(iter(placed.values()))
    console.print(f"device      {select_device(config.device, shape.devices)}")
    markets = Markets()
    progress = {seed: _progress(config, record, seed, markets, several=len(placed) > 1) for seed in placed}
    pool = LanePool(next(iter(progress.values())).training, shape.lanes)
    for seed, one in progress.items():
        pool.begin_in(placed[seed].lane, one.training)
    while not all(one.done for one in progress.values()):
        chunk = pool.chunk()
        for seed, one in progress.items():
            one.take(chunk[placed[seed].lane])
    for seed, one in progress.items():
        if one.best is None:
            raise InputError(f"the training diverged (seed {seed}), which it did not when {config.best} was searched")
        weights, update = pool.best(placed[seed].lane)
        assess_best(keep_training(one.config, one.training, weights, update, one.rows, one.best), one.training, console)
    value = statistics.fmean(
        [objective_of(record["objective"], one.best, record["direction"]) for one in progress.values() if one.best]
    )
    console.print(_compared(value, record), highlight=False, soft_wrap=True)


def _compared(value: float, record: dict[str, Any]) -> str:
    stored = f"trial {record['trial']} of study {record['study']}"
    if value == record["value"]:
        return f"objective   {value!r}: that of {stored}, to the last bit"
    versions = "" if jax.__version__ == record["jax"] else f", which JAX {record['jax']} trained and this is {jax.__version__}"
    return f"objective   {value!r}; {stored} had {record['value']!r}{versions}: another machine rounds otherwise"


def _progress(config: TrainConfig, record: dict[str, Any], seed: int, markets: Markets, *, several: bool) -> SeedProgress:
    name = f"{config.name}/seed-{seed}" if several else config.name
    where = {"name": name, "runs_dir": config.runs_dir, "device": config.device, "resume": False, "best": config.best}
    one = recorded_config(record, **where, seed=seed)
    return SeedProgress(markets.training(one), config=one)


def recorded_config(record: dict[str, Any], **changes: Any) -> TrainConfig:
    """The configuration of the best trial with these changes, which must say where it runs. Raises InputError where there is none."""
    try:
        return train_config_of({**record["configuration"], **changes})
    except (OmegaConfBaseException, KeyError, AttributeError) as error:
        raise InputError(f"the record of study {record['study']} holds no configuration: {error}") from error


def read_record(name: str, runs_dir: str) -> dict[str, Any]:
    """What `write_best` wrote of a study, by its name below runs_dir, its folder or the file. Raises InputError where there is none."""
    tried = [pathlib.Path(name), pathlib.Path(name) / "best.yaml", pathlib.Path(runs_dir) / name / "best.yaml"]
    for path in tried:
        if path.is_file():
            record: Any = OmegaConf.to_container(OmegaConf.load(path))
            return record
    raise InputError(f"best is {name!r}; there is no study of that name below {runs_dir} (no {tried[-1]}), and no such file")

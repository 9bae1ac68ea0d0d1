"""The record of a study's best trial, from which it is trained again: configuration, the program's shape, and what came of it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
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
from cappuccino.config.sweep import RobustConfig, SweeperConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Markets
from cappuccino.lanes.pool import LanePool, Placed
from cappuccino.sweep.parts import FoldSeed, parts_of
from cappuccino.sweep.returns import kept_of
from cappuccino.sweep.significance import tried_ratios
from cappuccino.sweep.trial import TrainedTrial
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
        "robust": dataclasses.asdict(settings.robust),
        "direction": settings.direction,
        "value": best.value,
        "parameters": dict(best.params),
        "placed": best.user_attrs["placed"],
        "jax": best.user_attrs["jax"],
        "tried": tried_ratios(study),
        "returns": kept_of(study),
        "configuration": {**configuration, "data": data},
    }
    whole = folder / "best.yaml.tmp"
    OmegaConf.save(OmegaConf.create(record), whole)
    whole.replace(folder / "best.yaml")


def train_best(config: TrainConfig, console: Console) -> None:
    """Train the best trial of the study `config.best` again, with lanes where they were, and say whether its objective came out.

    On a hold-out its trainings are kept as runs. Only where these lie (name, runs_dir, device) is taken from `config`.
    Raises InputError for an unknown study.
    """
    assert config.best is not None
    record = read_record(config.best, config.runs_dir)
    placed = [dict(one) for one in record["placed"]]
    seats = {FoldSeed(one.pop("fold"), one.pop("seed")): Placed(**one) for one in placed}
    seeds = sorted({key.seed for key in seats})
    shape = next(iter(seats.values()))
    console.print(f"device      {select_device(config.device, shape.devices)}")
    own = {"name": config.name, "runs_dir": config.runs_dir, "device": config.device, "resume": False, "best": config.best}
    again = recorded_config(record, **own, seed=seeds[0])
    parts, crossing = parts_of(again, len(seeds), Markets())
    trial = TrainedTrial(again, parts, crossing, record["objective"], record["direction"], RobustConfig(**record["robust"]))
    _train(trial, seats)
    for key in trial.diverged:
        raise InputError(f"the training diverged ({trial.said(key)}), which it did not when {config.best} was searched")
    if crossing is None:
        for part in parts.values():
            assess_best(keep_training(part), part.training, console)
    else:
        folds = f"{len(crossing.folds.folds)} folds x {len(seeds)} seed{'s' * (len(seeds) > 1)}"
        console.print(f"trained     {folds}; cappuccino validate best={config.best} makes a champion of it", soft_wrap=True)
    console.print(_compared(trial.value(), record), highlight=False, soft_wrap=True)


def _train(trial: TrainedTrial, seats: Mapping[FoldSeed, Placed]) -> None:
    """Train the parts of a trial in the lanes where they were, one after another where several had the same, until one diverges."""
    first = next(iter(trial.parts))
    pool = LanePool(trial.parts[first].training, seats[first].lanes)
    waiting, running = list(trial.parts), dict[int, FoldSeed]()
    while not trial.diverged and not trial.done:
        for key in list(waiting):
            if (lane := seats[key].lane) not in running:
                pool.begin_in(lane, trial.parts[key].training)
                running[lane] = key
                waiting.remove(key)
        for lane, chunk in pool.chunk().items():
            key = running[lane]
            trial.parts[key].take(chunk)
            if trial.parts[key].done and not chunk.failed:
                trial.keep(key, pool.best(lane))
                pool.end(lane)
                del running[lane]


def _compared(value: float, record: dict[str, Any]) -> str:
    stored = f"trial {record['trial']} of study {record['study']}"
    if value == record["value"]:
        return f"objective   {value!r}: that of {stored}, to the last bit"
    versions = "" if jax.__version__ == record["jax"] else f", which JAX {record['jax']} trained and this is {jax.__version__}"
    return f"objective   {value!r}; {stored} had {record['value']!r}{versions}: another machine rounds otherwise"


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

"""Composing a command's configuration with Hydra, and saying in one line what is wrong with an override."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from cappuccino.config import (
    costs,
    data,
    faults,
    gates,
    risk,
    roots,
    stress,
    sweep,
    trading,
    training,
    validation,
    verdict,
    watch,
)
from cappuccino.config.roots import TrainConfig
from cappuccino.errors import InputError

Group = TypeVar("Group")

SCHEMAS: dict[str, dict[str, type[Any]]] = {
    "data": {"files": data.FilesData, "alpaca": data.AlpacaData, "synthetic": data.SyntheticData},
    "features": {"features": training.FeaturesConfig},
    "costs": {"costs": costs.CostsConfig},
    "risk": {"risk": risk.RiskConfig},
    "faults": {"faults": faults.FaultsGroupConfig},
    "env": {"env": training.EnvConfig},
    "network": {"network": training.NetworkConfig},
    "agent": {"ppo": training.PPOConfig, "apg": training.APGConfig},
    "training": {"training": training.TrainingConfig},
    "validation": {
        "holdout": validation.HoldoutConfig,
        "walk_forward": validation.WalkForwardConfig,
        "kfold_purged": validation.PurgedKFoldConfig,
        "cpcv": validation.CPCVConfig,
    },
    "verdict": {"verdict": verdict.VerdictConfig},
    "stress": {"stress": stress.StressConfig},
    "hydra/sweeper": {"optuna": sweep.SweeperConfig},
    "hydra/launcher": {"ray": sweep.RayConfig},
    "gates": {"gates": gates.GatesConfig},
    "watch": {"watch": watch.WatchConfig},
    "broker": {"local": trading.LocalBrokerConfig, "alpaca": trading.AlpacaBrokerConfig, "own": trading.OwnBrokerConfig},
}
"""The typed schema `<name>_schema` of each group, on which the group's YAML files build: what it lacks, they cannot have."""


def conf_dir() -> pathlib.Path:
    """The folder of the shipped configuration: inside the installed package, or beside it in a checkout."""
    package = pathlib.Path(__file__).parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise InputError(f"{package / 'conf'} and {package.parent / 'conf'} have no train.yaml; install cappuccino again")


def register() -> None:
    """Make the schemas known to Hydra. Idempotent."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    for group, schemas in SCHEMAS.items():
        for name, schema in schemas.items():
            store.store(group=group, name=f"{name}_schema", node=schema, provider="cappuccino")
    for command, root in roots.ROOTS.items():
        store.store(name=f"{command}_schema", node=root, provider="cappuccino")


def compose(command: str, overrides: Sequence[str] = ()) -> Any:
    """The configuration of a command with Hydra's overrides applied, as its class in `cappuccino.config.roots`.

    Raises InputError for an unknown key or choice, a value of the wrong type or out of range, and a value that is missing.
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register()
    try:
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            composed = hydra.compose(config_name=command, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, AssertionError) as error:
        raise InputError(explain(error, command)) from error
    return to_config(composed)


def to_config(composed: Any) -> Any:
    """The typed object that an OmegaConf configuration describes. Raises InputError as `compose` does."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    added = _added_keys(composed, "")
    if added:
        known = [key for key in _dotted_keys(OmegaConf.to_container(composed, resolve=False), "") if key not in added]
        raise InputError(_unknown_key(added[0], known))
    missing = sorted(OmegaConf.missing_keys(composed))
    if missing:
        raise InputError(f"{missing[0]} is not given; it has no default, set it like {missing[0]}=VALUE")
    try:
        return OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise InputError(_one_line(str(error))) from error


def explain(error: Exception, command: str) -> str:
    """What Hydra or OmegaConf found wrong with a command's overrides, in one line, with the nearest keys for a misspelt one.

    Raises the error again if it is an AssertionError that says something else than that a null group has no keys.
    """
    text = f"{error}\n{error.__cause__ or ''}"
    if isinstance(error, AssertionError):
        if "Unexpected type for root" not in text:
            raise error
        return "a key of a group is set that has not been chosen; choose it too, like data=files or costs=alpaca"
    full_key = re.search(r"full_key: (\S+)", text)
    if "object_type=dict" in text and full_key:
        return f"{full_key[1]} is not there yet; a new entry is written +{full_key[1]}=VALUE"
    if re.search(r"Key '[^']+' (is )?not in", text) and full_key:
        return _unknown_key(full_key[1], _known_keys(command))
    choice = re.search(r"Could not find '([^']+)/([^'/]+)'\s+Available options in '[^']+':((?:\n\t\S+)*)", text)
    if choice:
        names = sorted(name for name in choice[3].split() if not name.endswith("_schema"))
        return f"{choice[1]} is {choice[2]!r}; it must be one of {', '.join(names)}"
    if "override_grammar" in text:
        return f"an override cannot be read, it must be written key=value: {_one_line(text.partition('See https')[0])}"
    deleted = re.search(r"override ~(\S+)", text)
    if deleted:
        return f"{deleted[1]} cannot be deleted"
    wrong_type = re.search(r"Value ('.*' of type .*)", text)
    if wrong_type and full_key:
        return f"{full_key[1]}: value {wrong_type[1]}"
    return _one_line(text if error.__cause__ is not None else str(error))


def _one_line(text: str) -> str:
    return "; ".join(line.strip().rstrip(".") for line in text.splitlines() if line.strip())


def _unknown_key(key: str, known: Sequence[str]) -> str:
    if key in known:
        group = key.split(".", 1)[0]
        return f"unknown key {key}: it belongs to another {group} than the chosen one; --cfg job shows all keys"
    near = difflib.get_close_matches(key, known, n=2, cutoff=0.8)
    last = key.rsplit(".", 1)[-1]
    near += [name for name in known if difflib.SequenceMatcher(None, last, name.rsplit(".", 1)[-1]).ratio() >= 0.8]
    distinct = list(dict.fromkeys(near))[:3]
    return f"unknown key {key}; " + (f"did you mean {' or '.join(distinct)}?" if distinct else "--cfg job shows all keys")


def _added_keys(node: Any, prefix: str) -> list[str]:
    """Keys that an override with + has put where the schema has none: OmegaConf lets them in and nobody would read them."""
    from omegaconf import DictConfig, OmegaConf

    schema = OmegaConf.get_type(node)
    if not isinstance(node, DictConfig) or not dataclasses.is_dataclass(schema):
        return []
    fields = {field.name for field in dataclasses.fields(schema)}
    children = [(f"{prefix}{key}", node._get_node(key)) for key in node]
    added = [f"{prefix}{key}" for key in node if key not in fields]
    return added + [key for name, child in children for key in _added_keys(child, f"{name}.")]


def _known_keys(command: str) -> list[str]:
    """The dotted keys of a command's configuration as it is without overrides."""
    import hydra
    from omegaconf import OmegaConf

    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        return _dotted_keys(OmegaConf.to_container(hydra.compose(config_name=command)), "")


def _dotted_keys(node: Any, prefix: str) -> list[str]:
    if not isinstance(node, dict):
        return []
    return [name for key, child in node.items() for name in (f"{prefix}{key}", *_dotted_keys(child, f"{prefix}{key}."))]


def save_config(config: Any, path: pathlib.Path) -> None:
    """Write a command's configuration as YAML."""
    from omegaconf import OmegaConf

    OmegaConf.save(OmegaConf.create(dataclasses.asdict(config)), path)


def load_train_config(path: pathlib.Path) -> TrainConfig:
    """The configuration of a run, as `save_config` wrote it. Raises InputError for what `train` would not accept."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return train_config_of(OmegaConf.load(path))
    except (OmegaConfBaseException, yaml.YAMLError, KeyError, AttributeError) as error:
        raise InputError(f"{path} is not the configuration of a run: {_one_line(str(error))}") from error


def train_config_of(values: Any) -> TrainConfig:
    """The configuration of a training from a mapping of all its values. Raises what OmegaConf does, KeyError and AttributeError
    where it is not one."""
    from omegaconf import OmegaConf

    loaded = OmegaConf.create(values)
    schema = OmegaConf.structured(roots.TrainConfig)
    schema.data = OmegaConf.structured(SCHEMAS["data"][loaded.data.source])
    schema.agent = OmegaConf.structured(SCHEMAS["agent"][loaded.agent.name])
    if loaded.risk is not None:
        schema.risk = OmegaConf.structured(risk.RiskConfig)
    if "validation" in loaded and loaded.validation is not None:
        schema.validation = OmegaConf.structured(SCHEMAS["validation"][loaded.validation.name])
    return to_config(OmegaConf.merge(schema, loaded))


def load_trade_config(path: pathlib.Path) -> roots.TradeCommandConfig:
    """The configuration of a trader, as `save_config` wrote it. Raises InputError for what `trade` would not accept."""
    import yaml

    try:
        values = yaml.safe_load(path.read_text())
        broker = SCHEMAS["broker"].get(values["broker"]["name"], trading.OwnBrokerConfig)
        groups: dict[str, Any] = {
            "broker": group_from(broker, values["broker"]),
            "trade": group_from(trading.TraderConfig, values["trade"]),
            "watch": group_from(watch.WatchConfig, values["watch"]),
            "data": None if values["data"] is None else data_from(values["data"]),
            "costs": None if values["costs"] is None else group_from(costs.CostsConfig, values["costs"]),
            "faults": None if values["faults"] is None else group_from(faults.FaultsGroupConfig, values["faults"]),
            "risk": None if values["risk"] is None else group_from(risk.RiskConfig, values["risk"]),
        }
        return group_from(roots.TradeCommandConfig, {**values, **groups})
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not the configuration of a trader: {_one_line(str(error))}") from error


def data_from(values: Mapping[str, Any]) -> data.DataConfig:
    """The `data` group that `dataclasses.asdict` took apart. Raises InputError if it is not one."""
    schema = SCHEMAS["data"].get(values.get("source", ""))
    if schema is None:
        raise InputError(f"data.source is {values.get('source')!r}; it must be one of {', '.join(SCHEMAS['data'])}")
    return group_from(schema, values)


def group_from(schema: type[Group], values: Mapping[str, Any]) -> Group:
    """A group from its values as plain data. Raises InputError for keys that it does not have or lacks."""
    names = {field.name for field in dataclasses.fields(schema)}  # pyright: ignore[reportArgumentType]
    if values.keys() != names:
        raise InputError(f"{schema.__name__} has {', '.join(sorted(names))}; got {', '.join(sorted(values))}")
    return schema(**values)

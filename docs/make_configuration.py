"""Writes docs/configuration.md: `python docs/make_configuration.py`. A test keeps the two together.

Types are those of the classes in cappuccino/config, limits those that their checks are seen to ask for while each file's configuration
is composed, values and meanings are those of conf/.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import pkgutil
import re
import types
import typing
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any
from unittest import mock

import yaml
from omegaconf import OmegaConf

from cappuccino import config, extensions
from cappuccino.config import checks, compose
from cappuccino.config.composition import SCHEMAS
from cappuccino.config.roots import ROOTS

ROOT = pathlib.Path(__file__).parents[1]
HEAD = """# Configuration

Every command takes Hydra overrides: `key=value` sets a value, `group=choice` takes another file of a group, `--cfg job` prints what
a command would run with, `-m key=a,b` runs once for each value, `--config-dir FOLDER` adds your own files (a folder with the same
group names). An unknown key or a value out of range is an error before anything runs, with and without `+`.

The tables are made (`python docs/make_configuration.py`) from the types and the checks in `cappuccino/config` and the values and
comments in `conf/`; a command's own keys come first. Where nothing is allowed for, any value of the type is.
"""
COMMANDS = {"validation": "validate", "verdict": "validate", "stress": "validate", "gates": "registry", "broker": "trade"} | {
    "faults": "trade",
    "watch": "trade",
}
"""Which command takes a group, where it is not `train`."""
FILLED = {
    "backtest": ["run=x"],
    "export": ["run=x"],
    "combine": ["artifacts=[x,y]", "out=x"],
    "registry": ["action=list"],
    "trade_desk": ["action=status"],
    "trade": ["artifact=x"],
    "validate_causality": ["artifact=x"],
    "validate_artifact": ["artifact=x"],
    "data/files": ["data.path=x"],
    "broker/own": ["broker.name=yours"],
}
"""What has no default, filled so that it composes."""
LINE = re.compile(r"^(?P<indent> *)(?P<key>[a-z_]+): ?(?P<value>.*?)\s*(?:  #\s?(?P<comment>.*))?$")


class Facts(typing.NamedTuple):
    """By dotted key: its type, and what is allowed."""

    types: dict[str, str]
    limits: dict[str, str]


@contextlib.contextmanager
def watched(limits: dict[str, str]) -> Iterator[None]:
    """Inside, what the checks of cappuccino.config ask for is written down."""

    def ranges(group: str, given: object, **intervals: str) -> None:
        limits.update({checks.dotted(group, name): _said(interval) for name, interval in intervals.items()})
        checks.check_ranges(group, given, **intervals)

    def choice(name: str, value: str, choices: Sequence[str]) -> None:
        limits[name] = ", ".join(choices)
        checks.check_choice(name, value, choices)

    with contextlib.ExitStack() as stack:
        for found in pkgutil.iter_modules(config.__path__):
            module = import_module(f"cappuccino.config.{found.name}")
            if module is checks:
                continue
            for name, seen in (("check_ranges", ranges), ("check_choice", choice)):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, seen))
        yield


def _said(interval: str) -> str:
    low, high = interval[1:-1].split(", ")
    bounds = {"(-inf, inf)": "any number"}
    if interval in bounds or high != "inf":
        return bounds.get(interval, f"in {interval}")
    return f"{'at least' if interval[0] == '[' else 'above'} {low}"


def typed(schema: type, prefix: Sequence[str]) -> dict[str, str]:
    """The types of a class's fields and, of those that are classes themselves, of theirs."""
    found = {}
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        key, hint = (*prefix, field.name), hints[field.name]
        if dataclasses.is_dataclass(hint):
            found |= typed(typing.cast(type, hint), key)
        found[".".join(key)] = _named(hint)
    return found


def _named(hint: Any) -> str:
    """A type as the command line knows it."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(map(_named, typing.get_args(hint)))
    if dataclasses.is_dataclass(hint):
        return "group"
    return {type(None): "null", Any: "any"}.get(
        hint, getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint)
    )


def facts(path: pathlib.Path, prefix: Sequence[str]) -> Facts:
    """Of the keys of one file."""
    group, choice = path.parent.relative_to(ROOT / "conf").as_posix(), path.stem
    limits: dict[str, str] = {}
    with watched(limits):
        if group.startswith("hydra"):
            schema = SCHEMAS[group][choice]
            values = {name: value for name, value in yaml.safe_load(path.read_text()).items() if name != "defaults"}
            composed = OmegaConf.merge(OmegaConf.structured(schema), values)
            for key in OmegaConf.missing_keys(composed):
                OmegaConf.update(composed, key, "x")
            typing.cast(Any, OmegaConf.to_object(composed)).check()
            return Facts(typed(schema, prefix), limits)
        if "yours" not in extensions.added("broker"):
            extensions.add("broker", {}, "yours", None)
        command = choice if group == "." and choice in ROOTS else COMMANDS.get(group, "train")
        words = FILLED.get(command, []) + ([] if group == "." else FILLED.get(f"{group}/{choice}", []))
        composed = compose(command, [*([] if group == "." else [f"{group}={choice}"]), *words])
    of_groups = {name: getattr(composed, name, None) for name in SCHEMAS}
    kinds = typed(ROOTS[command], ())
    for name, made in of_groups.items():
        kinds |= typed(type(made), (name,)) if dataclasses.is_dataclass(made) else {}
    return Facts(kinds, limits)


def table(path: pathlib.Path) -> list[str]:
    """Rows of one YAML file: dotted key, type, value, what is allowed, comment. What names the choice itself is left out: its group
    chooses it, but where it has to be given. Raises KeyError for a key that no class has."""
    group = path.parent.name
    prefix = {"conf": [], "sweeper": ["hydra", "sweeper"], "launcher": ["hydra", "launcher"]}.get(group, [group])
    rows, parents = [], []
    text = path.read_text()
    if text.startswith("# @package _global_"):
        prefix = []
    known = facts(path, prefix)
    for line in text.splitlines():
        match = LINE.match(line)
        if line.lstrip().startswith(("#", "-")) or not match or match["key"] == "defaults":
            continue
        depth = len(match["indent"]) // 2
        parents = [*parents[:depth], match["key"]]
        value, comment = match["value"].strip(), match["comment"] or ""
        if value.startswith("#"):
            value, comment = "a list", value.lstrip("# ")
        is_choice = bool(prefix) and parents in (["name"], ["source"]) and value != "???"
        if parents[0] == "hydra" or not value or is_choice:
            continue
        key = ".".join([*prefix, *parents])
        kind = known.types.get(key) or known.types[key.rpartition(".")[0]].split(", ")[-1].rstrip(
            "]"
        )  # else an entry of a mapping
        cells = (f"`{key}`", kind, f"`{value}`", known.limits.get(key, ""), comment)
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def space(path: pathlib.Path) -> list[str]:
    """Rows of a search space: what is searched, and between what."""
    pairs = [line.split(": ", 1) for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [f"| `{key}` | `{values}` |" for key, values in pairs]


def section(path: pathlib.Path) -> str:
    """A heading, the file's first comment, and its table."""
    relative = path.relative_to(ROOT / "conf").with_suffix("").as_posix()
    comments = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            comments.append(line.lstrip("# "))
    if path.parent.name == "sweep":
        body = ["| searched | space |", "|---|---|", *space(path)]
    else:
        rows = table(path)
        body = ["| key | type | value | allowed | meaning |", "|---|---|---|---|---|", *rows] if rows else []
    return "\n".join([f"## `{relative}`", "", " ".join(comments), "", *body, ""])


def render() -> str:
    """The whole page."""
    roots = sorted((ROOT / "conf").glob("*.yaml"))
    groups = sorted((ROOT / "conf").glob("*/*.yaml"))
    groups = [path for path in groups if path.parent.name != "hydra"]
    plugins = [ROOT / "conf" / "hydra" / name for name in ("sweeper/optuna.yaml", "launcher/ray.yaml")]
    return "\n".join([HEAD, *map(section, [*roots, *groups, *plugins])])


if __name__ == "__main__":
    (ROOT / "docs" / "configuration.md").write_text(render())

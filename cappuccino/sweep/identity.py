"""What must be the same for results to stand in one study, and how two searches differ."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Identity:
    """What must be the same for results to stand in one study.

    data: a fingerprint. configuration: everything that is fixed. space: JSON of Optuna's distribution for each name.
    """

    data: str
    configuration: dict[str, Any]
    space: dict[str, str]
    objective: str


def content_of(identity: Identity, points: Sequence[Mapping[str, Any]] | None) -> dict[str, Any]:
    """As plain data. points: the values of each trial, for a grid."""
    return {**dataclasses.asdict(identity), "points": None if points is None else digest_of(points)}


def digest_of(content: Any) -> str:
    """The same for equal content, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few keys of two contents that differ, with both values."""
    before, after = _flat(was), _flat(now)
    keys = [key for key in dict.fromkeys((*before, *after)) if before.get(key) != after.get(key)]
    said = [f"{key} was {before.get(key, 'not there')} and is {after.get(key, 'not there')}" for key in keys[:_SHOWN]]
    return "; ".join(said) + (f"; and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _flat(content: Mapping[str, Any]) -> dict[str, str]:
    parsed = {f"space.{name}": json.loads(distribution) for name, distribution in content["space"].items()}
    space = {name: {"distribution": found["name"], **found["attributes"]} for name, found in parsed.items()}
    leaves = _leaves({"data": content["data"], "objective": content["objective"], "points": content["points"]}, "")
    return leaves | _leaves(content["configuration"], "") | _leaves(space, "")


def _leaves(node: Any, prefix: str) -> dict[str, str]:
    if not isinstance(node, dict) or not node:
        return {prefix.removesuffix("."): json.dumps(node)}
    return {name: text for key, child in node.items() for name, text in _leaves(child, f"{prefix}{key}.").items()}

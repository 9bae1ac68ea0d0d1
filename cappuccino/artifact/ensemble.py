"""Several artifacts as one: what they agree on, with one manifest."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from cappuccino.artifact.agreement import agreed
from cappuccino.artifact.combine import combined
from cappuccino.artifact.export import TOLERANCE, write_artifact
from cappuccino.artifact.manifest import POLICY_NAME, FeatureRange, Manifest
from cappuccino.artifact.observations import random_observations
from cappuccino.artifact.runtime import Artifact
from cappuccino.artifact.seen import SPANS, USES
from cappuccino.errors import InputError
from cappuccino.version import code_version

_SAME = ("assets", "features", "lookback", "warmup", "bar_seconds", "costs", "origin")
"""What members must have in common."""


def combine(members: Sequence[Artifact], agreement: float, out: pathlib.Path | str, *, observations: int = 256) -> Artifact:
    """Write the artifact that decides what the members agree on (`agreement.agreed`) to the new folder `out` and load it.

    Its manifest has the members, by checksum and with their figures, under `validation`, where its spans are those of all of them; a
    feature's range is what all of them were trained on; configuration, normaliser and market are the first member's.
    Raises InputError for fewer than two members, the same one twice, what they do not have in common, and where `out` exists.
    """
    if len({member.checksum for member in members}) < max(2, len(members)):
        raise InputError(
            f"{len(members)} artifacts, {len({member.checksum for member in members})} of them different; give two or more"
        )
    first = members[0].manifest
    for member in members[1:]:
        for name in _SAME:
            mine, theirs = getattr(first, name), getattr(member.manifest, name)
            if mine != theirs:
                raise InputError(
                    f"{members[0].path} has {name} {_said(mine)}, {member.path} {_said(theirs)}; they must have the same"
                )
    model = combined([onnx.load(member.path / POLICY_NAME) for member in members], agreement)
    manifest = dataclasses.replace(
        first,
        training_range=_common_range([member.manifest for member in members]),
        validation={
            "agreement": agreement,
            "members": [{"checksum": member.checksum, "validation": member.manifest.validation} for member in members],
            **_spans([member.manifest for member in members]),
        },
        code_version=code_version(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )

    def check(whole: Artifact) -> None:
        for window, weights in zip(*random_observations(manifest, observations, np.random.default_rng(0)), strict=True):
            apart = np.stack([member.decide(window, weights) for member in members])
            gap = float(np.max(np.abs(whole.decide(window, weights) - agreed(apart, weights, agreement, xp=np))))
            if gap > TOLERANCE:
                raise InputError(f"the members apart and together differ by {gap:.2g} in a target weight")

    return write_artifact(model, manifest, pathlib.Path(out), check)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _common_range(manifests: Sequence[Manifest]) -> FeatureRange:
    """Of each feature what every member knows, (A, F)."""
    low = np.max([manifest.training_range.low for manifest in manifests], axis=0)
    high = np.min([manifest.training_range.high for manifest in manifests], axis=0)
    apart = np.argwhere(low > high)
    if len(apart):
        asset, feature = apart[0]
        place = f"{manifests[0].features[feature]} of {manifests[0].assets[asset]}"
        raise InputError(f"the artifacts were trained on bars that have nothing in common: no value of {place} is known to all")
    return FeatureRange(tuple(map(tuple, low.tolist())), tuple(map(tuple, high.tolist())))


def _spans(manifests: Sequence[Manifest]) -> dict[str, dict[str, list[str]]]:
    """From the first to the last bar that any member used, by use; nothing where one does not say."""
    found = [manifest.validation.get(SPANS) for manifest in manifests]
    said = [spans for spans in found if isinstance(spans, dict)]
    if len(said) < len(found):
        return {}
    used = {name: [spans[name] for spans in said if name in spans] for name in USES}
    return {SPANS: {name: [min(ends)[0], max(end for _, end in ends)] for name, ends in used.items() if ends}}

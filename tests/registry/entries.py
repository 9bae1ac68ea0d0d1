"""Artifacts that differ in nothing but their figures, made without training."""

from __future__ import annotations

import dataclasses
import pathlib

from cappuccino.artifact.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    POLICY_NAME,
    BarOrigin,
    FeatureRange,
    Manifest,
    NormaliserValues,
    TrainedCosts,
    sha256_of_file,
    write_manifest,
)

MANIFEST = Manifest(
    format_version=FORMAT_VERSION,
    assets=("BTC",),
    features=("return_1",),
    lookback=2,
    warmup=1,
    bar_seconds=3600,
    normaliser=NormaliserValues((0.0,), (1.0,), 5.0),
    costs=TrainedCosts(25.0, 2.0, 1.0, 10.0, 0.04, (1e-9,)),
    config={},
    config_hash="0",
    market_fingerprint="0",
    training_range=FeatureRange(((0.0,),), ((1.0,),)),
    validation={},
    origin=BarOrigin("synthetic", "none", "USD"),
    code_version="0",
    files={POLICY_NAME: "0"},
    created="2026-01-01T00:00:00+00:00",
)


def artifact_at(folder: pathlib.Path, number: int) -> pathlib.Path:
    """The folder of an artifact whose graph is a few bytes: a registry does not run it."""
    folder.mkdir(parents=True)
    (folder / POLICY_NAME).write_bytes(f"policy {number}".encode())
    files = {POLICY_NAME: sha256_of_file(folder / POLICY_NAME)}
    write_manifest(dataclasses.replace(MANIFEST, files=files), folder / MANIFEST_NAME)
    return folder

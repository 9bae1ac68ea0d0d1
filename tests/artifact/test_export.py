"""What is exported decides as JAX does, or does not appear at all."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
from artifact_scenarios import ASSETS, FEATURES, LOOKBACK, MEAN, STD, fields, policy_of

from cappuccino.artifact import export
from cappuccino.artifact.export import TOLERANCE, export_artifact, largest_difference
from cappuccino.artifact.runtime import Artifact
from cappuccino.errors import InputError


@pytest.fixture(scope="module", params=["mlp", "per_asset", "conv", "transformer"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def exported(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return export_artifact(policy_of(kind), out=tmp_path_factory.mktemp(kind) / "artifact", **fields())


def test_onnx_decides_as_jax_on_ten_thousand_observations(kind: str, exported: Artifact) -> None:
    rng = np.random.default_rng(5)
    bars, count = 2_000, 10_000
    walk = np.cumsum(rng.standard_normal((bars, len(ASSETS), len(FEATURES))), axis=0) / np.sqrt(bars)
    series = MEAN + STD * (6 * walk + rng.standard_normal(walk.shape))
    ticks = rng.integers(LOOKBACK, bars, count)
    windows = np.stack([series[t - LOOKBACK + 1 : t + 1] for t in ticks])
    weights = rng.dirichlet(np.full(len(ASSETS) + 1, 0.5), count)[:, :-1]
    weights[:100] = 0
    weights[100:103] = np.eye(3)
    targets = np.stack([exported.decide(window, held) for window, held in zip(windows[:500], weights, strict=False)])
    assert targets.min() < 0.01
    assert targets.max() > 0.8
    assert largest_difference([policy_of(kind)], exported, windows, weights) < TOLERANCE


def test_the_normaliser_is_inside_and_clips(exported: Artifact) -> None:
    far, farther = (np.broadcast_to(MEAN + k * STD, (LOOKBACK, len(ASSETS), len(FEATURES))) for k in (4.0, 400.0))
    held = np.zeros(len(ASSETS))
    np.testing.assert_allclose(exported.decide(far, held), exported.decide(farther, held), atol=1e-6)


def test_manifest_and_folder_say_what_was_exported(exported: Artifact) -> None:
    assert exported.manifest.assets == ASSETS
    assert exported.manifest.validation == {"sharpe": 1.5, "periods": ["2024"]}
    assert sorted(path.name for path in exported.path.iterdir()) == ["manifest.json", "policy.onnx"]
    assert [path.name for path in exported.path.parent.iterdir()] == ["artifact"]


def test_an_artifact_is_never_overwritten(exported: Artifact) -> None:
    with pytest.raises(InputError, match="exists already"):
        export_artifact(policy_of("mlp"), out=exported.path, **fields())


def test_nothing_is_left_where_the_two_disagree(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="differ by"):
        export_artifact(policy_of("mlp"), out=tmp_path / "artifact", **fields())
    assert list(tmp_path.iterdir()) == []


def test_missing_and_unknown_fields_are_named(tmp_path: pathlib.Path) -> None:
    incomplete = {name: value for name, value in fields(extra=1).items() if name != "costs"}
    with pytest.raises(InputError, match=r"missing \['costs'\], unknown \['extra'\]"):
        export_artifact(policy_of("mlp"), out=tmp_path / "artifact", **incomplete)
    assert list(tmp_path.iterdir()) == []

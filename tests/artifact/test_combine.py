"""Policies combined decide what they agree on, in one graph as in NumPy, and with one manifest."""

from __future__ import annotations

import math
import pathlib
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np
import onnx
import pytest
from artifact_scenarios import ASSETS, FEATURES, LOOKBACK, MEAN, STD, fields, policy_of
from flax import nnx
from hypothesis import given

from cappuccino.agents.networks import Policy
from cappuccino.artifact.agreement import agreed
from cappuccino.artifact.combine import combined
from cappuccino.artifact.ensemble import combine
from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.manifest import POLICY_NAME, FeatureRange
from cappuccino.errors import InputError


def another(policy: Policy, seed: int) -> Policy:
    """A policy of the same shape and normaliser with other parameters."""
    graph, weights, frozen = nnx.split(policy, nnx.Param, ...)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), weights)
    return nnx.merge(graph, moved, frozen)


def slowly(targets: np.ndarray, weights: np.ndarray, agreement: float) -> list[float]:
    """What members agree on, an asset at a time."""
    members, wanted = len(targets), []
    for a, held in enumerate(weights):
        mean = math.fsum(targets[:, a]) / members
        with_it = sum((target > held) == (mean > held) and (target < held) == (mean < held) for target in targets[:, a])
        wanted.append(mean if with_it / members >= agreement else held)
    kept = [min(want, held) for want, held in zip(wanted, weights, strict=True)]
    rise = math.fsum(want - keep for want, keep in zip(wanted, kept, strict=True))
    left = max(1 - math.fsum(kept), 0.0)
    share = left / rise if rise > left else 1.0
    return [keep + (want - keep) * share for want, keep in zip(wanted, kept, strict=True)]


portfolios = st.lists(st.floats(0.01, 1), min_size=4, max_size=4).map(lambda parts: [part / sum(parts) for part in parts[:3]])


@given(st.lists(portfolios, min_size=1, max_size=5), portfolios, st.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0]))
def test_what_is_agreed_is_that_of_the_slow_reference_and_a_portfolio(members: list, held: list, agreement: float) -> None:
    targets, weights = np.array(members), np.array(held)
    got = agreed(targets, weights, agreement, xp=np)
    np.testing.assert_allclose(got, slowly(targets, weights, agreement), atol=1e-12)
    assert (got >= 0).all()
    assert got.sum() <= 1 + 1e-12
    if agreement == 0:
        np.testing.assert_allclose(got, targets.mean(axis=0), atol=1e-12)
    if agreement == 1:
        for a, weight in enumerate(weights):
            stands = len({bool(target > weight) for target in targets[:, a]}) > 1
            assert not stands or got[a] == pytest.approx(weight)


@pytest.mark.parametrize("agreement", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("kind", ["per_asset", "conv"])
def test_the_whole_decides_what_its_members_agree_on(kind: str, agreement: float, tmp_path: pathlib.Path) -> None:
    policies = [another(policy_of(kind), seed) for seed in range(3)]
    members = [export_artifact(policy, out=tmp_path / str(i), **fields()) for i, policy in enumerate(policies)]
    whole = export_artifact(*policies, out=tmp_path / "whole", agreement=agreement, **fields())
    again = combine(members, agreement, tmp_path / "again")
    rng = np.random.default_rng(0)
    windows = (MEAN + 2 * STD * rng.standard_normal((200, LOOKBACK, len(ASSETS), len(FEATURES)))).astype(np.float32)
    held = rng.dirichlet(np.ones(len(ASSETS) + 1), 200)[:, :-1].astype(np.float32)
    apart, stayed = [], []
    for window, weights in zip(windows, held, strict=True):
        alone = np.array([member.decide(window, weights) for member in members])
        expected = slowly(alone, weights.astype(np.float64), agreement)
        np.testing.assert_allclose(whole.decide(window, weights), expected, atol=1e-6)
        np.testing.assert_allclose(again.decide(window, weights), expected, atol=1e-6)
        apart.append(np.ptp(alone, axis=0).max())
        stayed.append(np.isclose(expected, weights, atol=1e-9).any())
    assert np.median(apart) > 0.05, "members of one mind show nothing"
    assert np.mean(stayed) > 0.3 if agreement else not any(stayed)


def test_an_ensemble_has_one_manifest(tmp_path: pathlib.Path) -> None:
    A, F = len(ASSETS), len(FEATURES)
    ranges = (((-3.0,) * F,) * A, ((3.0,) * F,) * A), (((-1.0,) * F,) * A, ((5.0,) * F,) * A)
    spans = (
        {"train": ["2020-01-01", "2021-01-01"], "valid": ["2021-01-02", "2021-02-01"], "test": ["2021-02-02", "2022-01-01"]},
        {"train": ["2020-06-01", "2021-06-01"], "valid": ["2021-06-02", "2021-07-01"]},
    )
    members = [
        export_artifact(
            another(policy_of("per_asset"), seed),
            out=tmp_path / str(seed),
            **fields(training_range=FeatureRange(*ranges[seed]), validation={"spans": spans[seed], "sharpe": seed}),
        )
        for seed in range(2)
    ]
    manifest = combine(members, 0.6, tmp_path / "both").manifest
    assert manifest.training_range == FeatureRange(ranges[1][0], ranges[0][1])
    assert manifest.validation["agreement"] == 0.6
    assert manifest.validation["spans"] == {"train": ["2020-01-01", "2021-06-01"], "valid": ["2021-01-02", "2021-07-01"]}
    assert [one["checksum"] for one in manifest.validation["members"]] == [member.checksum for member in members]
    assert [one["validation"]["sharpe"] for one in manifest.validation["members"]] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bar_seconds": 900}, "has bar_seconds 3600, .* 900; they must have the same"),
        ({"assets": ("BTC", "LTC", "ETH")}, "has assets BTC, ETH, LTC, .* BTC, LTC, ETH"),
        ({"features": ("return_1", "rsi_14", "relative_volume_168", "hour_cos")}, "has features"),
        ({"training_range": FeatureRange(((4.0,) * 4,) * 3, ((5.0,) * 4,) * 3)}, "no value of return_1 of BTC is known to all"),
        ({}, "2 artifacts, 1 of them different"),
    ],
)
def test_artifacts_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str, tmp_path: pathlib.Path) -> None:
    policy = policy_of("mlp")
    members = [export_artifact(policy, out=tmp_path / str(number), **fields(**own)) for number, own in enumerate(({}, changes))]
    with pytest.raises(InputError, match=message):
        combine(members, 0.5, tmp_path / "both")
    assert not (tmp_path / "both").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_models_of_other_shapes_are_refused(tmp_path: pathlib.Path) -> None:
    model = onnx.load(export_artifact(policy_of("mlp"), out=tmp_path / "artifact", **fields()).path / POLICY_NAME)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.input[0].type.tensor_type.shape.dim[0].dim_value = LOOKBACK + 1
    with pytest.raises(InputError, match=r"model 1 takes and gives window \[7, 3, 4\].* the first window \[6, 3, 4\]"):
        combined([model, other])
    with pytest.raises(InputError, match="there is no model to combine"):
        combined([])
    with pytest.raises(InputError, match=r"agreement is 1\.5; a share from 0 to 1"):
        combined([model], 1.5)
    assert combined([model]) is model

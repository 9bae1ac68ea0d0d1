"""Policies combined in one graph decide by the mean of what each decides."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import onnx
import pytest
from artifact_scenarios import ASSETS, FEATURES, LOOKBACK, MEAN, STD, fields, policy_of
from flax import nnx

from cappuccino.agents.networks import Policy
from cappuccino.artifact.combine import combined
from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.manifest import POLICY_NAME
from cappuccino.errors import InputError


def another(policy: Policy, seed: int) -> Policy:
    """A policy of the same shape and normaliser with other parameters."""
    graph, weights, frozen = nnx.split(policy, nnx.Param, ...)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), weights)
    return nnx.merge(graph, moved, frozen)


@pytest.mark.parametrize("kind", ["per_asset", "conv"])
def test_the_whole_decides_the_mean_of_its_members(kind: str, tmp_path: pathlib.Path) -> None:
    policies = [another(policy_of(kind), seed) for seed in range(3)]
    members = [export_artifact(policy, out=tmp_path / str(i), **fields()) for i, policy in enumerate(policies)]
    whole = export_artifact(*policies, out=tmp_path / "whole", **fields())
    rng = np.random.default_rng(0)
    windows = (MEAN + 2 * STD * rng.standard_normal((200, LOOKBACK, len(ASSETS), len(FEATURES)))).astype(np.float32)
    held = rng.dirichlet(np.ones(len(ASSETS) + 1), 200)[:, :-1].astype(np.float32)
    apart = []
    for window, weights in zip(windows, held, strict=True):
        alone = np.array([member.decide(window, weights) for member in members])
        np.testing.assert_allclose(whole.decide(window, weights), alone.mean(axis=0), atol=1e-6)
        apart.append(np.ptp(alone, axis=0).max())
    assert np.median(apart) > 0.05, "members of one mind show nothing"


def test_models_of_other_shapes_are_refused(tmp_path: pathlib.Path) -> None:
    model = onnx.load(export_artifact(policy_of("mlp"), out=tmp_path / "artifact", **fields()).path / POLICY_NAME)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.input[0].type.tensor_type.shape.dim[0].dim_value = LOOKBACK + 1
    with pytest.raises(InputError, match=r"model 1 takes and gives window \[7, 3, 4\].* the first window \[6, 3, 4\]"):
        combined([model, other])
    with pytest.raises(InputError, match="there is no model to combine"):
        combined([])
    assert combined([model]) is model

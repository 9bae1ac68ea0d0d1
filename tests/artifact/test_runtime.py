"""An artifact that is not whole, not the one expected or asked a wrong question refuses in one line; and it is light."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from artifact_scenarios import ASSETS, FEATURES, LOOKBACK, fields, policy_of

from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.manifest import read_manifest, sha256_of_file, write_manifest
from cappuccino.artifact.runtime import load_artifact
from cappuccino.errors import InputError

SHAPE = (LOOKBACK, len(ASSETS), len(FEATURES))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return export_artifact(policy_of("per_asset"), out=tmp_path_factory.mktemp("runtime") / "artifact", **fields()).path


@pytest.fixture
def folder(original: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(original, tmp_path / "copy"))


def _vouch(folder: pathlib.Path, **changes: object) -> None:
    """A manifest that vouches for whatever lies in the folder."""
    manifest = read_manifest(folder / "manifest.json")
    files = {"policy.onnx": sha256_of_file(folder / "policy.onnx")}
    write_manifest(dataclasses.replace(manifest, files=files, **changes), folder / "manifest.json")


def _flip_a_bit(folder: pathlib.Path) -> None:
    content = bytearray((folder / "policy.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "policy.onnx").write_bytes(content)


def _truncate(folder: pathlib.Path) -> None:
    content = (folder / "policy.onnx").read_bytes()
    (folder / "policy.onnx").write_bytes(content[: len(content) // 2])


def _truncate_and_vouch(folder: pathlib.Path) -> None:
    _truncate(folder)
    _vouch(folder)


def _empty_and_vouch(folder: pathlib.Path) -> None:
    (folder / "policy.onnx").write_bytes(b"")
    _vouch(folder)


def _reach_outside(folder: pathlib.Path) -> None:
    manifest = read_manifest(folder / "manifest.json")
    files = {**manifest.files, "../copy/policy.onnx": "0"}
    write_manifest(dataclasses.replace(manifest, files=files), folder / "manifest.json")


def _another_version(folder: pathlib.Path) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**document, "format_version": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_flip_a_bit, "does not match its checksum"),
        (_truncate, "does not match its checksum"),
        (_truncate_and_vouch, "not an ONNX model that can be run"),
        (_empty_and_vouch, "not an ONNX model that can be run|inputs and outputs"),
        (_another_version, "has format 99; this version reads format 1"),
        (_reach_outside, "files lie in the folder itself"),
        (lambda folder: (folder / "policy.onnx").unlink(), "has no file policy.onnx"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (shutil.rmtree, "is not a folder"),
        (lambda folder: _vouch(folder, lookback=LOOKBACK + 1), r"window is tensor\(float\) \[6, 3, 4\]; by the manifest"),
    ],
)
def test_damage_is_refused_in_one_line(folder: pathlib.Path, damage: Callable[[pathlib.Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=message) as caught:
        load_artifact(folder)
    assert "\n" not in str(caught.value)


def test_another_order_is_refused_with_the_difference(original: pathlib.Path) -> None:
    with pytest.raises(InputError, match="assets differ: expected BTC, ETH, LTC; got ETH, BTC, LTC"):
        load_artifact(original, assets=("ETH", "BTC", "LTC"))
    with pytest.raises(InputError, match=r"features differ: expected return_1, .*; got return_1$"):
        load_artifact(original, features=FEATURES[:1])
    assert load_artifact(original, assets=ASSETS, features=FEATURES).manifest.assets == ASSETS


@pytest.mark.parametrize(
    ("window", "weights", "message"),
    [
        (np.zeros((LOOKBACK, 4, 3)), np.zeros(3), "the window has shape"),
        (np.full(SHAPE, np.nan), np.zeros(3), "return_1 of BTC, row 0 is nan"),
        (np.zeros(SHAPE), np.zeros(2), "expected one of each of BTC, ETH, LTC"),
        (np.zeros(SHAPE), np.array([0.5, -0.1, 0.0]), "ETH is -0.1"),
        (np.zeros(SHAPE), np.array([0.5, np.inf, 0.0]), "ETH is inf"),
        (np.zeros(SHAPE), np.array([0.5, 0.5, 1e-5]), "sum to 1.00001"),
    ],
)
def test_wrong_questions_are_refused(original: pathlib.Path, window: np.ndarray, weights: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_artifact(original).decide(window, weights)


def test_targets_are_a_portfolio(original: pathlib.Path) -> None:
    artifact, rng = load_artifact(original), np.random.default_rng(0)
    for _ in range(100):
        targets = artifact.decide(rng.normal(0, 3, SHAPE), rng.dirichlet(np.ones(4))[:3])
        assert targets.dtype == np.float64
        assert (targets >= 0).all()
        assert targets.sum() <= 1 + 1e-6


_FLOOR = """
import pathlib, sys, time
from cappuccino.artifact.runtime import load_artifact
import numpy as np
load_artifact(sys.argv[1]).decide(np.zeros((6, 3, 4)), np.zeros(3))
heavy = sorted({"jax", "flax", "pandas", "pyarrow", "onnx", "jaxtyping"} & sys.modules.keys())
status = dict(line.split(":") for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) / 1024, time.process_time(), *heavy)
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_decision_takes_neither_jax_nor_a_hundred_megabytes_nor_a_second(original: pathlib.Path) -> None:
    ran = subprocess.run([sys.executable, "-c", _FLOOR, str(original)], capture_output=True, text=True, check=True)
    megabytes, seconds, *heavy = ran.stdout.split()
    assert heavy == []
    assert float(megabytes) < 100
    assert float(seconds) < 1  # of processor time: the wall's depends on what else runs

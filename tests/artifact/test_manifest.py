"""A manifest survives the disk unchanged, and nothing else passes for one."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import pytest
from artifact_scenarios import fields
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.artifact.manifest import FORMAT_VERSION, Manifest, NormaliserValues, checksum, read_manifest, write_manifest
from cappuccino.errors import InputError

MANIFEST = Manifest(format_version=FORMAT_VERSION, files={"policy.onnx": "0" * 64}, **fields())

finite = st.floats(allow_nan=False, allow_infinity=False)


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    write_manifest(MANIFEST, tmp_path / "manifest.json")
    return tmp_path / "manifest.json"


@given(mean=st.tuples(finite, finite, finite, finite), text=st.text(), value=st.none() | finite | st.integers() | st.text())
def test_what_is_written_is_read_back(tmp_path_factory: Any, mean: tuple[float, ...], text: str, value: Any) -> None:
    normaliser = NormaliserValues(mean, (1.0,) * 4, 5.0)
    manifest = dataclasses.replace(MANIFEST, normaliser=normaliser, code_version=text, config={text: [value]})
    path = tmp_path_factory.mktemp("manifest") / "manifest.json"
    write_manifest(manifest, path)
    assert read_manifest(path) == manifest
    assert checksum(read_manifest(path)) == checksum(manifest)


def _set(where: list[Any], value: Any) -> Any:
    def change(document: dict[str, Any]) -> None:
        inner: Any = document
        for key in where[:-1]:
            inner = inner[key]
        inner[where[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(["assets"], ["ETH", "BTC", "LTC"]), "was changed after it was written"),
        (_set(["costs", "taker_fee_bps"], 0.0), "was changed after it was written"),
        (_set(["checksum"], "0"), "was changed after it was written"),
        (_set(["surprise"], 1), "unknown key surprise"),
        (_set(["costs", "surprise"], 1), r"manifest\.costs: unknown key surprise"),
        (lambda document: document.pop("lookback"), "missing key lookback"),
        (lambda document: document["origin"].pop("venue"), r"manifest\.origin: missing key venue"),
        (_set(["lookback"], "6"), r"manifest\.lookback must be int, got '6'"),
        (_set(["lookback"], True), r"manifest\.lookback must be int, got True"),
        (_set(["lookback"], 0), "lookback is 0; it must be at least 1"),
        (_set(["normaliser", "std"], [1.0, "x", 1.0, 1.0]), r"manifest\.normaliser\.std\[1\] must be float"),
        (_set(["normaliser", "std"], [1.0]), "normaliser.std has 1 values for 4 features"),
        (_set(["training_range", "low"], [[0.0]]), "training_range.low must be a table of 3 assets by 4 features"),
        (_set(["format_version"], 2), "has format 2; this version reads format 1"),
        (_set(["files"], {}), "files does not name policy.onnx"),
    ],
)
def test_a_changed_manifest_is_refused_in_one_line(path: pathlib.Path, change: Any, message: str) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1, "lookback": NaN}', "\x80"])
def test_what_is_no_manifest_is_refused(path: pathlib.Path, text: str) -> None:
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError):
        read_manifest(path)


def test_a_value_json_cannot_hold_is_not_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_manifest(dataclasses.replace(MANIFEST, validation={"sharpe": float("nan")}), tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()

"""`cappuccino combine` at the command line."""

from __future__ import annotations

import pathlib
import shutil

import pytest
from small_artifact import make_artifact

from cappuccino.artifact.runtime import load_artifact
from cappuccino.cli import INPUT_ERROR, main


def test_two_artifacts_become_one(artifact: pathlib.Path, tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    other, out = make_artifact(tmp_path / "runs"), tmp_path / "both"
    assert load_artifact(other).checksum != load_artifact(artifact).checksum
    words = [f"artifacts=[{artifact},{other}]", "agreement=0.6", f"out={out}"]
    assert main(["combine", *words]) == 0
    assert "2 artifacts" in terminal.readouterr().out
    assert load_artifact(out).manifest.validation["agreement"] == 0.6
    assert main(["combine", *words]) == INPUT_ERROR
    assert "exists already" in terminal.readouterr().err


def test_what_cannot_be_combined_is_an_input_error(
    artifact: pathlib.Path, tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(artifact, tmp_path / "copy")
    for words, message in (
        ([f"artifacts=[{artifact},{copy}]"], "1 of them different"),
        ([f"artifacts=[{artifact}]"], "give two or more"),
        ([f"artifacts=[{artifact},{tmp_path / 'gone'}]"], "is not a folder"),
        ([f"artifacts=[{artifact},{copy}]", "agreement=2"], "agreement is 2"),
    ):
        assert main(["combine", *words, f"out={tmp_path / 'both'}"]) == INPUT_ERROR
        assert message in terminal.readouterr().err
    assert not (tmp_path / "both").exists()

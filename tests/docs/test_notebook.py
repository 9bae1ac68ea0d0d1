"""The notebook trains, validates and trades; here with its numbers made small."""

from __future__ import annotations

import os
import pathlib
import re
import sys

import nbclient
import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"
SMALL = {"ENV_STEPS": 65_536, "SEEDS": 1, "BARS": 6}


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs")] == []
    assert NOTEBOOK.stat().st_size < 20_000


@pytest.mark.slow
def test_the_notebook_runs_to_its_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = notebook.cells[1]
    for name, value in SMALL.items():
        parameters.source, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", parameters.source)
        assert count == 1, name
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = re.sub(r"\x1b\[[0-9;]*m", "", "".join(output.get("text", "") for output in outputs))
    for said in ("champion", "nothing looks ahead", "traded      6 bars, 6 decisions"):
        assert said in printed, printed
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 2

"""`optuna-dashboard` opens a study's storage as it is."""

from __future__ import annotations

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from optuna.trial import TrialState
from study_worker import NAME, open_at

pytest.importorskip("optuna_dashboard")
PROGRAM = pathlib.Path(sys.executable).with_name("optuna-dashboard")
PATIENCE_S = 60.0


@pytest.fixture
def address(tmp_path: pathlib.Path) -> Iterator[str]:
    """Where a dashboard answers for a study of three trials, one of them failed."""
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = open_at(url, 3)
    for value in (1.0, 2.0, None):
        trial = study.claim()
        assert trial is not None
        trial.suggest_float("x", 0, 1)
        study.tell(trial, value, TrialState.FAIL if value is None else TrialState.COMPLETE, {"hedged_sharpe": 0.1})
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(PROGRAM), "--host", "127.0.0.1", "--port", str(port), url]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def get(address: str) -> Any:
    """The JSON at an address, once its server answers."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return json.load(answer)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError) or time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_the_dashboard_shows_a_study_with_its_trials(address):
    (summary,) = get(f"{address}/api/studies")["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == (NAME, ["maximize"])
    trials = get(f"{address}/api/studies/{summary['study_id']}?after=0")["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Fail"]
    assert {"hedged_sharpe"} <= {attribute["key"] for attribute in trials[0]["user_attrs"]}

"""`cappuccino registry` at the command line."""

from __future__ import annotations

import contextlib
import pathlib
from typing import Any

import numpy as np
import pytest
from small_artifact import make_artifact

from cappuccino.cli import INPUT_ERROR, REFUSED, main
from cappuccino.registry.registry import Registry

DAY = 86_400


@pytest.fixture
def runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "runs"


def registry(runs: pathlib.Path) -> contextlib.closing[Registry]:
    return contextlib.closing(Registry(runs))


def say(runs: pathlib.Path, *words: str) -> int:
    return main(["registry", *words, f"runs_dir={runs}"])


def know(runs: pathlib.Path, checksum: str, **changes: Any) -> None:
    """What validation and the proof of causality would have found."""
    figures = {"deflated": 0.99, "trials": 1, "pbo": None, "information_low": 1.0, "growth_by_fees": {"1.5": 1e-4}}
    with registry(runs) as opened:
        opened.record(checksum, "validation", {**figures, "last_bar": 1_000 * DAY, **changes})
        opened.record(checksum, "causality", {"passed": True, "said": "nothing looks ahead"})


def trade_on_paper(runs: pathlib.Path, checksum: str, drift: float) -> None:
    """What a shadow trader of eight days would have earned."""
    bars = 1_001 * DAY + 3600 * np.arange(193)
    noise = np.random.default_rng(0).normal(0, 0.003, (2, len(bars)))
    growth = np.cumsum(noise[0] + drift + 0.1 * (drift > 0) * noise[1])
    equity = dict(zip(map(str, bars.tolist()), (1e5 * np.exp(growth)).tolist(), strict=True))
    seen = {"first_bar": int(bars[0]), "last_bar": int(bars[-1]), "decisions": 192, "bars_unexplained": 0, "stops": 0}
    with registry(runs) as opened:
        opened.record(checksum, "shadow", {**seen, "equity": equity})


def test_from_candidate_to_champion_and_back(runs: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    make_artifact(runs)
    with registry(runs) as opened:
        (entry,) = opened.entries()
    first = entry.checksum
    name = f"artifact={first[:8]}"
    assert say(runs, "list") == 0
    assert "candidate" in terminal.readouterr().out

    assert say(runs, "promote", name) == REFUSED
    told = terminal.readouterr()
    for gate in ("deflated", "pbo", "information", "fees", "causality"):
        assert f"{gate} is not" in told.err
    assert "decide_ms is" not in told.err

    know(runs, first, deflated=0.5)
    assert say(runs, "promote", name) == REFUSED
    assert "stays candidate: deflated is 0.500 over 1 trials, asked is at least 0.95" in terminal.readouterr().err
    assert say(runs, "promote", name, "gates.deflated=0.4", "reason=a try") == 0
    assert say(runs, "promote", name) == 0
    assert say(runs, "promote", name) == REFUSED
    assert "it has not traded on paper" in terminal.readouterr().err
    trade_on_paper(runs, first, 0.0)
    assert say(runs, "promote", name) == 0
    with registry(runs) as opened:
        assert opened.entry(first).state == "champion"
        changes = opened.changes(first)
    assert [change.after for change in changes] == ["candidate", "validated", "shadow", "champion"]
    assert changes[1].reason == "a try"
    assert changes[1].figures["deflated"] == {"holds": True, "found": "0.500 over 1 trials", "asked": "at least 0.4"}
    assert say(runs, "promote", name) == INPUT_ERROR
    assert "is champion; candidates" in terminal.readouterr().err

    make_artifact(runs / "more")
    with registry(runs) as opened:
        second = opened.add(runs / "more" / "small" / "artifact", name="second")
    assert second != first
    know(runs, second)
    trade_on_paper(runs, second, -1e-4)
    other = f"artifact={second[:8]}"
    assert [say(runs, "promote", other) for _ in range(3)] == [0, 0, REFUSED]
    assert "log growth beyond the champion's above zero" in terminal.readouterr().err
    trade_on_paper(runs, second, 1e-3)
    assert say(runs, "promote", other) == 0
    assert say(runs, "show", name) == 0
    assert "made room for" in terminal.readouterr().out
    assert say(runs, "compare", f"artifacts=[{first[:8]},{second[:8]}]") == 0
    shown = terminal.readouterr().out
    assert "paper shadow_days" in shown
    assert "retired" in shown
    assert say(runs, "rollback", "reason=drawdown") == 0
    assert say(runs, "rollback") == INPUT_ERROR
    assert "no predecessor" in terminal.readouterr().err
    with registry(runs) as opened:
        assert [entry.state for entry in opened.entries()] == ["champion", "retired"]
    assert say(runs, "prune", "keep=0") == 0
    assert f"deleted     {second[:12]}" in terminal.readouterr().out


def test_what_cannot_be_done_is_said(runs: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    assert say(runs, "list") == 0
    assert "no artifact yet" in terminal.readouterr().out
    for words, message in (
        (["show"], "say which artifact"),
        (["show", "artifact=abcd"], "names 0 artifacts"),
        (["compare", "artifacts=[abcd]"], "takes two artifacts or more"),
        (["rollback"], "no champion to roll back"),
        (["promote", "artifact=abcd", "gates.confidence=0.4"], "gates.confidence is 0.4"),
    ):
        assert say(runs, *words) == INPUT_ERROR
        assert message in terminal.readouterr().err
    (runs / "registry" / "registry.sqlite").write_bytes(b"nothing of the kind" * 500)
    assert say(runs, "list") == INPUT_ERROR
    assert "file is not a database" in terminal.readouterr().err

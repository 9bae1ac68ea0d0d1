"""`cappuccino doctor`, as a person types it, beside a real exchange: what is wrong is named, with what to do."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator

import pytest
from loopback import serving, walk

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.cli import INPUT_ERROR, REFUSED, main
from cappuccino.trading.clock import RealClock
from cappuccino.trading.folder import locked
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch

Doctor = Callable[..., tuple[int, dict[str, str]]]


@pytest.fixture
def doctor(tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> Iterator[Doctor]:
    """Exit code, and the grade and text of each check by its name."""
    with serving(Venue(walk(400), 300, ExchangeConfig())) as url:

        def ask(*words: str) -> tuple[int, dict[str, str]]:
            broker = (f"broker.url={url}",) if not any(word.startswith("broker") for word in words) else ()
            code = main(["doctor", *broker, f"runs_dir={tmp_path}", "trade.name=paper", *words])
            lines = [line.split(maxsplit=1) for line in terminal.readouterr().out.splitlines() if line.strip()]
            return code, {name: text for name, text in lines}

        yield ask


def test_all_is_well(doctor: Doctor) -> None:
    code, found = doctor()
    assert code == 0
    assert found.keys() == {"artifact", "folder", "disk", "keys", "clock", "account", "holdings"}
    assert {name for name, text in found.items() if text.split()[0] != "ok"} == {"artifact"}


@pytest.mark.parametrize(
    ("words", "check", "said"),
    [
        (("artifact=nowhere",), "artifact", "nowhere is not a folder"),
        (("trade.capital=1e9",), "account", "lower it or fund"),
        (("broker.url=http://127.0.0.1:9",), "venue", "does not answer"),
        (("watch.disk_mb=1e12",), "disk", "watch.disk_mb"),
        (("broker=alpaca",), "keys", "APCA_API_KEY_ID"),
    ],
)
def test_what_is_wrong_is_named(
    doctor: Doctor, words: tuple[str, ...], check: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APCA_API_KEY_ID", raising=False)
    code, found = doctor(*words)
    assert code == REFUSED
    assert found[check].split()[0] == "problem"
    assert said in found[check]


def test_a_bad_configuration_is_no_finding(doctor: Doctor) -> None:
    assert doctor("watch.port=-1") == (INPUT_ERROR, {})


def test_a_trader_that_runs_is_halted_or_has_lost_its_journal_is_told(doctor: Doctor, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "traders" / "paper"
    with locked(folder):
        journal = Journal(folder / "journal.sqlite")
        assert doctor()[1]["folder"].startswith("warning")
    KillSwitch(journal, folder, RealClock()).throw("by hand", "command")
    journal.close()
    code, found = doctor()
    assert (code, found["folder"].split()[0]) == (REFUSED, "problem")
    assert "trade resume" in found["folder"]
    (folder / "journal.sqlite").write_bytes(b"no database" * 100)
    code, found = doctor()
    assert code == REFUSED
    assert "cannot be read" in found["folder"]

"""`cappuccino doctor`, as a person types it, beside a real exchange: what is wrong is named, with what to do."""

from __future__ import annotations

import http.server
import pathlib
import threading
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


class Answer(http.server.BaseHTTPRequestHandler):
    """Takes what is sent to /good and to nothing else."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200 if self.path.startswith("/good") else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the library names it

    def log_message(self, format: str, *args: object) -> None:
        del format, args


def test_notify_says_by_number_which_url_worked(
    tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"

    def ask(notify: str, heartbeat: str) -> tuple[int, str]:
        monkeypatch.setenv("CAPPUCCINO_NOTIFY", notify)
        monkeypatch.setenv("CAPPUCCINO_HEARTBEAT", heartbeat)
        code = main(["doctor", "notify", f"runs_dir={tmp_path}"])
        told = terminal.readouterr()
        assert "planted" not in told.out + told.err
        return code, told.out + told.err

    with server:
        good, bad = f"json://{address}/good/planted", f"xml://{address}/bad/planted"
        code, out = ask(f"{good} {bad}", f"http://{address}/good/planted")
        assert code == REFUSED
        assert "notification 1 (json)  ok" in out
        assert "notification 2 (xml)  problem" in out
        assert "heartbeat  ok" in out
        assert ask(good, "")[0] == 0
        code, out = ask("", f"http://{address}/bad/planted")
        assert (code, "heartbeat  problem" in out) == (REFUSED, True)
        code, out = ask("", "http://127.0.0.1:9/planted")
        assert (code, "ConnectionError" in out) == (REFUSED, True)
        server.shutdown()
    assert ask("", "")[0] == INPUT_ERROR
    assert ask("nonsense://planted", "")[0] == INPUT_ERROR

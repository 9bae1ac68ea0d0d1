"""Whole sessions in processes of their own, of which everything is looked at: names resolved, sockets opened, files left behind.

Secrets are planted in the environment, and must be nowhere else. Every process records, from its first line on, where it connects.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from loopback import serving
from small_artifact import SMALL

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.cli import INPUT_ERROR, REFUSED
from cappuccino.config import compose
from cappuccino.sources import load_bars, opening_row

KEY, SECRET, NOTIFY, HEARTBEAT = ("planted-key-7f3a", "planted-secret-91bc", "planted-notify-44de", "planted-heartbeat-0a5c")
PLANTED = (KEY, SECRET, NOTIFY, HEARTBEAT)

_RECORDER = """
import json, os, sys

def record(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        told = str(arguments[0])
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        told = arguments[1][0] if isinstance(arguments[1], tuple) else "a socket of this machine"
    else:
        return
    with open(os.environ["RECORD"], "a") as file:
        file.write(json.dumps([event, told]) + chr(10))

sys.addaudithook(record)
"""
HERE = {"127.0.0.1", "::1", "localhost", "", "None", "a socket of this machine"}


class Ran(NamedTuple):
    """status: the exit code. text: everything printed. sockets: (event, name or address) of the process and its children."""

    status: int
    text: str
    sockets: list[tuple[str, str]]

    @property
    def elsewhere(self) -> list[tuple[str, str]]:
        return [one for one in self.sockets if one[1] not in HERE]


def run(folder: pathlib.Path, *words: str, timeout: float = 120, **environment: str) -> Ran:
    """`cappuccino <words>` in a process with the planted secrets and the recorder."""
    recorder = folder / "recorder"
    recorder.mkdir(exist_ok=True)
    (recorder / "sitecustomize.py").write_text(_RECORDER)
    record = folder / "sockets.txt"
    record.unlink(missing_ok=True)
    root = pathlib.Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{recorder}{os.pathsep}{root}",
        "RECORD": str(record),
        "APCA_API_KEY_ID": KEY,
        "APCA_API_SECRET_KEY": SECRET,
        **environment,
    }
    command = [sys.executable, "-c", "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))", *words]
    try:
        ran = subprocess.run(
            command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=timeout, cwd=folder
        )
        status, text = ran.returncode, ran.stdout + ran.stderr
    except subprocess.TimeoutExpired as error:
        status, text = -1, "".join((part or b"").decode() for part in (error.stdout, error.stderr))
    lines = record.read_text().splitlines() if record.exists() else []
    return Ran(status, text, [tuple(json.loads(line)) for line in lines])


class Post:
    """Takes notifications and heartbeats; at every heartbeat it reads the trader's pages."""

    def __init__(self, pages: str) -> None:
        self.got: list[tuple[str, str]] = []
        self.pages: list[str] = []
        post = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                post.got.append((self.path, body))
                if HEARTBEAT in self.path:
                    for page in ("metrics", "health"):
                        with contextlib.suppress(urllib.error.HTTPError):
                            post.pages.append(urllib.request.urlopen(f"{pages}/{page}", timeout=5).read().decode())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the library names it

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@contextlib.contextmanager
def post_office(pages: str) -> Iterator[Post]:
    post = Post(pages)
    try:
        yield post
    finally:
        post.server.shutdown()
        post.server.server_close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def files_of(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "recorder" not in path.parts:
            yield path, path.read_bytes()


def trade_words(artifact: pathlib.Path, folder: pathlib.Path) -> list[str]:
    return [
        "trade",
        f"artifact={artifact}",
        f"runs_dir={folder / 'runs'}",
        "trade.name=alone",
        "trade.allow_outside=[relative_volume_168,volatility_24_168]",
    ]


def test_a_session_reaches_this_machine_only_and_tells_no_secret(artifact: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With faults, notifications, heartbeat and metrics; then status, history, doctor."""
    port = free_port()
    with post_office(f"http://127.0.0.1:{port}") as post:
        watched = {
            "CAPPUCCINO_NOTIFY": f"json://someone:{NOTIFY}@{post.address}/{NOTIFY}",
            "CAPPUCCINO_HEARTBEAT": f"http://{post.address}/{HEARTBEAT}",
        }
        session = run(
            tmp_path,
            *trade_words(artifact, tmp_path),
            "trade.bars=8",
            "faults=random",
            "faults.rates.reject=0.3",
            f"watch.port={port}",
            **watched,
        )
    assert session.status == 0, session.text
    assert len(session.sockets) > 20
    assert session.elsewhere == []
    assert {"socket.bind", "socket.connect"} <= {event for event, _ in session.sockets}
    assert any(NOTIFY in path for path, _ in post.got)
    assert sum(HEARTBEAT in path for path, _ in post.got) >= 8
    assert any("cappuccino_equity" in page for page in post.pages)

    texts = {"what it printed": session.text, "its notifications": "".join(body for _, body in post.got)}
    texts |= {"its pages": "".join(post.pages)}
    for action in ("status", "history"):
        said = run(tmp_path, "trade", action, "trade.name=alone", f"runs_dir={tmp_path / 'runs'}", **watched)
        assert said.status == 0, said.text
        assert said.elsewhere == []
        texts[action] = said.text
    wordy = run(tmp_path, *trade_words(artifact, tmp_path), "--cfg", "job", **watched)
    assert wordy.status == 0
    texts["--cfg job"] = wordy.text
    left = list(files_of(tmp_path / "runs")) + list(files_of(artifact))
    assert {"journal.sqlite", "trader.log", "trade.yaml", "bars.sqlite"} <= {path.name for path, _ in left}
    for secret in PLANTED:
        assert [name for name, text in texts.items() if secret in text] == []
        assert [path.name for path, content in left if secret.encode() in content] == []


def test_keys_that_are_used_are_told_nowhere(artifact: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The keys open a venue on this machine, whose clock is years off: the trader refuses, with all that it logs on the way."""
    data = compose("train", list(SMALL)).data
    bars = load_bars(data)
    for key, refusal in ((KEY, "clock is"), ("another", "does not take the keys")):
        venue = Venue(bars, opening_row(bars, data, None), ExchangeConfig(key=key, secret=SECRET))
        with serving(venue) as url:
            ran = run(
                tmp_path, *trade_words(artifact, tmp_path), "broker=alpaca", f"broker.url={url}", f"broker.data_url={url}"
            )
        assert ran.status == REFUSED, ran.text
        assert refusal in " ".join(ran.text.split())
        assert ran.elsewhere == []
        assert not any(secret in ran.text for secret in PLANTED)
        assert not any(secret.encode() in content for secret in PLANTED for _, content in files_of(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["broker=alpaca", "broker.url=https://api.alpaca.markets"], REFUSED),
        (["broker=local", "broker.url=https://api.alpaca.markets"], REFUSED),
        (["broker=alpaca", "live=true"], REFUSED),
        (["broker=alpaca", "live=true", "broker.url=https://api.alpaca.markets"], REFUSED),
        (["broker=local", "live=true"], INPUT_ERROR),
        (["broker=alpaca", "broker.url=https://paper-api.alpaca.markets.example.com"], REFUSED),
        (["broker=alpaca", "broker.data_url=https://api.alpaca.markets"], REFUSED),
        (["broker=alpaca", "broker.url=http://api.alpaca.markets"], REFUSED),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_without_confirmation_no_live_host_is_even_looked_up(
    artifact: pathlib.Path, tmp_path: pathlib.Path, words: list[str], status: int
) -> None:
    ran = run(tmp_path, *trade_words(artifact, tmp_path), *words)
    assert ran.status == status, ran.text
    assert ran.elsewhere == []
    assert not any(secret in ran.text for secret in PLANTED)


def test_paper_trading_looks_up_alpacas_paper_and_data_hosts_alone(artifact: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Wherever this runs the planted keys open nothing there; the trader is ended if it still asks after some seconds."""
    ran = run(tmp_path, *trade_words(artifact, tmp_path), "broker=alpaca", "broker.deadline_s=2", timeout=12)
    assert ran.status in (-1, REFUSED), ran.text
    names = {name for event, name in ran.elsewhere if event == "socket.getaddrinfo"}
    assert names
    assert names <= {"paper-api.alpaca.markets", "data.alpaca.markets"}
    assert not any(secret in ran.text for secret in PLANTED)

"""Watching a trader: servers on loopback take what is sent; one that hangs delays nothing, and nothing secret is told."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from loopback import serving, walk
from trading_scenarios import venue_of

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.config.watch import WatchConfig
from cappuccino.errors import InputError
from cappuccino.trading.folder import LOG_NAME
from cappuccino.trading.log import open_log
from cappuccino.trading.watch import BarReport, Watch, Watcher, open_watch, watch_hosts
from cappuccino.trading.watch.announcer import Announcer
from cappuccino.trading.watch.notify import Target

HOUR = 3600
SECRET = "planted-5ec4e7"


class Receiver:
    """A server that remembers what it was sent; `hangs`: it takes a request and never answers."""

    def __init__(self, *, hangs: bool = False, status: int = 200) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.release = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.got.append((self.path, json.loads(body or b"{}")))
                if hangs:
                    receiver.release.wait(30)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST  # noqa: N815 - the library names it

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        """What it was sent, once there are `count`."""
        until = time.monotonic() + 20
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.01)
        return self.got

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def receiver(**options: Any) -> Iterator[Receiver]:
    with contextlib.closing(Receiver(**options)) as server:
        yield server


def config(**changes: Any) -> WatchConfig:
    values = {"host": "127.0.0.1", "port": None, "hosts": [], "heartbeat_deadline_s": 0.5}
    return WatchConfig(**{**values, "log_mb": 10.0, "logs_kept": 3, "disk_mb": 500.0, **changes})


class Hand:
    """A clock that is set by hand."""

    at = 1_700_000_000.0 // 86_400 * 86_400

    def __call__(self) -> float:
        return self.at


@contextlib.contextmanager
def watching(folder: pathlib.Path, clock: Hand, environment: dict[str, str], **changes: Any) -> Iterator[tuple[Watcher, str]]:
    """A watcher and the URL of its endpoint."""
    with open_log(folder) as log, open_watch(config(**changes), "paper", log, clock, HOUR, environment) as watch:
        found = [line for line in log_lines(folder) if line["event"] == "watch listens"]
        yield watch, f"http://127.0.0.1:{found[-1]['port']}" if found else ""


def log_lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG_NAME).read_text().splitlines()]


def metric(url: str, name: str) -> float:
    lines = requests.get(f"{url}/metrics", timeout=5).text.splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"cappuccino_{name} ")))


def report(clock: Hand, **values: Any) -> BarReport:
    return BarReport(int(clock.at) - HOUR, clock.at, **{"equity": 1000.0, "age": 3.0, **values})


def test_metrics_say_what_was_told(tmp_path: pathlib.Path) -> None:
    clock = Hand()
    with watching(tmp_path, clock, {}, port=0) as (watch, url):
        assert isinstance(watch, Watch)
        watch.bar(report(clock, drawdown=0.25, unknown_orders=2, differences=3, latency_s=0.004, weights={"BTC": 0.5}))
        watch.event("reject", "no")
        for status in (200, 429, 429):
            watch.request(status)
        clock.at += 60
        told = {"equity": 1000, "drawdown_ratio": 0.25, "unknown_orders": 2, "reconcile_differences": 3}
        told |= {"rejects_total": 1, "rate_limited_total": 2, "last_bar_age_seconds": 63, "notifications_failed_total": 0}
        told |= {'weight_ratio{asset="BTC"}': 0.5, "decision_latency_seconds_count": 1}
        told |= {'decision_latency_seconds_bucket{le="0.005"}': 1, 'decision_latency_seconds_bucket{le="0.002"}': 0}
        assert {name: metric(url, name) for name in told} == told


def test_health_is_bad_while_halted_and_once_two_bars_passed_without_one(tmp_path: pathlib.Path) -> None:
    clock = Hand()
    with watching(tmp_path, clock, {}, port=0) as (watch, url):

        def health() -> tuple[int, str]:
            answer = requests.get(f"{url}/health", timeout=5)
            return answer.status_code, answer.json()["state"]

        assert health() == (200, "running")
        clock.at += 2 * HOUR + 1
        assert health() == (503, "stale")
        watch.bar(report(clock))
        assert health() == (200, "running")
        watch.bar(report(clock, age=2 * HOUR + 5))
        assert health() == (503, "stale")
        watch.bar(report(clock, unknown_orders=1))
        watch.event("halt", "by hand")
        assert health() == (503, "halted")
        assert requests.get(f"{url}/health", timeout=5).json()["unknown_orders"] == 1
        assert requests.get(f"{url}/else", timeout=5).status_code == 404
        assert requests.post(f"{url}/health", timeout=5).status_code == 405


def test_a_port_that_is_taken_is_an_input_error(tmp_path: pathlib.Path) -> None:
    with (
        receiver() as other,
        pytest.raises(InputError, match=r"watch\.port"),
        watching(tmp_path, Hand(), {}, port=other.server.server_port),
    ):
        pass


def test_notifications_heartbeat_and_the_daily_summary_arrive(tmp_path: pathlib.Path) -> None:
    clock = Hand()
    with receiver() as notes, receiver() as pulse:
        environment = {"CAPPUCCINO_NOTIFY": f"json://{notes.address}/", "CAPPUCCINO_HEARTBEAT": f"http://{pulse.address}/beat"}
        with watching(tmp_path, clock, environment) as (watch, _):
            watch.event("started", "not told to people")
            watch.event("reject", "cost basis too small", asset="BTC")
            clock.at += HOUR
            watch.bar(report(clock, fills=2))
            clock.at += 23 * HOUR
            watch.bar(report(clock, equity=1100.0, reason="late"))
            watch.event("halt", "by hand")
            got = [body for _, body in notes.wait_for(3)]
            assert [path for path, _ in pulse.wait_for(2)] == ["/beat", "/beat"]
    assert [note["title"] for note in got] == ["paper: reject", "paper: daily summary", "paper: halt"]
    assert "asset: BTC" in got[0]["message"]
    summary = got[1]["message"]
    for part in (
        "equity 1,100.00, +100.00 (+10.00%)",
        "2 bars, 2 orders filled, 1 rejected",
        "1 bars without a decision: late",
    ):
        assert part in summary


class Ear(Target):
    """A target that needs no network: keeps the daily summaries."""

    def __init__(self) -> None:
        self.label = "ear"
        self.heard: list[str] = []

    def send(self, title: str, body: str) -> bool:
        if title.endswith("daily summary"):
            self.heard.append(body)
        return True


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=40), st.integers(0, 23))
def test_every_bar_and_fill_is_in_exactly_one_daily_summary(steps: list[tuple[int, int]], hour: int) -> None:
    """steps: hours between bars, and fills; the trader was down in between."""
    ear, errors = Ear(), []
    clock = int(Hand.at) + hour * HOUR

    class Log:
        def info(self, event: str, **values: Any) -> None:
            errors.append((event, values))

        warning = error = info

    announcer = Announcer("paper", [ear], None, float(clock), Log(), lambda: None)
    for hours, fills in [*steps, (48, 0)]:
        clock += hours * HOUR
        announcer.bar(BarReport(clock - HOUR, clock + 3.0, equity=1000.0, fills=fills))
    announcer.close(5)
    counted = [tuple(map(int, re.search(r"(\d+) bars, (\d+) orders", body).groups())) for body in ear.heard]  # pyright: ignore
    last = clock - HOUR
    is_open = last // 86_400 == (clock + 3) // 86_400
    assert sum(bars for bars, _ in counted) == len(steps) + (not is_open)
    assert sum(fills for _, fills in counted) == sum(fills for _, fills in steps)
    assert errors == []


def test_servers_that_hang_delay_nothing_and_what_is_dropped_is_counted(tmp_path: pathlib.Path) -> None:
    clock = Hand()
    events = 200
    with receiver(hangs=True) as hung, receiver() as well:
        environment = {
            "CAPPUCCINO_NOTIFY": f"json://{hung.address}/?rto=0.5 json://{well.address}/",
            "CAPPUCCINO_HEARTBEAT": f"http://{hung.address}/",
        }
        with watching(tmp_path, clock, environment, port=0) as (watch, url):
            times = []
            for number in range(events):
                begun = time.perf_counter()
                watch.event("reject", f"order {number}")
                watch.bar(report(clock))
                times.append(time.perf_counter() - begun)
                if number % 20 == 0:
                    well.wait_for(number - 20)
            # Queues of 64 are full from then on: whoever waited for a server would wait half a second at most of the calls.
            assert sorted(times)[int(0.95 * events)] < 0.05
            assert len(well.wait_for(events)) == events
            assert metric(url, "notifications_failed_total") >= events - 64 - 10
            hung.release.set()
    full = [line for line in log_lines(tmp_path) if line["event"] == "watch queue full"]
    assert {line["queue"] for line in full} >= {"notification 1 (json)", "heartbeat"}
    assert "notification 2 (json)" not in {line["queue"] for line in full}


def test_a_refusal_by_the_receiver_is_counted_and_logged(tmp_path: pathlib.Path) -> None:
    with receiver(status=500) as broken:
        environment = {"CAPPUCCINO_NOTIFY": f"json://{broken.address}/", "CAPPUCCINO_HEARTBEAT": f"http://{broken.address}/"}
        with watching(tmp_path, Hand(), environment) as (watch, _):
            watch.event("stale", "no bar")
            watch.bar(report(Hand()))
    failed = {line["queue"] for line in log_lines(tmp_path) if line["event"] == "watch failed"}
    assert failed == {"notification 1 (json)", "heartbeat"}


def test_a_watch_that_fails_is_logged_and_the_next_one_is_told(tmp_path: pathlib.Path) -> None:
    told: list[str] = []

    class Broken:
        def event(self, *_: Any, **__: Any) -> None:
            raise RuntimeError(SECRET)

        bar = request = event

    class Fine:
        def event(self, kind: str, *_: Any, **__: Any) -> None:
            told.append(kind)

        bar = request = event

    with open_log(tmp_path) as log:
        Watcher([Broken(), Fine()], log, lambda: told.append("failed")).event("halt", "by hand")
    assert told == ["failed", "halt"]
    assert SECRET not in (tmp_path / LOG_NAME).read_text()


def test_no_url_is_told_anywhere(tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The URLs name servers that fail, in several ways, so that whatever names them in an error would."""
    clock = Hand()
    with receiver(status=500) as broken:
        closed = "127.0.0.1:9"
        environment = {
            "CAPPUCCINO_NOTIFY": f"json://{SECRET}:{SECRET}@{broken.address}/{SECRET} json://{closed}/{SECRET} jsons://{broken.address}/{SECRET}",
            "CAPPUCCINO_HEARTBEAT": f"http://{closed}/{SECRET}",
        }
        with watching(tmp_path, clock, environment, port=0) as (watch, url):
            watch.event("halt", "by hand")
            watch.bar(report(clock))
            broken.wait_for(1)
            time.sleep(0.3)
            told = requests.get(f"{url}/metrics", timeout=5).text + requests.get(f"{url}/health", timeout=5).text
            told += repr(watch.__dict__)
        failed = {line["queue"] for line in log_lines(tmp_path) if line["event"] == "watch failed"}
        assert len(failed) == 4
    out = capfd.readouterr()
    assert SECRET not in told + out.out + out.err + (tmp_path / LOG_NAME).read_text()
    for wrong in ({"CAPPUCCINO_NOTIFY": f"nonsense://{SECRET}"}, {"CAPPUCCINO_HEARTBEAT": f"ftp://{SECRET}"}):
        with pytest.raises(InputError) as error, watching(tmp_path, clock, wrong):
            pass
        assert SECRET not in str(error.value)


def test_hosts_of_the_urls_are_known(tmp_path: pathlib.Path) -> None:
    del tmp_path
    urls = (
        "tgram://123456789:abcdefg_hijklmnop/12315544/",
        "discord://123456789012345678/abcdefg_hijklmnop",
        "ntfy://topic",
        "json://notes.example.org/x",
        "mailto://u:p@gmail.com",
    )
    environment = {"CAPPUCCINO_NOTIFY": " ".join(urls), "CAPPUCCINO_HEARTBEAT": "https://hc-ping.com/uuid"}
    hosts = watch_hosts(config(hosts=["proxy.example.org"]), environment)
    assert hosts >= {"api.telegram.org", "discord.com", "ntfy.sh", "notes.example.org", "smtp.gmail.com"}
    assert hosts >= {"hc-ping.com", "proxy.example.org"}


def test_the_log_is_rotated_and_only_so_many_are_kept(tmp_path: pathlib.Path) -> None:
    with open_log(tmp_path, size_mb=0.001, kept=2) as log:
        for number in range(100):
            log.info("line", number=number)
    assert sorted(path.name for path in tmp_path.iterdir()) == [LOG_NAME, f"{LOG_NAME}.1", f"{LOG_NAME}.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.iterdir())
    assert log_lines(tmp_path)[-1]["number"] == 99


def test_the_broker_tells_the_status_of_every_answer() -> None:
    told: list[int] = []
    with serving(venue_of(walk(40), 30)) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url, answered=told.append)
        broker.account()
        assert broker.order("capp-unknown") is None
    assert told == [200, 404]

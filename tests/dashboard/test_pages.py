"""The page over a real server on loopback: what it says, to whom, and that it leaves everything as it was."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
import requests
from dashboard_cases import ROWS, START, TOKEN, page_on
from loopback import serving, serving_app, walk

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.cli import INPUT_ERROR, main
from cappuccino.config import compose
from cappuccino.dashboard.access import HEADER, Access
from cappuccino.dashboard.app import Dashboard
from cappuccino.registry.registry import Registry
from cappuccino.trading.folder import JOURNAL_NAME, locked
from cappuccino.trading.journal_reading import read_halts, read_orders

VALIDATION = {
    "found": False,
    "said": "Nothing found.",
    "deflated": 0.31,
    "trials": 12,
    "pbo": 0.42,
    "information_low": -0.8,
    "growth_by_fees": {"1": 1e-5, "1.5": -2e-5},
    "last_bar": 1_700_000_000,
}
PAGES = ("/", "/traders/left", "/registry", "/studies", "/studies/search-1", "/data", "/unlock")
PARTS = ("traders", *(f"{part}/left" for part in ("figures", "holdings", "orders", "record")), "registry", "studies")


@pytest.fixture(scope="module")
def runs(artifact: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A trader that has ended, a candidate that the gates refuse, and a study."""
    runs = tmp_path_factory.mktemp("runs")
    with serving(Venue(walk(ROWS), START, ExchangeConfig())) as url:
        broker = [f"broker.url={url}", "broker.clock=stepped", "trade.name=left", "trade.bars=8"]
        assert main(["trade", f"artifact={artifact}", f"runs_dir={runs}", *broker]) == 0
    with contextlib.closing(Registry(runs)) as registry:
        registry.record(registry.add(artifact, name="refused"), "validation", VALIDATION)
    study = optuna.create_study(study_name="search-1", storage=f"sqlite:///{runs / 'studies.db'}", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("agent.gamma", 0, 1), n_trials=12)
    return runs


@contextlib.contextmanager
def shown(runs: pathlib.Path, **access: Any) -> Iterator[str]:
    """The address of the page on a folder."""
    dashboard = Dashboard(runs, compose("dashboard").gates, Access(TOKEN, **access))
    try:
        with serving_app(dashboard.app()) as url:
            yield url
    finally:
        dashboard.close()


@pytest.fixture(scope="module")
def address(runs: pathlib.Path) -> Iterator[str]:
    with shown(runs) as url:
        yield url


def checksums(folder: pathlib.Path) -> dict[str, str]:
    """Of all that is there, but for what SQLite puts beside a database that is read: an index, and an empty log."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    files = [path for path in files if path.stat().st_size or not path.name.endswith("-wal")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_page_is_safe_to_open_and_asks_nobody_else(address: str) -> None:
    for path in PAGES:
        answer = requests.get(address + path, timeout=10)
        assert answer.status_code == 200, path
        assert "unsafe-inline" not in answer.headers["Content-Security-Policy"].replace("style-src-attr 'unsafe-inline'", "")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "<style" not in answer.text
        assert " style=" not in answer.text
        assert all("src=" in script for script in answer.text.split("<script")[1:])
        links = [part.split('"')[0] for name in ('src="', 'href="') for part in answer.text.split(name)[1:]]
        assert all(link.startswith(("/", "#", "http://127.0.0.1:8080")) for link in links), links


def test_what_is_known_is_on_the_page(address: str, runs: pathlib.Path) -> None:
    journal = runs / "traders" / "left" / JOURNAL_NAME
    page = requests.get(f"{address}/traders/left", timeout=10).text
    assert all(order["client_order_id"] in page for order in read_orders(journal))
    for words in ("Positions", "BTC", "max drawdown", "Bars without a decision", "Kill switch", "Equity", "UTC"):
        assert words in page
    rejected = requests.get(f"{address}/parts/orders/left?state=rejected", timeout=10).text
    assert "No order is rejected" in rejected
    registry = requests.get(f"{address}/registry", timeout=10).text
    for words in ("refused", "0.310 over 12 trials", "at least 0.95", "fails", "0.420"):
        assert words in registry
    study = requests.get(f"{address}/studies/search-1", timeout=10).text
    for words in ("agent.gamma", "100%", "optuna-dashboard sqlite:///"):
        assert words in study
    assert "100.00%" in requests.get(f"{address}/data", timeout=10).text


def test_a_part_that_is_as_it_was_is_not_sent_again(address: str) -> None:
    for part in PARTS:
        answer = requests.get(f"{address}/parts/{part}", timeout=10)
        if part == "record/left":  # until the session is replayed
            while "is being replayed" in answer.text:
                answer = requests.get(f"{address}/parts/{part}", timeout=10)
        again = requests.get(f"{address}/parts/{part}", headers={"If-None-Match": answer.headers["ETag"]}, timeout=10)
        assert (answer.status_code, again.status_code, again.content) == (200, 304, b""), part


def test_reading_leaves_everything_as_it_was(address: str, runs: pathlib.Path) -> None:
    before = checksums(runs)
    for path in (*PAGES, *(f"/parts/{part}" for part in PARTS), "/equity/left"):
        assert requests.get(address + path, timeout=10).status_code == 200
    assert checksums(runs) == before


def test_a_trader_starts_while_the_page_looks(runs: pathlib.Path, address: str) -> None:
    """One that looks holds the folder's lock for an instant, which is no other trader."""
    for _ in range(20):
        requests.get(f"{address}/parts/traders", timeout=10)
        with locked(runs / "traders" / "left"):
            assert "running" in requests.get(f"{address}/parts/traders", timeout=10).text


def test_nothing_changes_without_token_origin_and_name(address: str, runs: pathlib.Path) -> None:
    journal = runs / "traders" / "left" / JOURNAL_NAME
    halt, form = f"{address}/halt/left", {"confirm": "left", "reason": "a test"}

    def post(form: dict[str, str], cookies: Any = None, **headers: str) -> int:
        given = {name: value for name, value in headers.items() if value}
        return requests.post(halt, data=form, headers=given, cookies=cookies, timeout=10).status_code

    unlocked = requests.post(
        f"{address}/unlock", data={"token": TOKEN}, headers={"Origin": address}, allow_redirects=False, timeout=10
    )
    cookie = unlocked.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert post(form, Origin=address) == 403
    assert post({**form, "token": "another"}, Origin=address) == 403
    assert post(form, unlocked.cookies, Origin="http://elsewhere.example") == 403
    assert post(form, unlocked.cookies, Origin=address.replace("127.0.0.1", "localhost")) == 403
    assert post(form, unlocked.cookies) == 403
    assert post({**form, "confirm": "right"}, unlocked.cookies, Origin=address) == 422
    assert requests.get(halt, headers={HEADER: TOKEN}, timeout=10).status_code == 405
    assert read_halts(journal) == []

    assert post(form, unlocked.cookies, Origin=address) == 200
    assert (read_halts(journal)[-1]["source"], read_halts(journal)[-1]["reason"]) == ("dashboard", "a test")
    page = requests.get(f"{address}/traders/left", timeout=10).text
    assert "halted" in page
    assert "a test" in page
    resume = requests.post(f"{address}/resume/left", data=form, headers={HEADER: TOKEN}, timeout=10)
    assert resume.status_code == 200
    assert not read_halts(journal)[-1]["is_halted"]
    assert requests.post(f"{address}/resume/left", data=form, headers={HEADER: TOKEN}, timeout=10).status_code == 409


def test_another_sites_name_does_not_lead_here(address: str, runs: pathlib.Path) -> None:
    for host, status in (
        ("elsewhere.example", 400),
        ("127.0.0.1.elsewhere.example", 400),
        ("", 400),
        ("localhost", 200),
        ("[::1]:1", 200),
    ):
        assert requests.get(address, headers={"Host": host}, timeout=10).status_code == status, host
    with shown(runs, names=["desk.example"]) as url:
        assert requests.get(url, headers={"Host": "desk.example:80"}, timeout=10).status_code == 200


def test_for_other_machines_reading_takes_the_token_too(runs: pathlib.Path) -> None:
    with shown(runs, reads_need_token=True) as url:
        for path in (*PAGES[:-1], "/parts/figures/left", "/equity/left", "/nothing", "/static/htmx.min.js"):
            answer = requests.get(url + path, timeout=10)
            assert answer.status_code == 401, path
            assert "left" not in answer.text.replace(path, "")
        asked = requests.Session()
        refused = asked.post(f"{url}/unlock", data={"token": "another"}, headers={"Origin": url}, timeout=10)
        assert refused.status_code == 403
        back = {"token": TOKEN, "back": "//elsewhere.example/"}
        assert asked.post(f"{url}/unlock", data=back, headers={"Origin": url}, timeout=10).url == f"{url}/"
        assert all(asked.get(url + path, timeout=10).status_code == 200 for path in PAGES)
        asked.post(f"{url}/lock", headers={"Origin": url}, timeout=10)
        assert asked.get(url, timeout=10).status_code == 401


def test_damage_is_said_beside_what_can_be_shown(runs: pathlib.Path, tmp_path: pathlib.Path) -> None:
    damaged = tmp_path / "runs"
    shutil.copytree(runs, damaged)
    (damaged / "traders" / "broken").mkdir()
    (damaged / "traders" / "broken" / JOURNAL_NAME).write_bytes(b"no journal at all " * 100)
    (damaged / "traders" / "left" / "trade.yaml").write_text("broker: [")
    (damaged / "registry" / "registry.sqlite").write_bytes(b"no registry" * 100)
    (damaged / "studies.db").write_bytes(b"no studies" * 100)
    with shown(damaged) as url:
        expected = {
            "/": (200, "file is not a database"),
            "/traders/broken": (503, "file is not a database"),
            "/traders/left": (200, "not the configuration of a trader"),
            "/traders/gone": (404, "there is no trader gone"),
            "/traders/..%2f..%2fetc": (404, "there is no"),
            "/registry": (503, "cannot be used"),
            "/studies": (503, "cannot be used"),
            "/studies/gone": (503, "cannot be used"),
            "/data": (200, "broken"),
            "/static/..%2fapp.py": (404, "there is no"),
            "/nothing": (404, "there is no page /nothing"),
        }
        for path, (status, words) in expected.items():
            answer = requests.get(url + path, timeout=10)
            assert answer.status_code == status, path
            assert words in answer.text, path
            assert "Traceback" not in answer.text
        assert "left" in requests.get(url, timeout=10).text


def test_a_folder_without_runs_says_what_would_fill_it(tmp_path: pathlib.Path) -> None:
    with shown(tmp_path / "nothing") as url:
        assert "cappuccino trade" in requests.get(url, timeout=10).text
        assert requests.get(f"{url}/registry", timeout=10).status_code == 503
        assert requests.get(f"{url}/data", timeout=10).status_code == 200
    assert not (tmp_path / "nothing").exists()


def test_the_command_makes_a_token_once_or_takes_a_long_one(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAPPUCCINO_TOKEN", "short")
    assert main(["dashboard", f"runs_dir={tmp_path}"]) == INPUT_ERROR
    said = capsys.readouterr().err
    assert "16" in said
    assert "short" not in said
    with page_on(tmp_path, CAPPUCCINO_TOKEN="") as url:
        assert requests.get(url, timeout=10).status_code == 200

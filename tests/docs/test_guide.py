"""Everything in README and guide runs: each block of commands, page by page in one folder, at small sizes (`blocks.SMALL`)."""

from __future__ import annotations

import http.server
import pathlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator

import pytest
from blocks import PAGES, REASONS, ROOT, Block, blocks, commands, run, small

from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.cli import main
from cappuccino.trading.review import CAUSES

START, BARS = 1_664_582_400, 9_000
"""2022-10-01, hourly: some on either side of the dates at which `blocks.SMALL` cuts them; it takes the first of them."""

LABEL = re.compile(r"^([a-z]+) {2,}\S", re.MULTILINE)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes whatever it is sent."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 - the library names it

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A reader's folder: files of bars, the examples, the command `train.py`."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "bars").mkdir()
    table = synthetic_bars("realistic", assets=("BTC", "ETH", "LTC"), bars=BARS, seed=3, start=START)
    for column, asset in enumerate(table.assets):
        frame = {name: getattr(table, name)[:, column] for name in ("open", "high", "low", "close", "volume")}
        _feather(folder / "bars" / f"{asset}_USDT-1h.feather", table.timestamps, frame)
    shutil.copytree(ROOT / "docs" / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", folder)
    return folder


def _feather(path: pathlib.Path, stamps: object, columns: dict[str, object]) -> None:
    import pandas as pd

    pd.DataFrame({"date": pd.to_datetime(stamps, unit="s", utc=True), **columns}).to_feather(path)


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Who is told of a trader: a server of ours."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    yield {"CAPPUCCINO_NOTIFY": f"json://{address}/told", "CAPPUCCINO_HEARTBEAT": f"http://{address}/alive"}
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: str,
    folder: pathlib.Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    terminal: pytest.CaptureFixture[str],
) -> None:
    del terminal
    monkeypatch.chdir(folder)
    for name, value in {**environment, "COLUMNS": "110"}.items():
        monkeypatch.setenv(name, value)
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.reason is not None or is_listing(block):
            continue
        # What a shell block imports comes from its own PYTHONPATH; cappuccino is found beside it.
        printed = run(block, folder, {**environment, "PYTHONPATH": str(ROOT)}, names)
        # A review shows the causes that there are, and `SMALL` leaves stress out.
        shown = set(LABEL.findall(block.output or "")) - {*CAUSES, "stress"}
        assert shown <= set(LABEL.findall(printed)), f"{page}:{block.line} shows what was not printed: {printed}"
        assert block.output is None or shown, f"{page}:{block.line}: nothing in its output can be compared"


def is_listing(block: Block) -> bool:
    """Whether a block shows one of the examples, which are run by tests of their own."""
    return any(block.code == path.read_text().rstrip("\n") for path in (ROOT / "docs" / "examples").glob("*.py"))


def test_every_block_says_what_it_is_and_whether_it_runs() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text()
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        assert re.findall(r"(?m)^(?: {4}|\t)\S.*", re.sub(r"(?m)^ *[-*] .*(?:\n {2,}.*)*", "", prose)) == [], page
        found = blocks(page)
        assert {block.language for block in found} <= {"bash", "python"}, page
        assert text.count("<!-- not run: ") == sum(block.reason is not None for block in found), page
        assert {block.reason for block in found} <= {None, *REASONS}, page
    assert {block.reason for page in PAGES for block in blocks(page)} == {None, *REASONS}


def test_what_is_not_run_is_written_as_a_shell_reads_it_and_composes(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in (block for page in PAGES for block in blocks(page) if block.reason is not None):
        where = f"{block.page}:{block.line}"
        assert block.language == "bash", where
        read = subprocess.run(["bash", "-n"], input=block.code, text=True, capture_output=True)
        assert (read.returncode, read.stderr) == (0, ""), where
        for words in commands(block.code):
            if words[0].startswith("-"):
                assert main(words) == 0, where
                continue
            multirun = [word for word in words if word != "-m"]
            assert main([*multirun, "--cfg", "job"]) == 0, (where, words, capsys.readouterr().err)


def test_commands_in_a_line_of_prose_compose_too(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
        for command in re.findall(r"`((?:cappuccino|python train\.py) [^`]+)`", prose):
            (words,) = commands(command.replace("COMMAND", "train").replace("STUDY", "ideas").replace("NAME", "name"))
            shown = words if words[-1] in ("--help", "--version") else [word for word in words if word != "-m"]
            shows = [] if shown is words or words[0] == "bench" else ["--cfg", "job"]
            assert words[0] == "bench" or main([*shown, *shows]) == 0, (page, command, capsys.readouterr().err)


def test_a_command_is_made_small_by_its_own_line_of_the_table() -> None:
    assert small(["trade", "status", "trade.name=x"]) == ["trade", "status", "trade.name=x"]
    assert "trade.bars=4" in small(["trade", "artifact=x"])
    assert "cuts=3" in small(["validate", "causality", "artifact=x"])
    assert small(["train", "best=x"]) == ["train", "best=x"]
    assert "hydra.sweeper.n_trials=4" in small(["train", "-m", "sweep=ppo"])


def test_what_is_said_to_do_about_a_message_is_about_one_that_there_is() -> None:
    rows = re.findall(r"^\| \d \| ([^|]*) \|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
    said = [text for row in rows for text in re.findall(r"`([^`]+)`", row)]
    sources = "\n".join(path.read_text() for path in (ROOT / "cappuccino").rglob("*.py"))
    assert len(said) > 12
    assert [text for text in said if text not in sources] == []


def test_the_listings_are_the_examples() -> None:
    shown = [block.code for block in blocks("docs/extend.md") if block.language == "python"]
    files = sorted((ROOT / "docs" / "examples").glob("*.py"))
    assert sorted(shown) == sorted(path.read_text().rstrip("\n") for path in files)
    assert {path.stem: len(path.read_text().splitlines()) < (100 if path.stem == "broker" else 40) for path in files} == {
        name: True for name in ("broker", "feature", "network", "reward", "risk_rule")
    }


def test_no_block_needs_more_than_the_guide_makes() -> None:
    """Every run and study that a block names was made by one before it."""
    made: set[str] = set()
    for page in PAGES[1:]:
        for words in (
            words
            for block in blocks(page)
            if block.reason is None and block.language == "bash"
            for words in commands(block.code)
        ):
            given = dict(word.split("=", 1) for word in words if "=" in word)
            for key in ("run", "best"):
                assert given.get(key, "latest") in {*made, "latest"}, (page, words)
            if words[0] in ("train", "validate") and "artifact" not in given:
                made |= {given.get("name", "unnamed"), given.get("hydra.sweeper.study_name", "unnamed")}

"""`cappuccino bench`: what it runs, keeps and says, on benchmarks of the test's own."""

from __future__ import annotations

import json
import pathlib
import re
import textwrap

import pytest

from cappuccino.bench.interface import Row, interleaved
from cappuccino.bench.results import MARKS, page_text, write_page
from cappuccino.cli import main
from cappuccino.commands import bench

GOOD = """
    from cappuccino.bench.interface import Benchmark, Row

    def measure(small):
        yield Row("faster", (1.0, 3.0, 2.0, 9.0, 1.0), must=1.5, aim=2.5, unit="x", details={"small": small})
        yield Row("bytes", (4096.0,), must=1000, higher_is_better=False, exact=True)

    BENCHMARK = Benchmark("Is it fast?", measure)
"""
CRASHES = GOOD.replace('yield Row("faster"', "raise ZeroDivisionError('ours')\n        yield Row(\"faster\"")
NEEDS = GOOD.replace("measure)", 'measure, requires=("not_a_package",))').replace("def measure)", "def measure")
HELPER = "x = 1\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder of benchmarks in the place of ours."""
    for name, text in {"good": GOOD, "crashes": CRASHES, "needs": NEEDS, "helper": HELPER}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    (tmp_path / "README.md").write_text(f"# Page\n{MARKS[0]}what was there before\n{MARKS[1]}end\n")
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    return tmp_path


def test_a_benchmark_is_kept_as_json_and_told_as_a_table(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "good"]) == 0
    printed = capsys.readouterr().out
    result = json.loads((folder / "results" / "good.json").read_text())
    first, second = result["rows"]
    assert (first["median"], first["spread"], first["verdict"], first["reaches_aim"]) == (2, [1, 9], "reached", False)
    assert first["repeats"] == [1, 3, 2, 9, 1]
    assert (second["median"], second["verdict"], second["exact"]) == (4096, "falls short", True)
    assert set(result) >= {"machine", "versions", "command", "commit", "date", "question", "seconds"}
    assert set(result["versions"]) == {"python", "jax", "jaxlib", "numpy", "numba"}
    assert {"cpu", "cores"} <= set(result["machine"])
    assert result["command"] == "cappuccino bench good"
    for said in ("must reach", "reached", "falls short", "≥ 1.5 x", "≤ 1,000"):
        assert said in printed
    page = (folder / "README.md").read_text()
    assert page.startswith("# Page\n")
    assert page.endswith("end\n")
    assert "| good: faster | 2 x | 1 to 9 | ≥ 1.5 x | ≥ 2.5 x | reached |" in page
    assert "`cappuccino bench good`" in page
    assert "what was there before" not in page


def test_a_crash_is_reported_with_its_traceback_and_the_others_run(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench"]) == 1
    printed = capsys.readouterr().out
    assert "crashes crashed:" in printed
    assert "ZeroDivisionError: ours" in printed
    assert "needs skipped: it needs not_a_package; pip install -e '.[bench]'" in printed
    assert [path.stem for path in (folder / "results").iterdir()] == ["good"]


def test_a_small_instance_is_not_kept_with_the_others(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    before = (folder / "README.md").read_text()
    assert main(["bench", "good", "--small", "--out", str(tmp_path / "small")]) == 0
    result = json.loads((tmp_path / "small" / "good.json").read_text())
    assert result["small"]
    assert result["rows"][0]["details"] == {"small": True}
    assert not (folder / "results").exists()
    assert (folder / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [(["bets"], "there is no benchmark 'bets'; it must be one of crashes, good, needs"), (["--fast"], "--fast")],
)
def test_what_is_not_there_is_one_line_and_exit_code_2(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["bench", *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert said in line
    assert not (folder / "results").exists()


def test_outside_a_checkout_it_says_so(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "FOLDER", tmp_path / "nowhere")
    assert main(["bench"]) == 2
    assert re.fullmatch("cappuccino bench: .*checkout of the repository\n", capsys.readouterr().err)


def test_sides_take_turns_and_the_first_call_is_not_in_the_figure() -> None:
    calls: list[str] = []
    timings = interleaved({name: lambda name=name: calls.append(name) for name in "AB"}, repeats=5)
    assert calls == list("AB" * 7)
    assert set(timings.warm_up_s) == {"A", "B"}
    assert {len(seconds) for seconds in timings.seconds.values()} == {5}


def test_a_figure_of_too_few_repeats_is_refused() -> None:
    with pytest.raises(ValueError, match="4 repeats; it must have at least 5"):
        Row("few", (1.0,) * 4)


def test_the_page_in_the_repository_is_made_from_its_results(tmp_path: pathlib.Path) -> None:
    page = bench.FOLDER / "README.md"
    copy = tmp_path / "README.md"
    copy.write_text(page.read_text())
    results = bench.read_results(bench.FOLDER / "results")
    write_page(copy, results)
    assert copy.read_text() == page.read_text()
    assert not any(result["small"] for result in results)
    assert page_text(results)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cost_grid", "planted_updates", "process_memory"])
def test_benchmarks_of_trainings_run_small(name: str, tmp_path: pathlib.Path) -> None:
    assert main(["bench", name, "--small", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / f"{name}.json").read_text())
    assert not result["missing"]
    assert all(row["median"] > 0 or name == "planted_updates" for row in result["rows"])

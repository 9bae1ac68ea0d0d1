"""The command line: fast help, one-line errors with their exit codes, and Hydra's own behaviour kept."""

from __future__ import annotations

import contextlib
import pathlib
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import pytest

from cappuccino.cli import main
from cappuccino.config.roots import ROOTS
from cappuccino.errors import InputError, Refusal
from cappuccino.help import COMMANDS
from cappuccino.sweep import multirun

ROOT = pathlib.Path(__file__).parents[1]
RUN_MAIN = "import sys; from cappuccino.cli import main; code = main(sys.argv[1:])"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Every test in a folder of its own, where it may leave runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Put a function in a command's place; returns the list of the configurations that it was called with."""

    def replace(command: str, run: Callable[[Any], None] | None = None) -> list[Any]:
        seen: list[Any] = []

        def record(config: Any) -> None:
            seen.append(config)
            if run is not None:
                run(config)

        monkeypatch.setitem(sys.modules, f"cappuccino.commands.{command}", types.SimpleNamespace(run=record))
        return seen

    return replace


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Train no multirun of lists; the configurations that it would have trained."""
    seen: list[Any] = []
    monkeypatch.setattr(multirun, "train_grid", lambda configs, *_: seen.extend(configs))
    monkeypatch.setattr(multirun, "select_device", lambda *_: "none")
    return seen


def fails_with(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    """Run `cappuccino` with the words; it has to leave with `code` and one line on stderr, which is returned."""
    assert main(words) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("cappuccino")
    return lines[0]


@pytest.mark.parametrize("words", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=lambda words: words[0])
def test_help_answers_in_half_a_second_without_hydra(words: list[str]) -> None:
    program = RUN_MAIN + "; assert not {'hydra', 'omegaconf', 'jax', 'numpy'} & set(sys.modules); sys.exit(code)"
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        result = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=ROOT)
        times.append(time.perf_counter() - begin)
    assert result.returncode == 0, result.stderr
    assert "Example" in result.stdout
    assert statistics.median(times) < 0.5


def test_train_py_is_cappuccino_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    expected = capsys.readouterr().out
    result = subprocess.run([sys.executable, ROOT / "train.py", "--help"], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, expected)


def test_every_example_of_the_help_is_a_valid_command_line(
    body: Callable[..., list[Any]], grid: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multirun, "_search", lambda *_: grid.append("search"))
    for command, entry in COMMANDS.items():
        seen = [body(name) for name in {command, *ROOTS} if name == command or name.startswith(f"{command}_")]
        for example in entry.examples:
            program, given, *words = example.split()
            assert (program, given) == ("cappuccino", command)
            assert main([command, *words]) == 0, example
        multiruns = sum("-m" in example.split() for example in entry.examples)
        assert sum(map(len, seen)) >= len(entry.examples) - multiruns
        assert len(grid) >= multiruns


@pytest.mark.parametrize("word", ["agent.gama=0.9", "+agent.gama=0.9"])
def test_a_misspelt_key_is_named_with_what_was_meant(capsys: pytest.CaptureFixture[str], word: str) -> None:
    line = fails_with(capsys, 2, "train", word)
    assert "unknown key agent.gama;" in line
    assert "agent.gamma" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "nothing=1"], "unknown key nothing"),
        (["train", "+nothing=1"], "unknown key nothing"),
        (["train", "+agent=3"], "group"),
        (["train", "~agent.gamma"], "agent.gamma cannot be deleted"),
        (["train", "agent.gamma=1.2"], "agent.gamma is 1.2; it must be in (0, 1]"),
        (["train", "agent.gamma=nan"], "agent.gamma is nan"),
        (["train", "agent.gamma=much"], "agent.gamma: value 'much' of type 'str'"),
        (["train", "env.clocks=0"], "env.clocks is 0; it must be at least 1"),
        (["train", "data=excel"], "data is 'excel'; it must be one of alpaca, files, synthetic"),
        (["train", "data=files"], "data.path is not given"),
        (["train", "data.train_end=tomorrow", "data.valid_end=2024-01-01"], "data.train_end is 'tomorrow'"),
        (["train", "device=tpu"], "device is 'tpu'; it must be one of auto, cpu, cuda"),
        (["train", "name=../elsewhere"], "name is '../elsewhere'"),
        (["train", "seed=1,2"], "seed=1,2"),
        (["train", "gamma"], "key=value"),
        (["train", "a b"], "key=value"),
        (["train", "=1"], ""),
        (["train", "--config-dir", "nowhere"], "nowhere"),
        (["train", "--foo"], "--foo"),
        (["train", "--cfg", "job", "-m"], "Only one of"),
        (["backtest"], "run is not given"),
        (["backtest", "run=x", "data.path=y"], "choose it too"),
        (["backtest", "run=x", "span=all"], "span is 'all'; it must be one of train, valid, test"),
        (["trade", "artifact=x", "broker=alpaca", "broker.clock=stepped"], "unknown key broker.clock"),
        (["exchange", "port=70000"], "port is 70000"),
        (["data"], "fetch|inspect"),
        (["data", "fetch", "inspect"], "fetch|inspect"),
        (["data", "data=files"], "fetch|inspect"),
        (["data", "fetch", "data=synthetic"], "only data=alpaca can be fetched"),
        (["validate", "seeds=0"], "seeds is 0; it must be at least 1"),
        (["validate", "validation.groups=3", "validation.test_groups=3"], "it must be below validation.groups"),
        (["validate", "span=test"], "unknown key span"),
        (["validate", "causality"], "artifact is not given"),
        (["validate", "causality", "causality", "artifact=x"], "and once; got causality causality"),
        (["validate", "causality", "artifact=x", "cuts=0"], "cuts is 0; it must be at least 1"),
        (["validate", "causality", "artifact=x", "span=test"], "unknown key span"),
        (["validate", "artifact=x", "cuts=3"], "unknown key cuts"),
        (["validate", "artifact=x", "span=half"], "span is 'half'; it must be one of all, train, valid, test"),
        (["validate", "artifact=x", "data.path=y"], "choose it too"),
        (["tarin"], "unknown command 'tarin'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], body: Callable[..., list[Any]], elsewhere: pathlib.Path, words: list[str], said: str
) -> None:
    for command in {*COMMANDS, *ROOTS}:
        body(command)
    assert said in fails_with(capsys, 2, *words)
    left = [path for path in elsewhere.rglob("*") if path.name != "runs"]
    assert left == []


@pytest.mark.parametrize(("error", "code"), [(InputError("bars are\nmissing"), 2), (Refusal("look first"), 3)])
def test_a_commands_error_is_one_line(
    capsys: pytest.CaptureFixture[str], body: Callable[..., list[Any]], elsewhere: pathlib.Path, error: Exception, code: int
) -> None:
    def fail(_: Any) -> None:
        raise error

    body("train", fail)
    assert fails_with(capsys, code, "train") == f"cappuccino train: {' '.join(str(error).split())}"
    assert list((elsewhere / "runs").iterdir()) == []


def test_an_interrupted_command_says_so(capsys: pytest.CaptureFixture[str], body: Callable[..., list[Any]]) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    body("train", interrupt)
    assert "interrupted" in fails_with(capsys, 130, "train")


def test_a_defect_keeps_its_traceback(body: Callable[..., list[Any]]) -> None:
    def fail(_: Any) -> None:
        raise ZeroDivisionError("ours")

    body("train", fail)
    with pytest.raises(ZeroDivisionError, match="ours") as caught:
        main(["train"])
    assert "fail" in [entry.name for entry in caught.traceback]


def test_a_configuration_printed_by_hydra_is_that_of_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job", "agent.gamma=0.9"]) == 0
    assert "gamma: 0.9\n" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--hydra-help"], ["--info", "defaults"], ["--cfg", "hydra"], ["--cfg", "all", "--resolve"]])
def test_hydras_own_flags_pass_through(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with contextlib.suppress(SystemExit):  # how Hydra leaves after its help
        assert main(["data", *words]) == 0
    assert capsys.readouterr().out


def test_a_folder_of_ones_own_configuration_is_found(elsewhere: pathlib.Path, body: Callable[..., list[Any]]) -> None:
    (elsewhere / "mine" / "costs").mkdir(parents=True)
    (elsewhere / "mine" / "costs" / "kraken.yaml").write_text("defaults: [alpaca, _self_]\ntaker_fee_bps: 40\n")
    seen = body("train")
    assert main(["train", "--config-dir", "mine", "costs=kraken"]) == 0
    assert (seen[0].costs.taker_fee_bps, seen[0].costs.min_notional) == (40, 10)


def test_flags_and_the_action_stand_in_any_order(elsewhere: pathlib.Path, body: Callable[..., list[Any]]) -> None:
    (elsewhere / "mine").mkdir()
    seen = body("data")
    assert main(["data", "--config-dir", "mine", "data.assets=[BTC]", "fetch"]) == 0
    assert (seen[0].action, seen[0].data.assets) == ("fetch", ["BTC"])


@pytest.mark.parametrize(
    ("words", "module"),
    [
        (["causality", "artifact=x"], "validate_causality"),
        (["artifact=x", "causality", "cuts=3"], "validate_causality"),
        (["artifact=x", "span=test"], "validate_artifact"),
    ],
)
def test_validate_takes_the_form_that_its_words_ask_for(body: Callable[..., list[Any]], words: list[str], module: str) -> None:
    seen = {name: body(name) for name in ROOTS if name.startswith("validate")}
    assert main(["validate", *words]) == 0
    assert {name: [type(config) for config in configs] for name, configs in seen.items() if configs} == {
        module: [ROOTS[module]]
    }


def test_a_multirun_of_lists_trains_every_combination_in_a_folder_of_its_own(grid: list[Any]) -> None:
    assert main(["train", "-m", "seed=0,1", "agent.gamma=0.5,0.9", "name=four", "env.clocks=32"]) == 0
    assert [(config.seed, config.agent.gamma, config.name) for config in grid] == [
        (0, 0.5, "four/0"),
        (0, 0.9, "four/1"),
        (1, 0.5, "four/2"),
        (1, 0.9, "four/3"),
    ]
    assert {config.env.clocks for config in grid} == {32}


def test_a_multirun_refuses_a_value_before_anything_trains(capsys: pytest.CaptureFixture[str], grid: list[Any]) -> None:
    assert "seed is -1; it must be in" in fails_with(capsys, 2, "train", "-m", "seed=0,-1")
    assert grid == []


def test_the_folder_of_a_run_is_named_by_its_time(body: Callable[..., list[Any]], elsewhere: pathlib.Path) -> None:
    seen = body("train")
    assert main(["train"]) == 0
    assert time.strptime(seen[0].name, "%Y-%m-%d_%H-%M-%S")
    assert [path.name for path in (elsewhere / "runs").iterdir()] == [seen[0].name]

"""An artifact scored on bars is the run backtested on them; and it says which of the bars it had seen."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import numpy as np
import pytest
from flax import nnx

from cappuccino.artifact.manifest import read_manifest, write_manifest
from cappuccino.assemble import load_market, training_of
from cappuccino.cli import main
from cappuccino.config import compose
from cappuccino.evaluation.comparison import AGENT, UNTRAINED
from cappuccino.sweep.parts import Part
from cappuccino.sweep.trial_folder import keep_training
from cappuccino.training.run import Run

SMALL = (
    "experiment=planted",
    "data.train_end=null",
    "data.valid_end=null",
    "data.bars=1000",
    "features.names=[relative_volume_168,volatility_24_168]",
    "network=mlp",
    "network.lookback=3",
    "network.hidden=[8]",
    "network.head=[8]",
    "agent.band=0.05",
    "costs=alpaca",
)
METRICS_OF_ACCOUNTS = ("total_return", "mean_log_growth", "turnover", "exposure", "max_drawdown", "fees_paid")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run with an artifact, of a policy with random opinions that nobody trained."""
    runs = tmp_path_factory.mktemp("runs")
    config = compose("train", [*SMALL, "name=small", f"runs_dir={runs}"])
    training = training_of(config, load_market(config.data, tuple(config.features.names), config.network.lookback))
    policy = training.policy(training.weights)
    policy.actor.output.kernel[...] = 100 * policy.actor.output.kernel[...]
    weights = nnx.split(policy, nnx.Param, ...)[1]
    best = {"score": 1e-4, "sharpe": 1.25}
    folder = keep_training(Part(training, best=best, kept=(weights, 1), config=config)).folder
    assert main(["export", "run=small", f"runs_dir={runs}"]) == 0
    return folder


def backtested(run: pathlib.Path, *words: str) -> dict[str, Any]:
    assert main(["backtest", f"run={run}", "span=test", f"runs_dir={run.parent}", *words]) == 0
    return json.loads((run / "backtest-test.json").read_text())


def validated(run: pathlib.Path, folder: pathlib.Path, *words: str) -> dict[str, Any]:
    assert main(["validate", f"artifact={run / 'artifact'}", f"out={folder}", *words]) == 0
    (numbers,), (page,) = folder.glob("*.json"), folder.glob("*.html")
    assert numbers.stem == page.stem
    return json.loads(numbers.read_text())


@pytest.mark.parametrize("words", [(), ("data=synthetic", "data.kind=planted", "data.seed=5", "data.bars=1000", "costs=free")])
def test_an_artifact_scores_as_its_run_backtests(run, tmp_path, words):
    theirs, ours = backtested(run, *words), validated(run, tmp_path, "span=test", *words)
    assert (ours["costs"], ours["assets"], ours["origin"]) == (theirs["costs"], theirs["assets"], theirs["origin"])
    assert ours["span"] | {"name": ""} == theirs["span"] | {"name": ""}
    assert ours["metrics"].keys() == theirs["metrics"].keys() - {"oracle"}
    for name, metrics in ours["metrics"].items():
        for figure in METRICS_OF_ACCOUNTS:
            assert metrics[figure] == pytest.approx(theirs["metrics"][name][figure], rel=1e-3, abs=1e-5), (name, figure)
    agent, untrained = (ours["metrics"][name] for name in (AGENT, UNTRAINED))
    assert agent["turnover"] > 2 * untrained["turnover"] > 0


def test_bars_that_it_was_trained_or_selected_on_are_called_so(run, tmp_path):
    ours = validated(run, tmp_path)
    assert ours["span"]["name"] == "partly in-sample"
    assert "over the partly in-sample span" in ours["verdict"]
    first, trained, own = ours["notes"][:3]
    split = {span.name: span for span in _spans(run)}
    steps = ours["span"]["steps"]
    train_steps = steps - (split["test"].stop - split["valid"].start)
    assert first.startswith(f"IN-SAMPLE: of these {steps:,} bars, {train_steps:,} were trained on (2020-01-01 to ")
    assert f" and {split['valid'].stop - split['valid'].start:,} were selected on (20" in first
    assert "from planted (synthetic, quoted in USD)" in trained
    assert own == "Its own validation, by the manifest: score 0.0001, sharpe 1.25."
    assert ours["artifact"]["validation"]["spans"]["train"][0] == "2020-01-01 00:00:00Z"
    (page,) = tmp_path.glob("*.html")
    assert "IN-SAMPLE: of these" in page.read_text()


def test_bars_that_it_has_not_seen_are_called_so_and_a_market_of_other_features_is_told(run, tmp_path):
    own = validated(run, tmp_path / "own", "span=test")
    assert own["span"]["name"] == "out-of-sample test"
    assert own["notes"][0].startswith("The artifact was trained on (2020-01-01 to ")
    ours = validated(run, tmp_path / "other", "span=test", "data=synthetic", "data.seed=6", "data.bars=1000")
    assert ours["span"]["name"] == "out-of-sample test"
    (outside,) = [note for note in ours["notes"] if "at which a trader refuses to trade" in note]
    assert "/volatility_24_168 (" in outside


def rewritten(run: pathlib.Path, folder: pathlib.Path, **fields: Any) -> pathlib.Path:
    """A copy of the run's artifact with another manifest."""
    copy = pathlib.Path(shutil.copytree(run / "artifact", folder / "artifact"))
    write_manifest(dataclasses.replace(read_manifest(copy / "manifest.json"), **fields), copy / "manifest.json")
    return folder


def test_a_manifest_that_does_not_say_what_was_seen_vouches_for_no_bar(run, tmp_path):
    ours = validated(rewritten(run, tmp_path, validation={"score": 0.5}), tmp_path / "out", "span=test")
    assert ours["span"]["name"] == "perhaps in-sample test"
    assert ours["notes"][0].startswith("The manifest does not say which bars")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("causality",), "does not say which bars it was trained on; name some, like data=files"),
        (("data=synthetic",), "the artifact's manifest holds no configuration of a training"),
    ],
)
def test_a_manifest_without_a_configuration_is_refused(run, tmp_path, terminal, words, said):
    artifact = rewritten(run, tmp_path, config={}) / "artifact"
    assert main(["validate", *words, f"artifact={artifact}", f"runs_dir={tmp_path}"]) == 2
    (line,) = terminal.readouterr().err.splitlines()
    assert said in line


def test_bars_without_one_of_its_assets_are_refused(run, tmp_path, terminal):
    stamps = np.arange("2021-01-01", "2021-02-01", dtype="datetime64[h]")
    rows = "".join(f"{stamp}:00Z,10,11,9,10,5\n" for stamp in stamps)
    (tmp_path / "BTC_USD-1h.csv").write_text("date,open,high,low,close,volume\n" + rows)
    words = [f"artifact={run / 'artifact'}", f"runs_dir={tmp_path}", "data=files", f"data.path={tmp_path}"]
    assert main(["validate", *words]) == 2
    assert "ONE" in terminal.readouterr().err


def _spans(run: pathlib.Path) -> Any:
    config = Run.find(str(run), "").config
    return load_market(config.data, tuple(config.features.names), config.network.lookback).spans

"""What looks ahead, and what declares too short a warm-up, is caught and named; what is shipped does neither."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from functools import partial
from typing import Any

import numpy as np
import pytest
from artifact_scenarios import ASSETS, FEATURES, fields, policy_of

import cappuccino.features.coarse
import cappuccino.features.registry
from cappuccino.artifact.causality import ASKED, check_causality
from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.findings import Causality
from cappuccino.artifact.manifest import FORMAT_VERSION, Manifest, NormaliserValues
from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.bars.table import BarTable
from cappuccino.cli import main
from cappuccino.config import compose
from cappuccino.errors import InputError
from cappuccino.features import INDICATORS, SETS, FeatureSet
from cappuccino.features.coarse import complete_bars, on_coarser_bars
from cappuccino.features.futures import FUTURES
from cappuccino.features.indicators import Indicator, centred_rsi
from cappuccino.features.series import Series

BARS, LONG = (synthetic_bars("realistic", assets=ASSETS, bars=bars, seed=3) for bars in (900, 2_300))


def manifest_of(names: tuple[str, ...], *, warmup: int | None = None, lookback: int = 3) -> Manifest:
    A, F = len(ASSETS), len(names)
    changes: dict[str, Any] = {
        "features": names,
        "lookback": lookback,
        "warmup": FeatureSet(names, 3600).warmup if warmup is None else warmup,
        "normaliser": NormaliserValues((0.0,) * F, (1.0,) * F, 5.0),
        "training_range": dataclasses.replace(fields()["training_range"], low=((-3.0,) * F,) * A, high=((3.0,) * F,) * A),
    }
    return Manifest(format_version=FORMAT_VERSION, files={"policy.onnx": "0" * 64}, **fields(**changes))


def wandering(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A policy that weighs all of the window, and what it holds."""
    logits = window.mean(axis=(0, 2)) + 0.1 * weights
    shares = np.exp(np.clip(logits, -5, 5))
    return shares / (1 + shares.sum())


class Hindsight:
    """Decides by how its window compares with the largest that it was ever shown."""

    def __init__(self) -> None:
        self.largest = 1.0

    def decide(self, window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        self.largest = max(self.largest, float(np.abs(window).max()))
        return np.full(len(weights), float(np.abs(window[-1]).mean()) / self.largest / len(weights))


def checked(*names: str, decide: Any = wandering, bars: BarTable = BARS, cuts: int = 8, rows: int = 25, **of: Any) -> Causality:
    return check_causality(manifest_of(names, **of), decide, bars, cuts=cuts, rows=rows, seed=1)


def plant(monkeypatch: pytest.MonkeyPatch, name: str, warmup: int, compute: Any) -> None:
    monkeypatch.setitem(INDICATORS, name, Indicator(name, warmup, compute))


def ahead(series: Series, *, bars: int) -> np.ndarray:
    """The log return of the bar that is to come in so many bars, 0 where there is none."""
    return np.concatenate([series.returns[bars:], np.zeros(bars)])


@pytest.mark.parametrize("name", SETS)
def test_shipped_sets_look_at_nothing_that_comes_and_need_no_more_than_they_declare(name):
    is_long = FeatureSet(SETS[name], 3600).warmup > 600
    found = checked(*SETS[name], bars=LONG, cuts=4, rows=10) if is_long else checked(*SETS[name])
    assert found.problems() == []
    assert found.verdict().startswith("nothing looks ahead")
    assert found.warmup == (FeatureSet(SETS[name], 3600).warmup,) * 2
    assert found.window_error < 1e-9
    assert found.target_error < 1e-9
    assert all(one.error < 1e-9 and one.moves == () and one.needed is None for one in found.features)


def test_every_registered_indicator_passes_over_holes_and_segments():
    lengths, rng = (640, 60, 700), np.random.default_rng(4)
    whole = synthetic_bars("realistic", assets=ASSETS, bars=sum(lengths), seed=5)
    segment = np.repeat(np.arange(len(lengths)), lengths)
    mask = rng.random(whole.mask.shape) > 0.03
    mask[np.flatnonzero(np.diff(segment, prepend=-1))] = True
    last = np.maximum.accumulate(np.where(mask, np.arange(len(whole))[:, None], 0), axis=0)
    close = np.take_along_axis(whole.close, last, axis=0)
    prices = {name: np.where(mask, getattr(whole, name), close) for name in ("open", "high", "low", "close")}
    clock = whole.timestamps + 3600 * 100 * segment
    holed = dataclasses.replace(
        whole, **prices, volume=np.where(mask, whole.volume, 0), mask=mask, segment=segment, timestamps=clock
    )
    found = checked(*INDICATORS, bars=holed, cuts=5, rows=12)
    assert found.problems() == []
    seams = {640 - 1, 700 - 1, 1_400 - 1}
    assert not seams & set(found.cuts)


@pytest.mark.parametrize("bars", [1, 5])
def test_a_planted_look_ahead_is_named_with_how_far_it_reads_and_where_it_moved(monkeypatch, bars):
    plant(monkeypatch, "peek", 1, partial(ahead, bars=bars))
    found = checked("return_1", "peek")
    clean, peek = found.features
    assert clean.moves == ()
    assert {move.cut for move in peek.moves} == set(found.cuts)
    assert {move.future for move in peek.moves} == set(FUTURES)
    for move in peek.moves:
        assert move.cut + 1 - bars <= move.first <= move.last <= move.cut
        assert 1 <= move.values <= bars * len(ASSETS)
        assert move.size > 0
    assert min(move.first - move.cut for move in peek.moves) == 1 - bars
    named = [problem for problem in found.problems() if problem.startswith("peek ")]
    assert len(named) == 1
    assert f"reads {bars} bar{'s' if bars > 1 else ''} ahead or more" in named[0]
    assert f"at {len(found.cuts)} of {len(found.cuts)} cuts" in named[0]
    assert not any(problem.startswith("return_1") for problem in found.problems())
    # The policy sees the feature, so that its targets move with it.
    assert any(problem.startswith("the policy reads") for problem in found.problems())


def test_a_feature_scaled_by_all_bars_moves_far_before_the_cut(monkeypatch):
    plant(monkeypatch, "scaled", 168, lambda series: INDICATORS["return_24"].compute(series) * series.volume.mean())
    found = checked("return_1", "scaled")
    moves = found.features[1].moves
    assert {"noise", "scaled", "removed"} <= {move.future for move in moves}
    assert "permuted" not in {move.future for move in moves if move.size > 1e-6}  # a mean has no order
    assert all(move.first <= 168 + 1 for move in moves if move.future == "noise")


def test_a_look_ahead_at_few_rows_is_seen_where_no_cut_fell_on_it(monkeypatch):
    """Every seventh bar: the streamed rows see what the cuts may miss, and no length of the past makes up for it."""

    def sometimes(series: Series) -> np.ndarray:
        return np.where(series.timestamps // 3600 % 7 == 0, ahead(series, bars=1), series.returns)

    plant(monkeypatch, "sometimes", 1, sometimes)
    found = checked("return_1", "sometimes", cuts=1, rows=60)
    one = found.features[1]
    assert one.error > 0.1
    assert one.needed is None
    assert any(problem.startswith("sometimes ") for problem in found.problems())


def test_a_planted_short_warmup_is_named_with_its_error_and_what_it_needs(monkeypatch):
    plant(monkeypatch, "hasty", 60, partial(centred_rsi, window=14))
    found = checked("return_1", "hasty")
    hasty = found.features[1]
    assert found.features[0].needed is None
    assert hasty.moves == ()
    assert 1e-6 < hasty.error < 1
    assert hasty.needed is not None
    assert 130 < hasty.needed < 300
    assert [problem.split()[0] for problem in found.problems()] == ["hasty"]
    assert f"declares a warm-up of 60 bars, at which it is {hasty.error:.2g} standard deviations from" in found.verdict()
    assert f"what all bars give, and it needs {hasty.needed}" in found.verdict()


def test_a_window_that_does_not_fit_into_the_declared_bars_is_named(monkeypatch):
    plant(monkeypatch, "cramped", 20, INDICATORS["return_24"].compute)
    (problem,) = checked("rsi_14", "cramped").problems()
    assert problem == "cramped declares a warm-up of 20 bars, at which it has no value, and it needs 168"


def test_a_coarse_bar_that_is_read_before_its_end_is_named_with_how_far(monkeypatch):
    def running(series: Series, *, indicator: Indicator, length: int, multiple: int) -> np.ndarray:
        """As on complete bars, but from each one's first base bar on."""
        first, coarse = complete_bars(series, length, multiple)
        values = np.full(len(series.close), np.nan)
        values[first : first + multiple * len(coarse.close)] = np.repeat(indicator.compute(coarse), multiple)
        return values

    assert checked("return_1", "cci_20@4h").problems() == []
    monkeypatch.setattr(cappuccino.features.coarse, "_held", running)
    found = checked("return_1", "cci_20@4h", bars=BARS.rows(0, 900 - 900 % 4))
    coarse = found.features[1]
    ends = {cut for cut in found.cuts if BARS.timestamps[cut + 1] % 14_400 == 0}
    assert 0 < len(ends) < len(found.cuts)
    assert {move.cut for move in coarse.moves} == set(found.cuts) - ends
    assert coarse.error > 0.1
    (named,) = [problem for problem in found.problems() if problem.startswith("cci_20@4h ")]
    assert "reads 3 bars ahead or more" in named
    assert found.features[0].moves == ()


def test_a_warmup_that_forgets_the_phase_is_named_with_what_it_needs(monkeypatch):
    def hasty(*arguments: Any) -> Indicator:
        return dataclasses.replace(on_coarser_bars(*arguments), warmup=20 * 4)

    monkeypatch.setattr(cappuccino.features.registry, "on_coarser_bars", hasty)
    (problem,) = checked("rsi_14", "cci_20@4h").problems()
    assert problem == "cci_20@4h declares a warm-up of 80 bars, at which it has no value, and it needs 82"


def test_a_policy_that_remembers_what_came_later_is_caught():
    found = checked("return_1", "rsi_14", decide=Hindsight().decide)
    assert all(one.moves == () for one in found.features)
    assert found.policy
    assert all(move.cut - ASKED <= move.first <= move.last <= move.cut for move in found.policy)
    (problem,) = found.problems()
    assert problem.startswith("the policy reads")


def test_another_warmup_in_the_manifest_is_told():
    (problem,) = checked("return_1", "rsi_14", warmup=449).problems()
    assert problem == "the manifest declares a warm-up of 449 bars, its features take 504 by this version's code"


def test_the_same_seed_finds_the_same():
    one, other = (checked("return_1", "rsi_14").document() for _ in range(2))
    assert one == other
    assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_bars_that_prove_nothing_are_refused():
    with pytest.raises(InputError, match="decides on BTC, ETH, LTC; the bars are of LTC, BTC, ETH"):
        checked("return_1", bars=BARS.select(("LTC", "BTC", "ETH")))
    with pytest.raises(InputError, match="more than 168 bars"):
        checked("return_1", bars=BARS.rows(0, 168))
    with pytest.raises(InputError, match=r"warm-up of 168 and a look-back of 3, and one behind it: .* has 172 bars"):
        checked("return_1", bars=BARS.rows(0, 172))
    assert len(checked("return_1", bars=BARS.rows(0, 173)).cuts) == 1


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Exported by JAX, of bars that its manifest describes."""
    words = ["data=synthetic", f"data.assets=[{','.join(ASSETS)}]", "data.bars=800"]
    data = dataclasses.asdict(compose("train", words).data)
    out = tmp_path_factory.mktemp("causality") / "artifact"
    config = {"data": data}
    return export_artifact(
        policy_of("per_asset"), out=out, **fields(warmup=FeatureSet(FEATURES, 3600).warmup, config=config)
    ).path


def validate(artifact: pathlib.Path, folder: pathlib.Path, *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["validate", "causality", f"artifact={artifact}", f"out={folder}", "cuts=4", "rows=8", *words])
    return code, json.loads((folder / "causality.json").read_text())


def test_the_command_passes_an_exported_artifact(artifact, tmp_path, terminal):
    code, numbers = validate(artifact, tmp_path)
    printed = terminal.readouterr()
    assert (code, printed.err, numbers["problems"]) == (0, "", [])
    assert "nothing looks ahead" in " ".join(printed.out.split())
    assert all(name in printed.out for name in (*FEATURES, "policy", str(tmp_path / "causality.json").rpartition("/")[2]))
    assert (numbers["bars"]["source"], numbers["bars"]["number"], len(numbers["cuts"])) == ("synthetic", 800, 4)
    assert numbers["policy"]["target_error"] < 1e-6
    assert list(numbers["features"]) == list(FEATURES)


def test_the_command_names_an_indicator_that_was_made_to_look_ahead(artifact, tmp_path, terminal, monkeypatch):
    plant(monkeypatch, "return_1", 168, partial(ahead, bars=1))
    code, numbers = validate(artifact, tmp_path, "data=synthetic", "data.bars=800", "data.seed=9")
    (line,) = terminal.readouterr().err.splitlines()
    assert code == 2
    assert line.startswith("cappuccino validate: return_1 reads 1 bar ahead or more: it moved by up to ")
    assert "the policy reads" in line
    assert len(numbers["features"]["return_1"]["moves"]) == 16
    assert numbers["features"]["rsi_14"]["moves"] == []


def test_the_command_writes_below_the_runs_folder_unless_told(artifact, tmp_path):
    assert main(["validate", "causality", f"artifact={artifact}", f"runs_dir={tmp_path}", "cuts=1", "rows=1"]) == 0
    (file,) = tmp_path.rglob("causality.json")
    assert file.parent.parent == tmp_path / "validations"


def test_bars_of_another_length_are_refused(artifact, tmp_path, terminal):
    words = [f"artifact={artifact}", f"runs_dir={tmp_path}", "data=synthetic", "data.bar=15m"]
    assert main(["validate", "causality", *words]) == 2
    assert "data.bar is 15m, 900 s; the artifact decides on bars of 3600 s" in terminal.readouterr().err

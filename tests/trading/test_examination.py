"""What is said of an artifact and of a venue's bars before anything is traded."""

from __future__ import annotations

import pathlib

import numpy as np
import onnx
import pytest
from loopback import ASSETS, FIRST, HOUR, serving, walk
from onnx import TensorProto, helper
from trading_scenarios import FEATURES, LOOKBACK, manifest_of, venue_of

from cappuccino.artifact.manifest import MANIFEST_NAME, POLICY_NAME, sha256_of_file, write_manifest
from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.protocol import OrderRequest
from cappuccino.trading.examination import Finding, examine_artifact, examine_venue

START = 300


def artifact_of(folder: pathlib.Path, share: float) -> pathlib.Path:
    """A policy that wants `share` in the first asset, whatever it sees."""
    A = len(ASSETS)
    row = np.zeros(A, np.float32)
    row[0] = share
    shapes = {"window": [LOOKBACK, A, len(FEATURES)], "weights": [A]}
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["weights", "nothing"], ["none"]),
            helper.make_node("Add", ["none", "wanted"], ["targets"]),
        ],
        "policy",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("targets", TensorProto.FLOAT, [A])],
        [
            helper.make_tensor("nothing", TensorProto.FLOAT, [A], np.zeros(A, np.float32)),
            helper.make_tensor("wanted", TensorProto.FLOAT, [A], row),
        ],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / POLICY_NAME)
    manifest = manifest_of(walk(400), files={POLICY_NAME: sha256_of_file(folder / POLICY_NAME)})
    write_manifest(manifest, folder / MANIFEST_NAME)
    return folder


def test_an_artifact_that_decides_within_limits_passes(tmp_path: pathlib.Path) -> None:
    found, artifact = examine_artifact(str(artifact_of(tmp_path / "a", 0.5)))
    assert found.grade == "ok"
    assert artifact is not None


@pytest.mark.parametrize("share", [1.5, -0.5, float("nan")])
def test_an_artifact_that_wants_the_impossible_is_a_problem(tmp_path: pathlib.Path, share: float) -> None:
    found, artifact = examine_artifact(str(artifact_of(tmp_path / "a", share)))
    assert (found.grade, artifact) == ("problem", None)


def test_a_changed_file_is_a_problem(tmp_path: pathlib.Path) -> None:
    folder = artifact_of(tmp_path / "a", 0.5)
    with (folder / POLICY_NAME).open("ab") as file:
        file.write(b" ")
    found, _ = examine_artifact(str(folder))
    assert found.grade == "problem"
    assert "checksum" in found.text


def venue_findings(
    start: int = START, *, skew: float = 0.0, missing: dict[int, tuple[int, ...]] | None = None
) -> dict[str, Finding]:
    table = walk(400, missing=missing)
    now = FIRST + HOUR * (start + 1)
    with serving(venue_of(table, start)) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url)
        findings = examine_venue(broker, lambda: now + skew, 100_000.0, manifest_of(table), ())
        return {finding.check: finding for finding in findings}


def test_a_venue_that_serves_all_is_fine() -> None:
    found = venue_findings()
    assert {finding.grade for finding in found.values()} == {"ok"}
    assert {"assets", "bars", "clock"} <= found.keys()


@pytest.mark.parametrize(("skew", "grade"), [(1.0, "ok"), (-30.0, "warning"), (400.0, "problem")])
def test_a_clock_that_is_off_is_graded_by_how_far(skew: float, grade: str) -> None:
    assert venue_findings(skew=skew)["clock"].grade == grade


def test_bars_that_end_early_or_do_not_reach_back_are_told() -> None:
    old = venue_findings(missing={row: (1,) for row in range(START - 5, START + 1)})["bars"]
    assert (old.grade, "of ETH is more than two bars old" in old.text) == ("problem", True)
    short = venue_findings(100)["bars"]
    assert (short.grade, "BTC 101" in short.text) == ("warning", True)


def test_orders_and_holdings_of_somebody_else_are_told() -> None:
    table = walk(400)
    with serving(venue_of(table, START)) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url)
        broker.submit(OrderRequest("BTC", "buy", broker.assets(ASSETS)["BTC"].increment * 10**8, "by-hand"))

        def look(*ours: str) -> Finding:
            found = examine_venue(broker, broker.clock, 1.0, None, ours)
            return next(finding for finding in found if finding.check == "holdings")

        assert look().grade == "warning"
        assert "BTC" in look().text
        assert look("by-hand").grade == "ok"

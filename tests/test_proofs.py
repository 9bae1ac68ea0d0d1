"""A small instance of each proof in experiments/proofs that no other test runs. The full ones: `make proof NAME`."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

PROOFS = pathlib.Path(__file__).parents[1] / "experiments" / "proofs"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROOFS / f"{name}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=PROOFS.parents[1],
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_backtest_and_paper_agree(shared_data: pathlib.Path) -> None:
    del shared_data
    printed = run("parity", "--bars", "40", "--env-steps", "65536", "--policies", "restless")
    assert printed.count(": agree") == 2
    assert printed.count(": noticed") == 6


@pytest.mark.slow
def test_an_artifact_decides_as_the_trainer_did(shared_data: pathlib.Path) -> None:
    del shared_data
    printed = run("artifact", "--env-steps", "65536", "--networks", "per_asset", "--fastest")
    assert "FALLS SHORT" not in printed


@pytest.mark.slow
def test_a_lane_learns_what_a_training_alone_does() -> None:
    assert "indistinguishable" in run("lanes", "--updates", "2", "--seeds", "8")


@pytest.mark.slow
def test_who_knows_nothing_scores_below_who_was_trained() -> None:
    printed = run("floors", "--seeds", "2", "--env-steps", "524288")
    assert printed.count(": holds") == 6


@pytest.mark.slow
def test_no_delay_is_a_delay_of_nothing() -> None:
    assert "holds: in under 10 s" in run("stress_grid", "--bars", "100", "--repeats", "1")


@pytest.mark.slow
def test_three_days_alone() -> None:
    assert run("soak", "--days", "3").count(": holds") == 5


@pytest.mark.slow
def test_a_trader_that_is_killed_again_and_again_ends_as_one_that_was_not() -> None:
    printed = run("trader_kills", "--sessions", "2", "--kills", "20", "--bars", "60", "--at-least", "6")
    assert printed.count(": holds") == 3
    assert printed.count("20 kills, the same") == 2


@pytest.mark.slow
def test_orders_survive_whatever_is_done_to_them() -> None:
    assert run("order_states", "--examples", "2000").strip().endswith(": holds")


@pytest.mark.slow
def test_a_pipeline_that_is_killed_leads_to_a_champion_and_does_nothing_twice() -> None:
    printed = run("pipeline", "--parts", "kills", "--kills", "3", "--env-steps", "262144", "--held-out", "400")
    assert printed.count(": holds") == 2

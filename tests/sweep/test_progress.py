"""The table of a running search: it fits its terminal, and its rate and time left are of the search and not of compilation."""

from __future__ import annotations

import io
from typing import Any
from unittest.mock import Mock

import pytest
from rich.console import Console

from cappuccino.lanes.pool import Placed
from cappuccino.sweep.parts import FoldSeed
from cappuccino.sweep.progress import Pace, lane_table
from cappuccino.sweep.trial import RunningTrial

PARAMETERS = {
    "agent.learning_rate": 0.0012345,
    "agent.gamma": 0.98765,
    "network": "per_asset",
    "agent.max_gradient_norm": 0.31943,
    "env.reward.scale": 100,
    "features.normalise": None,
}


def running(number: int, params: dict[str, Any], value: float | None = -0.0123456) -> RunningTrial:
    one = Mock(spec=RunningTrial)
    one.trial = Mock(number=number, params=params)
    one.parts, one.share_done, one.last_value = {FoldSeed(0, seed): Mock(done=False) for seed in (0, 1)}, 0.25, value
    return one


def drawn(width: int, trials: list[RunningTrial], placed: dict[tuple[int, FoldSeed], Placed]) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(lane_table(trials, placed, width))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_every_trial_has_one_row_and_what_is_shown_is_whole(width):
    trials = [running(7, PARAMETERS), running(1234, PARAMETERS, None), running(8, PARAMETERS, float("-inf"))]
    seats = {(7, 0): 3, (7, 1): 5, (1234, 0): 0}
    placed = {(trial, FoldSeed(0, seed)): Placed(8, 2, 1, lane) for (trial, seed), lane in seats.items()}
    head, *rows = drawn(width, trials, placed)
    assert len(rows) == 3
    assert all(len(row) <= width for row in rows)
    assert not any("\N{HORIZONTAL ELLIPSIS}" in row for row in (head, *rows))
    assert rows[0].split()[:3] == ["3,5", "7", "training"]
    assert rows[1].split()[:3] == ["0", "1234", "training"]
    assert rows[2].split()[:3] == ["-", "8", "waiting"]
    assert "25%" in rows[0]
    assert "-0.01235" in rows[0]
    assert "did nothing" in rows[2]
    shown = [name for name in PARAMETERS if name.rsplit(".", 1)[-1] in head.split()]
    assert shown == list(PARAMETERS)[: len(shown)]
    assert (f"+{len(PARAMETERS) - len(shown)}" in head) == (len(shown) < len(PARAMETERS))
    assert len(shown) == len(PARAMETERS) or width < 140


def test_a_parameter_that_a_trial_has_not_is_empty():
    head, first, second = drawn(80, [running(0, {"a": 1.5}), running(1, {"b": 2.5})], {})
    assert head.split()[-2:] == ["a", "b"]
    assert first.rstrip().endswith("1.5")
    assert second.rstrip().endswith("2.5")


def test_rate_and_time_left_do_not_count_what_came_before_the_first_chunk():
    pace = Pace()
    pace.note(0.0, 0, 0.0)
    assert pace.said(10) == "compiling"
    pace.note(500.0, 1000, 0.5)
    assert pace.said(10) == "rate unknown, time left unknown"
    pace.note(510.0, 3000, 1.5)
    assert pace.said(10) == "200 env steps/s here, about 85 s left"


def test_time_left_counts_what_other_processes_do():
    alone, together = Pace(), Pace()
    for seconds, trials in ((0.0, 1.0), (60.0, 2.0)):
        alone.note(seconds, int(seconds) + 1, trials)
        together.note(seconds, int(seconds) + 1, 2 * trials)
    assert alone.said(62).endswith("about 60 min left")
    assert together.said(62).endswith("about 29 min left")

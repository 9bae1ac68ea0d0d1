"""The log: after a kill at any moment it is cut back to the checkpoint, in the JSON lines and in TensorBoard's events alike."""

from __future__ import annotations

import json
import pathlib

import pytest
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from cappuccino.errors import InputError
from cappuccino.training.metrics_log import MetricsLog, read_rows


def row(update: int) -> dict[str, float]:
    return {"update": update, "env_steps": 100 * update, "reward": 0.1 * update, "loss/kl": 1e-3 / update}


def events(folder: pathlib.Path) -> list[tuple[str, int, float]]:
    found = []
    for file in (folder / "tensorboard").iterdir():
        for event in EventFileLoader(str(file)).Load():
            found += [(value.tag, event.step, value.tensor.float_val[0]) for value in event.summary.value]
    return sorted(found)


def expected(updates: int) -> list[tuple[str, int, float]]:
    rows = [row(n + 1) for n in range(updates)]
    return sorted(
        (name, each["env_steps"], pytest.approx(each[name], rel=1e-6)) for each in rows for name in ("reward", "loss/kl")
    )


def write(folder: pathlib.Path, *updates: int, after: int = 0) -> None:
    with MetricsLog(folder, after) as log:
        log.write([row(n) for n in updates])


def test_rows_are_on_disk_when_write_returns(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        log.write([row(1), row(2)])
        assert read_rows(tmp_path / "metrics.jsonl") == [row(1), row(2)]


@pytest.mark.parametrize("left", ["", '{"update": 5, "env_st', '{"update": 5, "env_steps": 500, "reward": 0.5}'])
def test_a_resumed_log_has_every_row_once(tmp_path, left):
    """The process died after update 4, or in the middle of the line of update 5; its checkpoint is that of update 2."""
    write(tmp_path, 1, 2, 3, 4)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(left)
    write(tmp_path, 3, 4, 5, after=2)
    assert read_rows(tmp_path / "metrics.jsonl") == [row(n) for n in (1, 2, 3, 4, 5)]
    assert events(tmp_path) == expected(5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "tensorboard"]


def test_beginning_again_leaves_nothing_of_before(tmp_path):
    write(tmp_path, 1, 2, 3)
    write(tmp_path, 1)
    assert read_rows(tmp_path / "metrics.jsonl") == [row(1)]
    assert events(tmp_path) == expected(1)


@pytest.mark.parametrize("updates", [(1, 2), (1, 3), (2, 3), (1, 1, 2, 3), ()])
def test_rows_missing_or_doubled_before_the_checkpoint_are_refused(tmp_path, updates):
    write(tmp_path, *updates)
    with pytest.raises(InputError, match="it was changed since the checkpoint"):
        MetricsLog(tmp_path, 3)
    assert len(read_rows(tmp_path / "metrics.jsonl")) == len(updates)


@pytest.mark.parametrize("line", ["{'update': 1}", "", "\xff", "5", "[]", '{"reward": 1.0}', '{"update": 1}'])
def test_a_line_that_is_no_row_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(json.dumps(row(1)).encode() + b"\n" + line.encode("latin-1") + b"\n" + json.dumps(row(2)).encode() + b"\n")
    with pytest.raises(InputError, match=r"metrics\.jsonl line 2 is n") as error:
        read_rows(path)
    assert "\n" not in str(error.value)

"""The returns of trials come back as they were kept, and overfitting is judged over what all of them have."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from cappuccino.errors import InputError
from cappuccino.evaluation.overfitting import pbo
from cappuccino.sweep.returns import judge_returns, write_returns

BARS = 640


def keep(folder: pathlib.Path, table: np.ndarray, first: int = 0) -> None:
    for number, column in enumerate(table.T, start=first):
        write_returns(folder, number, 3600 * np.arange(len(column)), column)


def noise(trials: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (BARS, trials)).astype(np.float32)


def test_it_is_the_probability_of_the_table_of_all_trials(tmp_path):
    keep(tmp_path, noise(12))
    found = judge_returns(tmp_path, range(12))
    assert found.overfitting is not None
    assert (found.trials, found.bars, found.idle) == (12, BARS, 0)
    assert found.overfitting.pbo == pbo(noise(12).astype(np.float64)).pbo


def test_those_that_did_nothing_are_left_out_and_counted(tmp_path):
    keep(tmp_path, noise(5))
    keep(tmp_path, np.zeros((BARS, 3)), first=5)
    found = judge_returns(tmp_path, range(8))
    assert (found.trials, found.idle) == (5, 3)
    nothing = judge_returns(tmp_path, range(5, 8))
    assert (nothing.overfitting, nothing.idle, nothing.reason) == (None, 3, "no trial did anything")


def test_a_trial_that_decides_a_little_later_shares_the_bars_that_it_has(tmp_path):
    table = noise(4)
    keep(tmp_path, table)
    write_returns(tmp_path, 4, 3600 * np.arange(20, BARS), noise(1, seed=1)[20:, 0])
    found = judge_returns(tmp_path, range(5))
    assert found.bars == BARS - 20


def test_other_spans_and_missing_files_are_refused_with_the_numbers(tmp_path):
    keep(tmp_path, noise(4))
    write_returns(tmp_path, 4, 3600 * np.arange(BARS // 2, BARS), noise(1)[BARS // 2 :, 0])
    with pytest.raises(InputError, match="have 320 bars in common, the longest 640 and trial 4 320"):
        judge_returns(tmp_path, range(5))
    with pytest.raises(InputError, match=r"the returns of trial 9 are not in .*returns/9.parquet"):
        judge_returns(tmp_path, [0, 9])


def test_one_trial_alone_has_no_probability_and_that_is_said(tmp_path):
    keep(tmp_path, noise(1))
    found = judge_returns(tmp_path, [0])
    assert found.overfitting is None
    assert "choosing takes at least 2" in found.reason

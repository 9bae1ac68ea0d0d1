"""Folds against those of `purgedcv`, an independent implementation.

A sample of its is the start of an episode of E bars, whose label ends with the episode. Where its definitions are not ours:

- It widens a test block by the episodes that begin in it, to E bars behind it. A step that is tested here is marked inside its block,
  so what must be free behind a block is what training reads backwards: M = warm-up + look-back - 1 bars. Where M >= E, an embargo of
  M - E - 1 bars behind the last label says the same; where M < E it drops rows M to E - 1 behind a block, and we keep them.
- Its embargo is closed at its end, but none at 0: half a bar more says the same for every length.
- Its embargo lies behind a block only, ours on either side: there, that is `purge_horizon`.
- It counts samples without a full window or a full episode, knows no segments, and holds no bars back for choosing checkpoints.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pandas as pd
import purgedcv
from fold_cases import Setting, bars_in, cpcv, folds_or_reject, kfold, walk_forward
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cappuccino.evaluation.folds import Fold, train_starts
from cappuccino.evaluation.splits import Span

RARE = [HealthCheck.filter_too_much, HealthCheck.too_slow]


@st.composite
def comparable(draw: Any, *, outlasting: bool = False) -> Setting:
    """One segment, as `purgedcv` knows no other. outlasting: an episode is longer than what its first decision reads before it."""
    warmup, lookback = draw(st.integers(0, 12)), draw(st.integers(2, 6))
    memory = warmup + lookback - 1
    episode = draw(st.integers(memory + 1, memory + 15) if outlasting else st.integers(1, memory))
    groups = draw(st.integers(2, 8))
    config = functools.partial(cpcv, groups, draw(st.integers(1, groups - 1)), draw(st.integers(0, 5)))
    bars = draw(st.integers(150, 400))
    return Setting(config, [bars], warmup, lookback, episode, bars)


def theirs(kind: Any, setting: Setting, *sizes: int) -> Any:
    """The library's splitter of the same setting."""
    times = pd.Series(pd.to_timedelta(np.arange(setting.stop), unit="h"))
    gap = setting.config.embargo
    behind_label = gap + setting.warmup + setting.lookback - 1 - setting.episode - 1 + 0.5
    return kind(
        *sizes,
        prediction_times=times,
        evaluation_times=times + pd.Timedelta(hours=setting.episode + 1),
        purge_horizon=pd.Timedelta(hours=gap),
        embargo=pd.Timedelta(hours=max(behind_label, 0)),
    )


def their_folds(splitter: Any, setting: Setting) -> list[tuple[set[int], list[int]]]:
    """Training samples that have a full window and a full episode, and test samples."""
    whole = {row for row, bars in enumerate(setting.episodes) if bars is not None}
    return [(whole.intersection(train.tolist()), test.tolist()) for train, test in splitter.split(np.zeros(setting.stop))]


def our_starts(setting: Setting, fold: Fold) -> set[int]:
    """Where a fold's episodes could begin if no bars were held back for choosing checkpoints."""
    bars = np.isin(np.arange(-1, setting.stop + 1), bars_in((*fold.train, *fold.selection)))
    edges = np.flatnonzero(np.diff(bars)).reshape(-1, 2).tolist()
    whole = fold._replace(train=tuple(Span("train", start, stop) for start, stop in edges))
    return set(train_starts(setting.spec, whole, setting.lookback, setting.episode).tolist())


@given(comparable())
@settings(max_examples=200, suppress_health_check=RARE)
def test_combinatorial_folds_and_their_paths_equal_those_of_purgedcv(setting):
    folds, config = folds_or_reject(setting), setting.config
    splitter = theirs(purgedcv.CombinatorialPurgedCV, setting, config.groups, config.test_groups)
    splits = their_folds(splitter, setting)
    assert [(our_starts(setting, fold), bars_in(fold.test)) for fold in folds.folds] == splits
    givers = splitter.reconstruct_paths([np.full(len(test), i, float) for i, (_, test) in enumerate(splits)])
    lengths = [group.stop - group.start for group in folds.groups]
    np.testing.assert_array_equal(givers, np.repeat(np.array(folds.paths, float), lengths, axis=1))


@given(comparable(outlasting=True))
@settings(max_examples=50, suppress_health_check=RARE)
def test_where_episodes_outlast_the_memory_purgedcv_drops_the_documented_rows_more(setting):
    folds, config = folds_or_reject(setting), setting.config
    splitter = theirs(purgedcv.CombinatorialPurgedCV, setting, config.groups, config.test_groups)
    memory = setting.warmup + setting.lookback - 1
    for fold, (train, test) in zip(folds.folds, their_folds(splitter, setting), strict=True):
        edges = [block.stop + config.embargo for block in fold.test]
        more = {row for edge in edges for row in range(edge + memory, edge + setting.episode)}
        assert train == our_starts(setting, fold) - more
        assert test == bars_in(fold.test)


@given(comparable(), st.integers(2, 6))
@settings(max_examples=50, suppress_health_check=RARE)
def test_purged_k_folds_equal_those_of_purgedcv(setting, groups):
    k_folds = dataclasses.replace(setting, configured=lambda: kfold(groups, setting.config.embargo))
    splits = their_folds(theirs(purgedcv.PurgedKFold, k_folds, groups), k_folds)
    assert [(our_starts(k_folds, fold), bars_in(fold.test)) for fold in folds_or_reject(k_folds).folds] == splits


@given(comparable(), st.integers(1, 5), st.integers(5, 20))
@settings(max_examples=50, suppress_health_check=RARE)
def test_walks_forward_equal_those_of_purgedcv(setting, number, size):
    share, gap = 1 - number * size / setting.stop, setting.config.embargo
    walk = dataclasses.replace(setting, configured=lambda: walk_forward(number, share, embargo=gap))
    splits = their_folds(theirs(purgedcv.WalkForwardSplit, walk, number, size), walk)
    assert [(our_starts(walk, fold), bars_in(fold.test)) for fold in folds_or_reject(walk).folds] == splits

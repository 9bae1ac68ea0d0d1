"""Folds: what they train on, choose by and test is what the definitions say, bar by bar; paths are whole; the impossible is refused."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from fold_cases import PROPERTY, bars_in, cpcv, folds_or_reject, holdout, kfold, settings_of, spec_of, walk_forward
from hypothesis import given

from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.config import CPCVConfig, HoldoutConfig, WalkForwardConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.folds import (
    block_rows,
    fold_rows,
    folds_of,
    normaliser_rows,
    selection_rows,
    train_starts,
)
from cappuccino.features import SETS, FeatureSet


@given(settings_of())
@PROPERTY
def test_nothing_that_training_reads_is_a_bar_of_a_test_block_and_all_else_is_there(setting):
    spec, lookback = setting.spec, setting.lookback
    for fold, tested in zip(folds_or_reject(setting).folds, setting.tested(), strict=True):
        train, selection = setting.readable(tested)
        assert [bars_in(spans) for spans in fold[1:]] == [sorted(train), sorted(selection), sorted(tested)]
        starts = train_starts(spec, fold, lookback, setting.episode).tolist()
        fitted = np.flatnonzero(normaliser_rows(spec, fold)).tolist()
        chosen = selection_rows(spec, fold, lookback).tolist()
        assert starts == [row for row, bars in enumerate(setting.episodes) if bars is not None and bars <= train]
        assert fitted == [row for row, bars in enumerate(setting.features) if bars is not None and bars <= train]
        assert chosen == [
            row
            for row, bars in enumerate(setting.steps)
            if bars is not None and bars <= train | selection and row + 1 in selection
        ]
        trained = set().union(*(setting.episodes[row] for row in starts), *(setting.features[row] for row in fitted))
        read = trained.union(*(setting.steps[row] for row in chosen))
        assert not read & setting.near(tested)
        assert not trained & {row + 1 for row in chosen}
        assert max(read) < setting.stop
        if isinstance(setting.config, HoldoutConfig | WalkForwardConfig):
            assert max(read) < min(tested)


@given(settings_of())
@PROPERTY
def test_every_path_covers_every_testable_bar_once(setting):
    folds, config = folds_or_reject(setting), setting.config
    spec, lookback = setting.spec, setting.lookback
    tested = set().union(*setting.groups())
    testable = [row + 1 for row, bars in enumerate(setting.steps) if bars is not None and row + 1 in tested]
    given_by = [set(fold_rows(spec, fold, lookback).tolist()) for fold in folds.folds]
    for path in folds.paths:
        pieces = [block_rows(spec, group, lookback) for group in folds.groups]
        assert [row + 1 for piece in pieces for row in piece.tolist()] == testable
        assert all(given_by[fold].issuperset(piece.tolist()) for fold, piece in zip(path, pieces, strict=True))
    used = [(fold, group) for path in folds.paths for group, fold in enumerate(path)]
    tests = [(i, j) for i, own in enumerate(setting.tested()) for j, group in enumerate(setting.groups()) if own >= set(group)]
    assert sorted(used) == sorted(tests)
    if isinstance(config, CPCVConfig):
        assert len(folds.folds) == math.comb(config.groups, config.test_groups)
        assert len(folds.paths) == math.comb(config.groups - 1, config.test_groups - 1)
    else:
        assert len(folds.paths) == 1


@given(settings_of())
@PROPERTY
def test_a_test_block_is_an_episode_of_its_own_and_so_is_each_segment_in_it(setting):
    for fold in folds_or_reject(setting).folds:
        rows = fold_rows(setting.spec, fold, setting.lookback)
        places = []
        for episode in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            blocks = {i for i, block in enumerate(fold.test) for row in episode if block.start <= row + 1 < block.stop}
            segments = {int(setting.spec.segment[row]) for row in (*episode, episode[-1] + 1)}
            assert (len(blocks), len(segments)) == (1, 1)
            places.append((blocks.pop(), segments.pop()))
        assert len(places) == len(set(places))


def test_features_that_training_sees_do_not_change_with_the_bars_of_the_test():
    """With recursive indicators computed once over all bars: their warm-up leaves less than 1e-8 of a changed bar."""
    bars = synthetic_bars("realistic", assets=("BTC", "ETH"), bars=6_000, seed=3)
    features, lookback, episode = FeatureSet(SETS["default"], 3600), 8, 24
    spec = spec_of([6_000], features.warmup)
    before = features.compute(bars)
    spread = np.nanstd(before, axis=(0, 1))
    walk = np.exp(np.cumsum(np.random.default_rng(4).normal(0, 0.02, (6_000, 2)), axis=0))
    for fold in folds_of(cpcv(4, 2), spec, lookback, episode, 6_000).folds:
        tested = np.zeros((6_000, 1), bool)
        tested[bars_in(fold.test)] = True
        prices = {name: getattr(bars, name) * np.where(tested, walk, 1) for name in ("open", "high", "low", "close")}
        changed = dataclasses.replace(bars, **prices, volume=bars.volume * np.where(tested, 7.0, 1.0))
        difference = np.abs(features.compute(changed) - before) / spread
        starts, chosen = train_starts(spec, fold, lookback, episode), selection_rows(spec, fold, lookback)
        seen = [
            (starts[:, None] + np.arange(1 - lookback, episode + 1)).ravel(),
            (chosen[:, None] + np.arange(1 - lookback, 1)).ravel(),
            np.flatnonzero(normaliser_rows(spec, fold)),
        ]
        assert difference[np.unique(np.concatenate(seen))].max() < 1e-8
        assert np.nanmax(difference[bars_in(fold.test)]) > 0.1


def test_neighbouring_test_groups_are_one_block():
    folds = folds_of(cpcv(4, 2), spec_of([80], 2), 3, 4, 80)
    assert [[span[1:] for span in fold.test] for fold in folds.folds] == [
        [(0, 40)],
        [(0, 20), (40, 60)],
        [(0, 20), (60, 80)],
        [(20, 60)],
        [(20, 40), (60, 80)],
        [(40, 80)],
    ]
    assert folds.paths == ((0, 0, 1, 2), (1, 3, 3, 4), (2, 4, 5, 5))


def test_purge_and_embargo_follow_from_warmup_lookback_and_episode():
    spec = spec_of([500], 30)
    fold = folds_of(kfold(5, selection=0.1), spec, 8, 16, 500).folds[1]
    assert [span[1:] for span in (*fold.train, *fold.selection)] == [(0, 100), (200, 460), (460, 500)]
    np.testing.assert_array_equal(train_starts(spec, fold, 8, 16), [*range(30 + 7, 100 - 16), *range(200 + 30 + 7, 460 - 16)])
    np.testing.assert_array_equal(selection_rows(spec, fold, 8), range(459, 499))
    np.testing.assert_array_equal(block_rows(spec, fold.test[0], 8), range(99, 199))


def test_a_rolling_walk_keeps_the_length_of_its_first_training_span():
    spec = spec_of([200], 1)
    for window, begins in (("anchored", [0, 0, 0, 0]), ("rolling", [0, 25, 50, 75])):
        folds = folds_of(walk_forward(4, 0.5, window), spec, 2, 3, 200).folds
        assert [fold.train[0].start for fold in folds] == begins
        assert [fold.selection[-1].stop for fold in folds] == [100, 125, 150, 175]


NO_TEST = "has no bar to test: each segment takes 5 bars of warm-up, 4 of look-back and one to be marked at"
NO_EPISODE = "one takes 5 bars of warm-up, 4 of look-back and 20 of env.episode_bars within one run and segment"
NO_CHOICE = "has no bar to choose a checkpoint on in the"


@pytest.mark.parametrize(
    ("config", "bars", "stop", "said"),
    [
        (cpcv(), [40], 41, ["the rows to split end at 41; there are 40"]),
        (cpcv(), [40], 40, ["group 0 of 6, rows 0 to 7", NO_TEST]),
        (kfold(2), [70, *[4] * 20], 150, ["group 1 of 2, rows 75 to 150", NO_TEST]),
        (walk_forward(5, 0.999), [200], 200, ["group 0 of 5, rows 200 to 200", NO_TEST]),
        (holdout(0.1), [300], 300, ["fold 0, tested on rows 30 to 300, has no episode to train on in 26 bars", NO_EPISODE]),
        (cpcv(6, 5), [150], 150, ["fold 0, tested on rows 0 to 125, has no episode to train on in 21 bars"]),
        (kfold(2), [30, 30], 60, ["fold 0, tested on rows 0 to 30, has no episode to train on in 26 bars"]),
        (
            kfold(3, embargo=90),
            [300],
            300,
            ["fold 1, tested", "17 bars in runs of 10, 7", "validation.embargo takes 90 on either side of a test"],
        ),
        (kfold(3, embargo=500), [300], 300, ["fold 0, tested", "in 0 bars", "validation.embargo takes 500 on either side"]),
        (kfold(5, selection=0.001), [300], 300, [NO_CHOICE, "0 bars that validation.selection, 0.001, leaves for it"]),
        (kfold(5, embargo=55, selection=0.03), [300], 300, ["fold 3, tested on rows 180 to 240", NO_CHOICE, "4 bars"]),
    ],
)
def test_folds_that_cannot_be_are_refused_with_the_numbers(config, bars, stop, said):
    with pytest.raises(InputError) as caught:
        folds_of(config, spec_of(bars, 5), 4, 20, stop)
    assert [part for part in said if part not in str(caught.value)] == []

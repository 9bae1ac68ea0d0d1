"""Folds of a market's rows: hold-out, walk-forward, purged k-fold and combinatorial purged cross-validation, one interface.

Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 and 12. Two rules replace a purge and an embargo of given
lengths:

- A run of training bars is all that training may read. A row decides only if its whole window lies in one run: from its own bar back
  over the look-back and, before that, the features' warm-up. An episode's last bar, at which the value is bootstrapped, lies in it too.
  So behind a test block as many rows fall out as warm-up and look-back take (the embargo), and before one as many as an episode has bars
  (the purge). Checkpoints are chosen under the same rule, so a fold's policy is a function of bars outside its test blocks.
- A test block holds the returns of its own bars. The return of bar t is that of the step decided at the close of t - 1: it belongs to
  the block of t, so neighbouring blocks share no step and lose none, and nothing behind a block is read to test it: its embargo needs no
  horizon on top. To decide, a test may read anything that lies before it.

Features are computed once over all bars, recursive ones too. What a row reads is its declared warm-up: the bars after which a feature
from these alone equals the one from the whole history (`FeatureSet.compute` says how closely), so what lies further back has no say.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from cappuccino.config.validation import (
    CPCVConfig,
    HoldoutConfig,
    PurgedKFoldConfig,
    ValidationConfig,
    WalkForwardConfig,
)
from cappuccino.errors import InputError
from cappuccino.evaluation.splits import Span
from cappuccino.market import MarketSpec


class Fold(NamedTuple):
    """One training and what it is tested on. Spans of market rows in order of time; no bar is in two of them.

    train: runs of bars that training may read at all, each an island. selection: bars on whose returns the fold's checkpoint is chosen,
    the last that training could have had. test: blocks, neighbours merged, each an episode of its own.
    """

    name: str
    train: tuple[Span, ...]
    selection: tuple[Span, ...]
    test: tuple[Span, ...]


class Folds(NamedTuple):
    """folds: F of them. groups: G spans in order of time that share no bar; together, what is tested.

    paths: P paths of G entries. Entry j of a path is the index of the fold that tests group j on it: on path i the i-th fold to do so.
    A path is made of returns, not of one account: in a fold an account lives on from group to neighbour, between folds not.
    """

    folds: tuple[Fold, ...]
    groups: tuple[Span, ...]
    paths: tuple[tuple[int, ...], ...]


def folds_of(config: ValidationConfig, spec: MarketSpec, lookback: int, episode_bars: int, stop: int) -> Folds:
    """Split the rows [0, stop) of a market; what lies behind them stays unread.

    Groups are contiguous, equal in length or one longer, the longer first. CPCV has C(groups, test_groups) folds and
    C(groups - 1, test_groups - 1) paths, the others one path. `config.embargo` bars on either side of a test block are left out of
    training, beyond what the rules above do.

    Raises InputError where `stop` is outside the market, a group has no step to test, or a fold no episode of `episode_bars` bars to
    train on or no step to choose a checkpoint on.
    """
    if not 0 < stop <= len(spec.timestamps):
        raise InputError(f"the rows to split end at {stop}; there are {len(spec.timestamps)}")
    groups, plans = _plan(config, stop)
    for group in groups:
        if len(block_rows(spec, group, lookback)) == 0:
            raise InputError(
                f"{group.name} of {len(groups)}, rows {group.start} to {group.stop}, has no bar to test: each segment takes "
                f"{spec.warmup} bars of warm-up, {lookback} of look-back and one to be marked at; give more bars or fewer groups"
            )
    folds = tuple(_fold(f"fold {i}", config, stop, *plan) for i, plan in enumerate(plans))
    for fold in folds:
        _check(config, spec, fold, lookback, episode_bars)
    tests = [[i for i, (_, tested) in enumerate(plans) if group in tested] for group in groups]
    return Folds(folds, groups, tuple(zip(*tests, strict=True)))


def train_starts(spec: MarketSpec, fold: Fold, lookback: int, episode_bars: int) -> Int[np.ndarray, "N"]:
    """Rows at which a training episode may begin: all that it reads lies in one run of training bars."""
    return np.concatenate(
        [spec.episode_rows(run.start + _memory(spec, lookback), run.stop, lookback, episode_bars) for run in fold.train]
    )


def normaliser_rows(spec: MarketSpec, fold: Fold) -> Bool[np.ndarray, "T"]:
    """Whether a row's features, warm-up included, read nothing but one run of training bars."""
    rows = np.zeros(len(spec.valid), bool)
    for run in fold.train:
        rows[run.start + spec.warmup : run.stop] = True
    return rows & spec.valid


def selection_rows(spec: MarketSpec, fold: Fold, lookback: int) -> Int[np.ndarray, "N"]:
    """Rows that decide for the returns of the selection bars, as `block_rows`; they may read back into training, not into a test."""
    begins = {run.stop: run.start for run in fold.train}
    rows = []
    for span in fold.selection:
        first = begins.get(span.start, span.start) + _memory(spec, lookback)
        rows.append(spec.episode_rows(max(span.start - 1, first), span.stop, lookback, 1))
    return np.concatenate(rows)


def block_rows(spec: MarketSpec, block: Span, lookback: int) -> Int[np.ndarray, "N"]:
    """Rows that decide for the returns of a block's or a group's bars: t with t + 1 in it.

    Where a row does not follow on the one before (a hole in the data and the warm-up behind it) an episode begins. The rows of groups
    side by side are those of the groups as one, each in exactly one group.
    """
    return spec.episode_rows(max(block.start - 1, 0), block.stop, lookback, 1)


def fold_rows(spec: MarketSpec, fold: Fold, lookback: int) -> Int[np.ndarray, "N"]:
    """`block_rows` of all blocks of a fold. Between blocks lies at least a bar, so each begins an episode."""
    return np.concatenate([block_rows(spec, block, lookback) for block in fold.test])


def _memory(spec: MarketSpec, lookback: int) -> int:
    """Bars that a decision reads before its own."""
    return spec.warmup + lookback - 1


def _plan(config: ValidationConfig, stop: int) -> tuple[tuple[Span, ...], list[tuple[Span, tuple[Span, ...]]]]:
    """The groups, and for each fold the rows within which it trains and the groups that it tests."""
    if isinstance(config, CPCVConfig | PurgedKFoldConfig):
        groups, chosen = _groups(0, stop, config.groups), config.test_groups if isinstance(config, CPCVConfig) else 1
        return groups, [(Span("within", 0, stop), tested) for tested in itertools.combinations(groups, chosen)]
    assert isinstance(config, HoldoutConfig | WalkForwardConfig)
    first = round(config.train * stop)
    groups = _groups(first, stop, config.folds if isinstance(config, WalkForwardConfig) else 1)
    rolling = isinstance(config, WalkForwardConfig) and config.window == "rolling"
    return groups, [(Span("within", group.start - first if rolling else 0, group.start), (group,)) for group in groups]


def _groups(start: int, stop: int, number: int) -> tuple[Span, ...]:
    size, longer = divmod(stop - start, number)
    edges = [start + i * size + min(i, longer) for i in range(number + 1)]
    return tuple(Span(f"group {i}", a, b) for i, (a, b) in enumerate(itertools.pairwise(edges)))


def _fold(name: str, config: ValidationConfig, stop: int, within: Span, tested: tuple[Span, ...]) -> Fold:
    test, apart, readable = np.zeros((3, stop), bool)
    for group in tested:
        test[group.start : group.stop] = True
        apart[max(group.start - config.embargo, 0) : group.stop + config.embargo] = True
    readable[within.start : within.stop] = True
    bars = np.flatnonzero(readable & ~apart)
    kept = len(bars) - round(config.selection * len(bars))
    train, selection = np.zeros((2, stop), bool)
    train[bars[:kept]] = True
    selection[bars[kept:]] = True
    return Fold(name, _runs("train", train), _runs("selection", selection), _runs("test", test))


def _runs(name: str, rows: Bool[np.ndarray, "N"]) -> tuple[Span, ...]:
    """Maximal spans of rows that are true."""
    edges = np.flatnonzero(np.diff(rows, prepend=False, append=False))
    return tuple(Span(name, int(a), int(b)) for a, b in edges.reshape(-1, 2))


def _check(config: ValidationConfig, spec: MarketSpec, fold: Fold, lookback: int, episode_bars: int) -> None:
    def bars(spans: tuple[Span, ...]) -> str:
        lengths = [span.stop - span.start for span in spans]
        return f"{sum(lengths)} bars" + (f" in runs of {', '.join(map(str, lengths))}" if len(lengths) > 1 else "")

    where = f"{fold.name}, tested on rows {', '.join(f'{block.start} to {block.stop}' for block in fold.test)},"
    takes = f"{spec.warmup} bars of warm-up, {lookback} of look-back and"
    embargo = f", validation.embargo takes {config.embargo} on either side of a test block" if config.embargo else ""
    more = f"{embargo}; give more bars or less of these"
    if not fold.train or len(train_starts(spec, fold, lookback, episode_bars)) == 0:
        raise InputError(
            f"{where} has no episode to train on in {bars(fold.train)}: one takes {takes} {episode_bars} of env.episode_bars within "
            f"one run and segment{more}"
        )
    if not fold.selection or len(selection_rows(spec, fold, lookback)) == 0:
        raise InputError(
            f"{where} has no bar to choose a checkpoint on in the {bars(fold.selection)} that validation.selection, {config.selection}, "
            f"leaves for it: one takes {takes} one to be marked at{more}"
        )

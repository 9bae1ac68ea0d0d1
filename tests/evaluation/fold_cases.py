"""Random settings of folds, and what every row reads, in plain words and bar by bar."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st

from cappuccino.bars import Origin
from cappuccino.config import CPCVConfig, HoldoutConfig, PurgedKFoldConfig, ValidationConfig, WalkForwardConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.folds import Folds, folds_of
from cappuccino.evaluation.splits import Span
from cappuccino.market import MarketSpec

PROPERTY = settings(max_examples=100, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def spec_of(lengths: list[int], warmup: int) -> MarketSpec:
    """Hourly bars in segments of the given lengths, ten hours apart."""
    index = np.concatenate([np.arange(length) for length in lengths])
    segment = np.repeat(np.arange(len(lengths)), lengths)
    return MarketSpec(
        assets=("BTC",),
        feature_names=("x",),
        bar_seconds=3600,
        warmup=warmup,
        timestamps=3600 * (np.arange(len(index)) + 9 * segment),
        segment=segment,
        valid=index >= warmup,
        origin=Origin("synthetic", "none", "USD"),
        fingerprint="",
    )


def cpcv(groups: int = 6, test_groups: int = 2, embargo: int = 0, selection: float = 0.15) -> CPCVConfig:
    return CPCVConfig(name="cpcv", embargo=embargo, selection=selection, groups=groups, test_groups=test_groups)


def kfold(groups: int = 5, embargo: int = 0, selection: float = 0.15) -> PurgedKFoldConfig:
    return PurgedKFoldConfig(name="kfold_purged", embargo=embargo, selection=selection, groups=groups)


def walk_forward(
    folds: int = 5, train: float = 0.5, window: str = "anchored", embargo: int = 0, selection: float = 0.15
) -> WalkForwardConfig:
    return WalkForwardConfig(name="walk_forward", embargo=embargo, selection=selection, folds=folds, window=window, train=train)


def holdout(train: float = 0.85, embargo: int = 0, selection: float = 0.15) -> HoldoutConfig:
    return HoldoutConfig(name="holdout", embargo=embargo, selection=selection, train=train)


def bars_in(spans: tuple[Span, ...]) -> list[int]:
    return [bar for span in spans for bar in range(span.start, span.stop)]


@dataclasses.dataclass
class Setting:
    """What `folds_of` is asked. `features`, `windows`, `steps` and `episodes`: the bars that each row reads, by definition, or
    None where the data or their segment end before."""

    configured: Callable[[], ValidationConfig]
    lengths: list[int]
    warmup: int
    lookback: int
    episode: int
    stop: int

    @functools.cached_property
    def config(self) -> ValidationConfig:
        return self.configured()

    @functools.cached_property
    def spec(self) -> MarketSpec:
        return spec_of(self.lengths, self.warmup)

    def folds(self) -> Folds:
        return folds_of(self.config, self.spec, self.lookback, self.episode, self.stop)

    @functools.cached_property
    def features(self) -> list[set[int] | None]:
        """A row's features read its warm-up and itself."""
        return [self._if_there(range(row - self.warmup, row + 1)) for row in range(len(self.spec.valid))]

    @functools.cached_property
    def windows(self) -> list[set[int] | None]:
        """To decide is to read the features of the rows of the look-back."""
        return [self._joined(self.features, range(row + 1 - self.lookback, row + 1)) for row in range(len(self.spec.valid))]

    @functools.cached_property
    def steps(self) -> list[set[int] | None]:
        """A step decides, and is filled and marked in the bar after."""
        return [None if window is None else self._if_there({*window, row + 1}) for row, window in enumerate(self.windows)]

    @functools.cached_property
    def episodes(self) -> list[set[int] | None]:
        """An episode is so many steps, and the window at its end, whose value is bootstrapped."""
        found = []
        for row in range(len(self.spec.valid)):
            steps = self._joined(self.steps, range(row, row + self.episode))
            end = self._joined(self.windows, range(row + self.episode, row + self.episode + 1))
            found.append(None if steps is None or end is None else steps | end)
        return found

    def _if_there(self, bars: Any) -> set[int] | None:
        there = min(bars) >= 0 and max(bars) < len(self.spec.segment)
        return set(bars) if there and len({int(self.spec.segment[bar]) for bar in bars}) == 1 else None

    def _joined(self, parts: list[set[int] | None], rows: range) -> set[int] | None:
        if rows.start < 0 or rows.stop > len(parts):
            return None
        read: set[int] = set()
        for row in rows:
            part = parts[row]
            if part is None:
                return None
            read |= part
        return self._if_there(read)

    def groups(self) -> list[list[int]]:
        config, bars = self.config, np.arange(self.stop)
        if isinstance(config, CPCVConfig | PurgedKFoldConfig):
            return [part.tolist() for part in np.array_split(bars, config.groups)]
        first = round(config.train * self.stop)
        return [part.tolist() for part in np.array_split(bars[first:], getattr(config, "folds", 1))]

    def tested(self) -> list[set[int]]:
        """The bars that each fold tests."""
        number = getattr(self.config, "test_groups", 1)
        return [set().union(*chosen) for chosen in itertools.combinations(self.groups(), number)]

    def near(self, tested: set[int]) -> set[int]:
        """The bars tested, and the embargo on either side."""
        gap = self.config.embargo
        return {bar + step for bar in tested for step in range(-gap, gap + 1)}

    def readable(self, tested: set[int]) -> tuple[set[int], set[int]]:
        """The bars that a fold's training may read, and the last of all, held back for choosing checkpoints."""
        config, bars = self.config, set(range(self.stop)) - self.near(tested)
        if isinstance(config, HoldoutConfig | WalkForwardConfig):
            bars = {bar for bar in bars if bar < min(tested)}
        if isinstance(config, WalkForwardConfig) and config.window == "rolling":
            bars = {bar for bar in bars if bar >= min(tested) - round(config.train * self.stop)}
        last = set(sorted(bars)[len(bars) - round(config.selection * len(bars)) :])
        return bars - last, last


def later(config: Any, *values: Any) -> st.SearchStrategy[Callable[[], ValidationConfig]]:
    """A configuration to be made in the test: beartype draws random numbers, which a strategy must not."""
    return st.builds(functools.partial, st.just(config), *values)


held_back, embargoes, shares = st.floats(0.1, 0.4), st.integers(0, 6), st.floats(0.3, 0.8)
configs = st.one_of(
    later(holdout, shares, embargoes, held_back),
    later(walk_forward, st.integers(1, 4), shares, st.sampled_from(["anchored", "rolling"]), embargoes, held_back),
    later(kfold, st.integers(2, 5), embargoes, held_back),
    st.integers(2, 5).flatmap(lambda n: later(cpcv, st.just(n), st.integers(1, n - 1), embargoes, held_back)),
)


@st.composite
def settings_of(draw: Any) -> Setting:
    """Up to four segments, of which some may be too short for anything, and rows left over behind those that are split."""
    lengths = draw(st.lists(st.integers(1, 20) | st.integers(60, 150), min_size=1, max_size=4))
    stop = draw(st.integers(sum(lengths) // 2 + 1, sum(lengths)))
    return Setting(draw(configs), lengths, draw(st.integers(0, 7)), draw(st.integers(1, 4)), draw(st.integers(1, 7)), stop)


def folds_or_reject(setting: Setting) -> Folds:
    """The folds of an example that has some."""
    try:
        return setting.folds()
    except InputError:
        reject()

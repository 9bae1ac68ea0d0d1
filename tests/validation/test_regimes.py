"""Regimes: told from the past alone, and parts of a whole."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars import Origin
from cappuccino.market import MarketSpec
from cappuccino.validation.regimes import TERCILES, TREND, UNKNOWN, VOLATILITY, YEAR, regime_labels, regimes

DAY = 86_400
START = 1_590_969_600
"""2020-06-01 00:00 UTC."""
LOOK_BACK = 21
"""Bars of a day in three weeks."""


def spec_of(lengths: list[int]) -> MarketSpec:
    """Daily bars in segments of the given lengths, ten days apart."""
    segment = np.repeat(np.arange(len(lengths)), lengths)
    bars = len(segment)
    return MarketSpec(
        assets=("BTC", "ETH"),
        feature_names=("x",),
        bar_seconds=DAY,
        warmup=0,
        timestamps=START + DAY * (np.arange(bars) + 9 * segment),
        segment=segment,
        valid=np.ones(bars, bool),
        origin=Origin("synthetic", "none", "USD"),
        fingerprint="",
    )


def closes(bars: int, seed: int) -> np.ndarray:
    """Two assets whose moves grow and shrink."""
    rng = np.random.default_rng(seed)
    moves = rng.normal(0, 0.02, (bars, 2)) * (1.5 + np.sin(np.arange(bars) / 17))[:, None]
    return 100 * np.exp(np.cumsum(moves, axis=0))


markets = st.tuples(st.lists(st.integers(2, 90), min_size=1, max_size=3), st.integers(0, 2**32 - 1)).filter(
    lambda m: sum(m[0]) > 30
)


def slow_labels(close: np.ndarray, spec: MarketSpec, row: int) -> tuple[str, str]:
    """Volatility's and trend's, with what lies up to the row and plain loops."""
    kept: dict[str, list[tuple[int, float]]] = {VOLATILITY: [], TREND: []}
    for end in range(row + 1):
        first = end - LOOK_BACK
        if first < 0 or spec.segment[first] != spec.segment[end]:
            continue
        growth = [
            math.log(sum(close[t, a] / close[t - 1, a] for a in range(close.shape[1])) / close.shape[1])
            for t in range(first + 1, end + 1)
        ]
        mean = sum(growth) / len(growth)
        kept[VOLATILITY].append((end, math.sqrt(sum((g - mean) ** 2 for g in growth) / (len(growth) - 1))))
        kept[TREND].append((end, sum(growth)))
    labels = []
    for kind, values in kept.items():
        if len(values) < LOOK_BACK or values[-1][0] != row:
            labels.append(UNKNOWN)
            continue
        rank = sum(value <= values[-1][1] for _, value in values)
        labels.append(TERCILES[kind][math.ceil(3 * rank / len(values)) - 1])
    return labels[0], labels[1]


@given(markets)
@settings(max_examples=15)
def test_labels_are_those_of_plain_loops(market):
    lengths, seed = market
    spec, close = spec_of(lengths), closes(sum(lengths), seed)
    rows = np.arange(len(close) - 1)
    found = regime_labels(close, spec, rows)
    for row in range(0, len(rows), 7):
        assert (found[VOLATILITY][row], found[TREND][row]) == slow_labels(close, spec, row)


@given(markets, st.data())
@settings(max_examples=30)
def test_later_bars_do_not_move_earlier_labels(market, data):
    lengths, seed = market
    spec, close = spec_of(lengths), closes(sum(lengths), seed)
    rows = np.arange(len(close) - 1)
    row = data.draw(st.integers(0, len(rows) - 1))
    changed = close.copy()
    changed[row + 1 :] *= np.random.default_rng(seed).uniform(0.2, 5, changed[row + 1 :].shape)
    before, after = regime_labels(close, spec, rows), regime_labels(changed, spec, rows)
    cut = dataclasses.replace(
        spec, timestamps=spec.timestamps[: row + 2], segment=spec.segment[: row + 2], valid=spec.valid[: row + 2]
    )
    alone = regime_labels(close[: row + 2], cut, rows[: row + 1])
    for kind, labels in before.items():
        assert labels[: row + 1] == after[kind][: row + 1] == alone[kind]


@given(markets, st.data())
@settings(max_examples=30)
def test_parts_add_up_to_the_whole(market, data):
    lengths, seed = market
    spec, close = spec_of(lengths), closes(sum(lengths), seed)
    chosen = data.draw(st.lists(st.integers(0, len(close) - 2), min_size=1, unique=True))
    rows, rng = np.array(sorted(chosen)), np.random.default_rng(seed)
    growth = {name: rng.normal(0, 0.01, len(rows)) for name in ("agent", "cash")}
    found = regimes(regime_labels(close, spec, rows), growth)
    assert list(found) == [YEAR, VOLATILITY, TREND]
    for parts in found.values():
        assert sum(regime.bars for regime in parts.values()) == len(rows)
        for name, series in growth.items():
            assert math.isclose(sum(regime.growth[name] for regime in parts.values()), series.sum(), abs_tol=1e-12)


def test_every_regime_occurs_in_a_long_market_and_years_are_those_of_the_bars_that_open_in_them():
    spec, close = spec_of([900]), closes(900, seed=3)
    rows = np.arange(899)
    found = regimes(regime_labels(close, spec, rows), {"agent": np.ones(899)})
    assert list(found[VOLATILITY]) == [*TERCILES[VOLATILITY], UNKNOWN]
    assert list(found[TREND]) == [*TERCILES[TREND], UNKNOWN]
    assert {name: regime.bars for name, regime in found[YEAR].items()} == {"2020": 213, "2021": 365, "2022": 321}
    assert found[TREND][UNKNOWN].bars == 2 * LOOK_BACK - 1
    assert all(regime.growth["agent"] == regime.bars for parts in found.values() for regime in parts.values())

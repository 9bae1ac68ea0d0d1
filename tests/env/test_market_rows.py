"""The rows of a market at which one can decide or begin an episode, and the windows read there."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cappuccino.bars import BarTable, Origin
from cappuccino.errors import InputError
from cappuccino.features import FeatureSet
from cappuccino.market import MarketSpec, build_market, windows

PROPERTY = settings(max_examples=80, deadline=None)


def spec_of(lengths: list[int], warmup: int) -> MarketSpec:
    """A specification of hourly bars in segments of the given lengths, ten hours apart."""
    index = np.concatenate([np.arange(n) for n in lengths])
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


MOST_BARS = 100
compiled_windows = jax.jit(windows, static_argnums=2)
shapes = st.tuples(st.lists(st.integers(1, 25), min_size=1, max_size=4), st.integers(0, 9))


@given(shape=shapes, cut=st.tuples(st.floats(0, 1), st.floats(0, 1)), lookback=st.integers(1, 6), episode=st.integers(1, 8))
@PROPERTY
def test_decision_and_start_rows_equal_a_plain_search(shape, cut, lookback, episode):
    spec = spec_of(*shape)
    rows = len(spec.valid)
    start, stop = sorted(round(x * rows) for x in cut)

    def can_decide(t):
        return all(u >= 0 and spec.valid[u] and spec.segment[u] == spec.segment[t] for u in range(t - lookback + 1, t + 1))

    def can_begin(s):
        return s + episode < stop and all(
            can_decide(t) and spec.segment[t] == spec.segment[s] for t in range(s, s + episode + 1)
        )

    assert spec.decision_rows(start, stop, lookback).tolist() == [t for t in range(start, stop) if can_decide(t)]
    begin = [s for s in range(start, stop) if can_begin(s)]
    if begin:
        assert spec.start_rows(start, stop, lookback, episode).tolist() == begin
    else:
        with pytest.raises(InputError, match=f"episode of {episode} bars"):
            spec.start_rows(start, stop, lookback, episode)


@given(shape=shapes, lookback=st.sampled_from([1, 4]))
@PROPERTY
def test_a_window_read_at_a_decision_row_is_finite_ordered_and_ends_there(shape, lookback):
    spec = spec_of(*shape)
    rows = spec.decision_rows(0, len(spec.valid), lookback)
    assume(len(rows) > 0)
    values = np.full((MOST_BARS, 1, 1), np.nan, np.float32)
    values[: len(spec.valid), 0, 0] = np.where(spec.valid, spec.timestamps, np.nan)
    ticks = np.resize(rows, MOST_BARS)  # one shape for all examples, so that it compiles once
    read = np.asarray(compiled_windows(jnp.asarray(values), jnp.asarray(ticks), lookback))[: len(rows)]
    assert read.shape == (len(rows), lookback, 1, 1)
    np.testing.assert_array_equal(read[:, -1, 0, 0], spec.timestamps[rows])
    np.testing.assert_array_equal(np.diff(read[:, :, 0, 0], axis=1), np.full((len(rows), lookback - 1), spec.bar_seconds))


@given(shape=shapes, ahead=st.integers(-5, 5))
@PROPERTY
def test_row_at_is_the_first_bar_not_before_the_time(shape, ahead):
    spec = spec_of(*shape)
    for row in range(len(spec.valid)):
        time = int(spec.timestamps[row]) + ahead
        later = [r for r, stamp in enumerate(spec.timestamps) if stamp >= time]
        assert spec.row_at(time) == (later[0] if later else len(spec.timestamps))


def two_segments(*, rows: int = 420, seam: int = 200) -> BarTable:
    """Bars of two assets in two segments; the second asset lacks two bars, filled as the table asks."""
    rng = np.random.default_rng(0)
    mask = np.ones((rows, 2), bool)
    mask[[5, rows - 20], 1] = False
    steps = np.where(mask, rng.normal(0, 0.01, (rows, 2)), 0.0)
    close = 100 * np.exp(np.cumsum(steps, axis=0))
    opening = close / np.exp(steps)
    segment = (np.arange(rows) >= seam).astype(np.int64)
    return BarTable(
        assets=("BTC", "ETH"),
        bar_seconds=3600,
        timestamps=3600 * (np.arange(rows) + 9 * segment),
        open=opening,
        high=np.maximum(opening, close),
        low=np.minimum(opening, close),
        close=close,
        volume=np.where(mask, rng.uniform(1, 2, (rows, 2)), 0.0),
        mask=mask,
        segment=segment,
        origin=Origin("synthetic", "none", "USD"),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_market_holds_the_bars_their_mask_and_features_only_past_the_warmup(dtype):
    bars, features = two_segments(), FeatureSet(("return_1", "hour_sin"), 3600)
    with jax.enable_x64(dtype is np.float64):
        market, spec = build_market(bars, features, dtype=dtype)
    index = np.concatenate([np.arange(200), np.arange(220)])
    np.testing.assert_array_equal(spec.valid, index >= features.warmup)
    np.testing.assert_array_equal(
        np.isfinite(market.features), np.broadcast_to(spec.valid[:, None, None], market.features.shape)
    )
    np.testing.assert_array_equal(market.tradable, bars.mask)
    for name in ("open", "close"):
        assert getattr(market, name).dtype == dtype
        np.testing.assert_array_equal(getattr(market, name), getattr(bars, name).astype(dtype))
    assert (spec.assets, spec.feature_names, spec.warmup) == (bars.assets, features.names, features.warmup)


def test_a_market_has_the_fingerprint_of_its_bars_mask_and_features():
    bars, names = two_segments(), ("return_1", "hour_sin")

    def print_of(table, names=names):
        return build_market(table, FeatureSet(names, 3600))[1].fingerprint

    assert print_of(bars) == print_of(two_segments())
    hidden = bars.mask.copy()
    hidden[7, 0] = False
    others = [
        print_of(dataclasses.replace(bars, volume=bars.volume + 1e-9)),
        print_of(dataclasses.replace(bars, mask=hidden)),
        print_of(bars, names[::-1]),
    ]
    assert len({print_of(bars), *others}) == 4


def test_too_few_bars_for_the_warmup_are_refused():
    with pytest.raises(InputError, match="warm-up"):
        build_market(two_segments(rows=300, seam=150), FeatureSet(("return_1", "hour_sin"), 3600))

"""Another future leaves the past as it was, is a market of its own, and differs from the one that came."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from walks import random_walk

from cappuccino.bars.table import FIELDS
from cappuccino.features.futures import FUTURES

ROWS = 700


@pytest.mark.parametrize("name", FUTURES)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, ROWS - 2), lengths=st.sampled_from([(), (300, 400)]))
@settings(max_examples=20)
def test_the_past_stays_and_what_comes_is_a_valid_table_of_the_same_clock(name, seed, cut, lengths):
    bars = random_walk(ROWS, seed=seed, assets=2, lengths=lengths)
    other = FUTURES[name].replace(bars, cut, np.random.default_rng(seed))  # a table checks itself
    rows = len(other)
    assert rows == (cut + 1 if name == "removed" else ROWS)
    for field in (*FIELDS, "mask", "timestamps", "segment"):
        np.testing.assert_array_equal(getattr(other, field)[: cut + 1], getattr(bars, field)[: cut + 1], err_msg=field)
    for field in ("mask", "timestamps", "segment"):
        np.testing.assert_array_equal(getattr(other, field), getattr(bars, field)[:rows], err_msg=field)


@pytest.mark.parametrize("name", ["noise", "scaled", "permuted"])
def test_every_field_of_almost_every_bar_behind_the_cut_is_another(name):
    bars, cut = random_walk(ROWS, seed=1, rough=False), 100
    other = FUTURES[name].replace(bars, cut, np.random.default_rng(2))
    for field in FIELDS:
        changed = getattr(other, field)[cut + 1 :] != getattr(bars, field)[cut + 1 :]
        assert changed.mean() > 0.95, field


def test_bars_without_volume_get_some_in_noise():
    bars = random_walk(1_500, seed=3)
    assert (bars.volume[101:] == 0).any()
    assert (FUTURES["noise"].replace(bars, 100, np.random.default_rng(4)).volume[101:] > 0).all()

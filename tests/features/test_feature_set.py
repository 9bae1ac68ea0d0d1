"""Feature sets: their names, their rows, and the refusal of features that say nothing."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from walks import random_walk

from cappuccino.errors import InputError
from cappuccino.features import INDICATORS, SETS, FeatureSet, check_features, valid_rows


@pytest.mark.parametrize("name", tuple(SETS))
def test_named_sets_say_something_of_every_asset(name):
    features = FeatureSet(SETS[name], 3600)
    bars = random_walk(features.warmup + 600, seed=1)
    values = features.compute(bars)
    assert values.shape == (len(bars), 3, len(SETS[name]))
    assert values.dtype == np.float64
    check_features(values, features.names, bars.assets, valid_rows(bars, features.warmup))


def test_price_only_reads_no_volume():
    bars, features = random_walk(700, seed=2), FeatureSet(SETS["price_only"], 3600)
    other = random_walk(700, seed=3).volume
    changed = type(bars)(**{**vars(bars), "volume": other})
    np.testing.assert_array_equal(features.compute(bars), features.compute(changed))


def test_warmup_is_the_longest_and_rows_before_it_are_nan():
    features = FeatureSet(("cci_20", "return_24"), 3600)
    assert features.warmup == INDICATORS["return_24"].warmup == 168
    values = features.compute(random_walk(400, seed=4))
    assert np.isnan(values[:168]).all()
    assert np.isfinite(values[168:]).all()


def test_a_segment_is_computed_as_if_it_were_alone():
    lengths = (700, 100, 800)
    bars, features = random_walk(1_600, seed=5, lengths=lengths), FeatureSet(SETS["default"], 3600)
    values, valid = features.compute(bars), valid_rows(bars, features.warmup)
    starts = np.cumsum([0, *lengths])
    for start, stop in itertools.pairwise(starts.tolist()):
        assert valid[start:stop].sum() == max(stop - start - features.warmup, 0)
        if stop - start > features.warmup:
            np.testing.assert_array_equal(values[start:stop], features.compute(bars.rows(start, stop)))
    np.testing.assert_array_equal(np.isfinite(values).all(axis=(1, 2)), valid)
    np.testing.assert_array_equal(np.isnan(values).all(axis=(1, 2)), ~valid)


def test_features_of_an_asset_do_not_depend_on_the_others():
    bars, features = random_walk(700, seed=6), FeatureSet(SETS["default"], 3600)
    values = features.compute(bars)
    np.testing.assert_array_equal(values[:, [2, 0]], features.compute(bars.select(("C2", "C0"))))


def test_order_of_features_is_that_of_the_names():
    bars = random_walk(400, seed=7)
    values = FeatureSet(("cci_20", "return_24"), 3600).compute(bars)
    np.testing.assert_array_equal(values[..., ::-1], FeatureSet(("return_24", "cci_20"), 3600).compute(bars))


def test_bad_names_are_refused_at_construction():
    with pytest.raises(InputError, match=r"no feature 'rsi14'; did you mean rsi_14"):
        FeatureSet(("rsi14",), 3600)
    with pytest.raises(InputError, match="given twice: cci_20"):
        FeatureSet(("cci_20", "rsi_14", "cci_20"), 3600)
    with pytest.raises(InputError, match="at least one feature"):
        FeatureSet((), 3600)


def test_too_few_bars_are_refused_with_numbers():
    features = FeatureSet(("return_24",), 3600)
    assert np.isfinite(features.compute(random_walk(169, seed=8, rough=False))[-1]).all()
    with pytest.raises(InputError, match=r"more than 168 bars .* the longest of 2 segments has 168"):
        features.compute(random_walk(300, seed=8, lengths=(168, 132)))


def informative(rows: int = 200) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((rows, 2, 3))


def refusal(values: np.ndarray, match: str, valid: np.ndarray | None = None) -> None:
    with pytest.raises(InputError, match=match):
        check_features(values, ("x", "y", "z"), ("BTC", "ETH"), np.ones(len(values), bool) if valid is None else valid)


def test_features_that_say_nothing_are_refused_by_name():
    values = informative()
    check_features(values, ("x", "y", "z"), ("BTC", "ETH"), np.ones(200, bool))
    values[:, 1, 2] = 0.3
    refusal(values, r"feature z of ETH is always 0\.3")
    values = informative()
    values[:, 1, 2] = 5 - 3 * values[:, 1, 0]
    refusal(values, "features x and z of ETH are the same")
    values = informative()
    values[7, 0, 1] = np.inf
    refusal(values, "feature y of BTC is inf in 1 rows")
    values[:20] = np.nan
    check_features(values, ("x", "y", "z"), ("BTC", "ETH"), np.arange(200) >= 20)
    refusal(values, "there are 2", np.arange(200) >= 198)


def test_a_feature_equal_across_assets_is_accepted():
    values = informative()
    values[:, 1] = values[:, 0]
    check_features(values, ("x", "y", "z"), ("BTC", "ETH"), np.ones(200, bool))


def test_features_import_no_jax():
    code = "import sys, cappuccino.features; sys.exit(' '.join({'jax', 'jaxlib', 'plotly'} & set(sys.modules)) or 0)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr

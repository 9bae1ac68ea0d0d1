"""The synthetic markets are what they say: realistic figures, nothing to earn, and an edge of known size."""

from __future__ import annotations

import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.bars.realistic import KNOWN
from cappuccino.bars.synthetic import KINDS, planted_drift, synthetic_bars
from cappuccino.bars.table import BarTable
from cappuccino.config import compose
from cappuccino.errors import InputError
from cappuccino.sources import hidden_drift, load_bars

SEVEN = ("AAVE", "BCH", "BTC", "ETH", "LINK", "LTC", "UNI")
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def realistic() -> list[BarTable]:
    """Three markets as long as the real one."""
    return [synthetic_bars("realistic", assets=SEVEN, bars=30_979, seed=seed) for seed in SEEDS]


def test_tables_and_synthetic_bars_need_no_pandas() -> None:
    code = "import sys, cappuccino.bars.synthetic; assert not {'pandas', 'pyarrow', 'plotly', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=pathlib.Path(__file__).parents[2])


def log_returns(table: BarTable) -> np.ndarray:
    return np.diff(np.log(table.close), axis=0)


def autocorrelation(values: np.ndarray, lag: int) -> float:
    """Mean over assets."""
    x = values - values.mean(axis=0)
    return float(((x[lag:] * x[:-lag]).mean(axis=0) / (x * x).mean(axis=0)).mean())


def test_realistic_volatility_range_gap_and_volume_follow_the_real_figures(realistic: list[BarTable]) -> None:
    volatility = np.array([1.348, 1.082, 0.701, 0.885, 1.175, 1.068, 1.277])
    spread = np.array([1.828, 1.406, 0.955, 1.178, 1.627, 1.432, 1.704])
    gap = np.array([4.1, 2.5, 0.1, 0.1, 1.8, 1.7, 3.5])
    volume = np.array([0.98, 1.06, 0.97, 0.85, 0.80, 0.85, 1.02])
    found = [
        (
            100 * log_returns(table).std(axis=0),
            100 * ((table.high - table.low) / table.close).mean(axis=0),
            1e4 * np.abs(table.open[1:] / table.close[:-1] - 1).mean(axis=0),
            np.log(table.volume).std(axis=0),
        )
        for table in realistic
    ]
    for expected, values, tolerance in zip(
        (volatility, spread, gap, volume), zip(*found, strict=True), (0.2, 0.2, 0.1, 0.2), strict=True
    ):
        np.testing.assert_allclose(np.mean(values, axis=0), expected, rtol=tolerance)


def test_realistic_returns_have_heavy_tails(realistic: list[BarTable]) -> None:
    for table in realistic:
        r = log_returns(table)
        kurtosis = ((r - r.mean(axis=0)) ** 4).mean(axis=0) / r.var(axis=0) ** 2 - 3
        assert (kurtosis > 8).all()
        assert (kurtosis < 300).all()


def test_realistic_volatility_clusters_and_returns_do_not(realistic: list[BarTable]) -> None:
    for lag, expected in ((1, 0.285), (24, 0.191), (168, 0.138)):
        found = np.mean([autocorrelation(np.abs(log_returns(table)), lag) for table in realistic])
        assert found == pytest.approx(expected, abs=0.05)
    for lag in (1, 24):
        assert abs(np.mean([autocorrelation(log_returns(table), lag) for table in realistic])) < 0.02
    assert np.mean([autocorrelation(np.log(t.volume), 1) for t in realistic]) == pytest.approx(0.78, abs=0.04)


def test_realistic_assets_move_together(realistic: list[BarTable]) -> None:
    correlation = np.mean([np.corrcoef(log_returns(table).T) for table in realistic], axis=0)
    assert correlation[np.triu_indices(7, 1)].mean() == pytest.approx(0.72, abs=0.04)
    assert correlation[2, 3] == pytest.approx(0.85, abs=0.04)


def test_realistic_drift_is_small(realistic: list[BarTable]) -> None:
    """The mean simple return of equal weights is within three standard errors of a Sharpe ratio of 0.5 a year."""
    for table in realistic:
        r = (table.close[1:] / table.close[:-1] - 1).mean(axis=1)
        sharpe = r.mean() / r.std() * math.sqrt(8760)
        assert abs(sharpe - 0.5) < 3 * math.sqrt(8760 / len(r))


def test_realistic_volatility_grows_with_the_square_root_of_the_bar() -> None:
    volatility = [
        np.mean(
            [
                log_returns(synthetic_bars("realistic", assets=SEVEN, bars=4000, bar_seconds=s, seed=seed)).std()
                for seed in SEEDS
            ]
        )
        for s in (900, 3600, 4 * 3600)
    ]
    assert volatility[1] / volatility[0] == pytest.approx(2, rel=0.25)
    assert volatility[2] / volatility[1] == pytest.approx(2, rel=0.25)


def test_other_assets_get_plausible_figures_the_same_in_any_company() -> None:
    alone = synthetic_bars("realistic", assets=("DOGE",), bars=4000, seed=1)
    among = synthetic_bars("realistic", assets=("SOL", "DOGE"), bars=4000, seed=1)
    assert "DOGE" not in KNOWN
    assert 0.006 < log_returns(alone).std() < 0.025
    assert alone.open[0, 0] == pytest.approx(among.open[0, 1])


def test_martingale_has_no_expected_simple_return() -> None:
    for seed in SEEDS:
        table = synthetic_bars("martingale", assets=SEVEN, bars=20_000, seed=seed)
        r = table.close / table.open - 1
        assert abs(r.mean()) < 3 * r.std() / math.sqrt(r.size)
        assert r.std() == pytest.approx(0.01, rel=0.02)
        rebalanced = r.mean(axis=1)
        assert abs(rebalanced.mean()) < 3 * rebalanced.std() / math.sqrt(len(r))
        assert np.abs(np.asarray(np.corrcoef(r.T))[np.triu_indices(7, 1)]).max() < 0.03
        assert abs(autocorrelation(r, 1)) < 0.01
        surprise = np.log(table.volume[:-1])
        assert abs(np.corrcoef(surprise.ravel(), r[1:].ravel())[0, 1]) < 0.01


def test_planted_drift_is_what_moves_the_next_bar_and_volume_gives_it_away() -> None:
    arguments = {"assets": SEVEN, "bars": 20_000, "seed": 4}
    table, drift = synthetic_bars("planted", **arguments), planted_drift(**arguments)
    assert drift.shape == table.close.shape
    noise = np.log(table.close / table.open)[1:] - drift[:-1]
    assert noise.std() == pytest.approx(0.01, rel=0.02)
    assert abs(np.corrcoef(noise.ravel(), drift[:-1].ravel())[0, 1]) < 0.01
    assert autocorrelation(drift, 1) == pytest.approx(0.97, abs=0.01)
    assert (drift[1:] - 0.97 * drift[:-1]).std() == pytest.approx(0.00035, rel=0.02)
    error = np.log(table.volume) - drift / 0.0015
    assert error.mean() == pytest.approx(7, abs=0.01)
    assert error.std() == pytest.approx(0.7, rel=0.02)
    assert abs(autocorrelation(error, 1)) < 0.02


@given(seed=st.integers(0, 2**32 - 1), drift=st.floats(-0.001, 0.001), bars=st.integers(2, 300))
@settings(deadline=None, max_examples=25)
def test_a_planted_market_rises_by_the_drift_that_is_set_and_volume_does_not_know(seed: int, drift: float, bars: int) -> None:
    arguments = {"assets": ("A", "B"), "bars": bars, "seed": seed}
    level, tilted = (synthetic_bars("planted", **arguments, drift=some) for some in (0.0, drift))
    np.testing.assert_allclose(log_returns(tilted), log_returns(level) + drift, atol=1e-12)
    np.testing.assert_array_equal(tilted.volume, level.volume)
    np.testing.assert_array_equal(tilted.open[1:], tilted.close[:-1])
    hidden, whole = (planted_drift(**arguments, drift=some) for some in (0.0, drift))
    np.testing.assert_allclose(whole, hidden + drift, rtol=1e-12, atol=1e-18)


def test_the_drift_that_is_configured_is_that_of_the_bars_and_of_the_oracle() -> None:
    words = ["experiment=planted", "data.bars=50", "data.train_end=null", "data.valid_end=null"]
    level, tilted = (compose("train", [*words, f"data.drift={drift}"]).data for drift in (0, 0.0004))
    np.testing.assert_allclose(log_returns(load_bars(tilted)), log_returns(load_bars(level)) + 0.0004, atol=1e-12)
    before, after = hidden_drift(level), hidden_drift(tilted)
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after, before + 0.0004, atol=1e-15)


def test_planted_drift_is_seen_through_volume_relative_to_its_recent_mean() -> None:
    arguments = {"assets": ("A", "B"), "bars": 20_000, "seed": 5}
    volume, drift = np.log(synthetic_bars("planted", **arguments).volume), planted_drift(**arguments)
    total = np.cumsum(volume, axis=0)
    relative = volume[168:] - (total[168:] - total[:-168]) / 168
    assert np.corrcoef(relative.ravel(), drift[168:].ravel())[0, 1] > 0.6


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**40), bars=st.integers(1, 60), more=st.integers(0, 60))
@settings(deadline=None, max_examples=15)
def test_a_seed_gives_one_market_and_more_bars_begin_with_the_same(kind: str, seed: int, bars: int, more: int) -> None:
    short = synthetic_bars(kind, assets=("BTC", "XYZ"), bars=bars, seed=seed)
    long = synthetic_bars(kind, assets=("BTC", "XYZ"), bars=bars + more, seed=seed)
    assert long.rows(0, bars).fingerprint() == short.fingerprint()
    assert short.fingerprint() != synthetic_bars(kind, assets=("BTC", "XYZ"), bars=bars, seed=seed + 1).fingerprint()
    assert short.mask.all()
    assert len(short.segment_slices()) == 1


@pytest.mark.parametrize("kind", ["martingale", "planted"])
def test_opens_equal_the_close_before(kind: str) -> None:
    table = synthetic_bars(kind, assets=("A", "B"), bars=500, seed=0)
    np.testing.assert_array_equal(table.open[1:], table.close[:-1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "bullish"}, "'bullish' is not known; there are realistic, martingale, planted"),
        ({"bars": 0}, "bars of a synthetic market is 0"),
        ({"bars": -3}, "bars of a synthetic market is -3"),
        ({"seed": -1}, "seed of a synthetic market is -1"),
        ({"bar_seconds": 0}, "bar_seconds of a synthetic market is 0"),
        ({"start": 1800}, "start 1800 must be a multiple of 3600 s"),
        ({"bars": 10_000_000}, "end before 2100"),
        (
            {"kind": "martingale", "drift": 1e-4},
            "drift of a synthetic market is 0.0001 and its kind 'martingale'; only a planted",
        ),
        ({"assets": ()}, "distinct assets, got none"),
        ({"assets": ("A", "A")}, "distinct assets, got A, A"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict, message: str) -> None:
    arguments = {"kind": "planted", "assets": ("A",), "bars": 5, "seed": 0} | changes
    with pytest.raises(InputError) as caught:
        synthetic_bars(arguments.pop("kind"), **arguments)
    assert message in str(caught.value)

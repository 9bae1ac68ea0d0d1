"""A stress says what single backtests of changed markets say, and its numbers can be written down."""

from __future__ import annotations

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from made_markets import LOOKBACK, made_params, made_policy

from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.config.composition import SCHEMAS, conf_dir
from cappuccino.config.stress import StressConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import LONGEST_DELAY, backtest_span, policy_strategy, span_rows, table_strategy
from cappuccino.evaluation.scenarios import bootstrapped_bars, dropped_bars
from cappuccino.evaluation.splits import Span
from cappuccino.evaluation.stress import DISTRIBUTIONS, Part, Stress, check_spans, settings_of, start_rows, stress
from cappuccino.features.registry import FeatureSet
from cappuccino.market import build_market
from cappuccino.mesh import mesh_of

FEATURES = FeatureSet(("return_1", "return_24"), 3600)
SPAN = Span("test", 250, 580)
SMALL = dict(taker_fees_bps=[0.0, 25.0], half_spreads_bps=[2.0], slippages_bps=[1.0], delays=[0, 1], draws=2, starts=5)
SMALL |= dict(horizon_bars=20, block_bars=10.0, dropped_share=0.1, crashes=2, crash_bars=4)


def config(**changed) -> StressConfig:
    """The shipped values but for a few that make it short."""
    import yaml

    shipped = yaml.safe_load((conf_dir() / "stress" / "default.yaml").read_text())
    assert shipped.pop("defaults") == ["stress_schema", "_self_"]
    return SCHEMAS["stress"]["stress"](**(shipped | changed))


def bars():
    return synthetic_bars("martingale", assets=("BTC", "ETH", "LTC"), bars=600, seed=3)


@pytest.fixture(scope="module")
def stressed() -> Stress:
    return run(config(**SMALL))


def run(small: StressConfig) -> Stress:
    strategy = policy_strategy(made_policy(), LOOKBACK)
    return stress([Part(strategy, SPAN)], bars(), FEATURES, LOOKBACK, made_params(), small, mesh_of())


def per_bar(path) -> float:
    return float(np.log(path.equity[-1] / path.equity[0]) / len(path))


def test_every_part_is_the_backtest_of_its_market(stressed):
    strategy = policy_strategy(made_policy(), LOOKBACK)

    def alone(table, span: Span, **costs) -> float:
        market, spec = build_market(table, FEATURES)
        return per_bar(backtest_span(strategy, market, spec, span, LOOKBACK, made_params(**costs)))

    np.testing.assert_allclose(stressed.plain, alone(bars(), SPAN), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(stressed.grid[0], alone(bars(), SPAN, fee=0.0), rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(stressed.grid[2], stressed.plain, rtol=1e-4, atol=1e-8)
    for draw in range(2):
        dropped = dropped_bars(bars(), share=0.1, seed=draw)
        np.testing.assert_allclose(stressed.dropped[draw], alone(dropped, SPAN), rtol=1e-5, atol=1e-9)
    spec = build_market(bars(), FEATURES)[1]
    for stamp, growth in zip(stressed.starts, stressed.by_start, strict=True):
        row = spec.row_at(int(stamp))
        one = alone(bars(), Span("one", row, row + stressed.horizon + 1))
        np.testing.assert_allclose(growth, one, rtol=1e-4, atol=1e-8)


def test_crashes_hurt_and_nothing_is_restated_without_a_size(stressed):
    assert (stressed.crashed < stressed.plain).all()
    assert (stressed.restated != stressed.plain).all()
    assert len(set(stressed.bootstrapped)) == 2
    still = run(config(**SMALL | dict(restated_size=0.0, dropped_share=0.0)))
    np.testing.assert_array_equal(still.restated, stressed.plain)
    np.testing.assert_array_equal(still.dropped, stressed.plain)


def test_delays_are_those_of_the_grid_at_the_costs_as_they_are(stressed):
    assert len(stressed.by_delay) == LONGEST_DELAY + 1
    np.testing.assert_allclose(stressed.by_delay[0], stressed.plain, rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(stressed.by_delay[:2], stressed.grid[2:], rtol=1e-4, atol=1e-8)


def test_parts_are_what_each_is_alone_weighted_by_its_bars():
    strategy = policy_strategy(made_policy(), LOOKBACK)
    spans = [Span("first", 200, 400), Span("second", 405, 598)]
    small = config(**SMALL | dict(crash_fall=1e-9, starts=6))

    def over(*some: Span) -> Stress:
        parts = [Part(strategy, span) for span in some]
        return stress(parts, bars(), FEATURES, LOOKBACK, made_params(), small, mesh_of())

    both, each = over(*spans), [over(span) for span in spans]
    spec = build_market(bars(), FEATURES)[1]
    bars_of = [len(span_rows(spec, span, LOOKBACK)) for span in spans]
    for name in ("plain", "grid", "by_delay", "dropped", "restated", "crashed"):
        expected = np.average([getattr(one, name) for one in each], axis=0, weights=bars_of)
        np.testing.assert_allclose(getattr(both, name), expected, rtol=1e-4, atol=1e-8, err_msg=name)
    assert len(both.by_start) == 6


def test_bootstrapped_markets_are_of_one_length_and_of_a_spans_own_bars():
    strategy, spans = policy_strategy(made_policy(), LOOKBACK), [Span("longer", 200, 400), Span("shorter", 405, 596)]
    parts = [Part(strategy, span) for span in spans]
    found = stress(parts, bars(), FEATURES, LOOKBACK, made_params(), config(**SMALL), mesh_of()).bootstrapped
    for draw, growth in enumerate(found):
        alone = []
        for span in spans:
            drawn = bootstrapped_bars(bars().rows(span.start, span.start + 191), block=10.0, seed=draw)
            market, spec = build_market(drawn, FEATURES)
            alone.append(per_bar(backtest_span(strategy, market, spec, Span("all", 0, 191), LOOKBACK, made_params())))
        assert growth == pytest.approx(np.mean(alone), rel=1e-5, abs=1e-9)


def test_the_spread_is_of_quantiles_and_minus_infinity_where_one_lost_all(stressed):
    spread = stressed.spread()
    assert list(spread) == list(DISTRIBUTIONS)
    np.testing.assert_allclose(spread["by_start"], np.quantile(stressed.by_start, [0.05, 0.5, 0.95]))
    lost = stressed._replace(crashed=np.array([-np.inf, -2.0, -1.0])).spread()["crashed"]
    assert lost.tolist() == [-np.inf, -2.0, -1.1]


@pytest.mark.parametrize(
    ("spans", "changed", "said"),
    [
        ([SPAN], {"horizon_bars": 331}, "none of 329 rows has 331 bars"),
        ([SPAN, Span("short", 250, 275)], {"horizon_bars": 5}, "shortest of 2 spans has 25 bars"),
        ([SPAN], {"crashes": 90}, "90 crashes of 4 bars do not fit into rows 250 to 580"),
    ],
)
def test_spans_that_are_too_short_are_refused(spans, changed, said):
    spec = build_market(bars(), FEATURES)[1]
    with pytest.raises(InputError, match=said):
        check_spans(spans, bars(), spec, LOOKBACK, config(**SMALL | changed))
    check_spans([SPAN], bars(), spec, LOOKBACK, config(**SMALL))


def test_dropped_bars_are_never_traded():
    dropped = dropped_bars(bars(), share=0.2, seed=1)
    market, spec = build_market(dropped, FEATURES)
    path = backtest_span(policy_strategy(made_policy(), LOOKBACK), market, spec, SPAN, LOOKBACK, made_params())
    there = dropped.mask[path.rows] & dropped.mask[path.rows + 1]
    assert not there.all()
    assert (path.sold[~there] == 0).all()
    assert (path.bought[~there] == 0).all()
    assert (path.sold[there] > 0).any()


def test_it_can_be_written_as_json(stressed):
    again = json.loads(json.dumps(stressed.as_json(), allow_nan=False))
    assert again["settings"]["delay"] == [0, 1, 0, 1]
    assert again["grid"] == stressed.grid.tolist()
    assert stressed._replace(dropped=np.array([-np.inf])).as_json()["dropped"] == [None]


def test_the_shipped_grid_has_a_thousand_settings():
    settings = settings_of(config())
    assert [len(np.unique(part)) for part in settings] == [10, 5, 5, 4]
    assert len(np.unique(np.stack([np.asarray(part, float) for part in settings]), axis=1).T) == 1000


def test_starts_leave_room_for_the_horizon_within_a_run_of_rows():
    rows = np.concatenate([np.arange(10, 20), np.arange(30, 34)])
    assert start_rows(rows, 100, 4).tolist() == [*range(10, 17), 30]
    assert start_rows(rows, 2, 4).tolist() == [10, 30]
    for horizon in (11, 15, 40):
        with pytest.raises(InputError, match="horizon"):
            start_rows(rows, 2, horizon)


def test_a_table_is_refused():
    table = table_strategy(jnp.zeros((10, 3)))
    with pytest.raises(InputError, match="table"):
        stress([Part(table, SPAN)], bars(), FEATURES, LOOKBACK, made_params(), config(**SMALL), mesh_of())


@pytest.mark.parametrize(
    "wrong", [{"delays": []}, {"delays": [4]}, {"draws": 0}, {"crash_fall": 1.0}, {"taker_fees_bps": [-1.0]}, {"starts": 0}]
)
def test_what_no_stress_could_mean_is_refused(wrong):
    with pytest.raises(InputError, match=f"stress.{next(iter(wrong))}"):
        dataclasses.replace(config(), **wrong)

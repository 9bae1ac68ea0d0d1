"""What is found beyond the verdict: each training's own test, other costs, and how sure figures are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from validated_cases import case, findings

from cappuccino.assemble import env_params
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.baselines import CASH
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.metrics import bars_a_year, measure
from cappuccino.validation import crossed as crossing
from cappuccino.validation.cost_surface import break_even
from cappuccino.validation.drawn import mean_path


def test_realised_growth_is_that_of_a_policy_alone_on_its_test_blocks():
    made = case()
    lookback = made.config.network.lookback
    tested = crossing.Tested.of(made.data.spec, made.folds, lookback)
    params = env_params(made.config.costs, made.config.env, made.data.spec.assets)
    realised = findings().realised
    assert sorted(realised) == [(fold, seed) for fold in range(len(made.folds.folds)) for seed in made.seeds]
    for (fold, seed), growth in realised.items():
        path = tested.run(policy_strategy(made.trained[fold, seed].policy, lookback), fold, made.data, params)
        assert growth == pytest.approx(float(np.log1p(path.returns).mean()), rel=1e-9, abs=1e-15)
    assert len(set(realised.values())) == len(realised)


@pytest.mark.parametrize(("fee", "spread"), [(10, 3), (0, 0), (40, 24)])
def test_a_cost_of_the_surface_is_a_validation_under_that_cost(fee, spread):
    made, surface = case(), findings().surface
    costs = dataclasses.replace(made.config.costs, taker_fee_bps=fee, half_spread_bps=spread, slippage_bps=0)
    again = crossing.run_folds(dataclasses.replace(made.config, costs=costs), made.data, made.folds, made.trained, made.seeds)
    found = surface.growth[surface.spreads_bps.index(spread), surface.fees_bps.index(fee)]
    assert found == pytest.approx(float(again.growth().mean()), abs=1e-7)
    assert surface.own_bps == (10, 3)


def test_no_growth_comes_of_higher_fees_for_who_trades_the_same():
    surface = findings().surface
    assert surface.growth.shape == (len(surface.spreads_bps), len(surface.fees_bps))
    assert (np.diff(surface.growth, axis=0) < 0).all()
    assert (np.diff(surface.growth, axis=1) < 0).all()


@given(st.floats(-1e-3, 1e-3), st.floats(1e-6, 1e-4))
def test_growth_that_falls_by_a_straight_line_ends_where_the_line_does(first, slope):
    fees = [0.0, 5.0, 15.0, 40.0]
    found = break_even(fees, first - slope * np.array(fees))
    if first <= 0:
        assert found == 0
    elif first > slope * fees[-1]:
        assert found is None
    else:
        assert found == pytest.approx(first / slope, rel=1e-6)


def test_intervals_hold_what_they_are_of():
    found, made = findings().intervals, case()
    assert list(found) == [AGENT, *made.crossed.baselines]
    assert found[AGENT].lead is None
    assert found[CASH].growth is None
    assert found[CASH].sharpe is None
    for one in found.values():
        for interval in (part for part in one if part is not None):
            assert interval.low < interval.estimate < interval.high
    growth = found[AGENT].growth
    assert growth is not None
    assert growth.estimate == pytest.approx(float(made.crossed.growth().mean()))
    assert found[findings().verdict.benchmark].lead == findings().verdict.active


def test_the_mean_path_grows_trades_and_pays_the_mean():
    crossed = case().crossed
    mean, paths = mean_path(crossed), [path for some in crossed.agent for path in some]
    np.testing.assert_allclose(np.log1p(mean.returns), crossed.growth(), atol=1e-12)
    np.testing.assert_allclose(mean.weights, np.mean([path.weights for path in paths], axis=0))
    figures = measure(mean, None)
    for name in ("turnover", "fees_paid", "slippage_paid", "exposure", "mean_log_growth"):
        known = [measure(path, None)[name] for path in paths]
        assert figures[name] == pytest.approx(np.mean([one for one in known if one is not None]))
    assert bars_a_year(mean.bar_seconds) == 2190

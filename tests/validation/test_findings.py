"""What is found beyond the verdict: each training's own test, and how sure figures are."""

from __future__ import annotations

import numpy as np
import pytest
from validated_cases import case, findings

from cappuccino.assemble import env_params
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.baselines import CASH
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.metrics import bars_a_year, measure
from cappuccino.validation import crossed as crossing
from cappuccino.validation.drawn import mean_path


def test_realised_growth_is_that_of_a_policy_alone_on_its_test_blocks():
    made = case()
    lookback = made.config.network.lookback
    tested = crossing.Tested.of(made.data.spec, made.folds, lookback)
    params = env_params(made.config.costs, made.config.risk, made.config.env, made.data.spec.assets)
    realised = findings().realised
    assert sorted(realised) == [(fold, seed) for fold in range(len(made.folds.folds)) for seed in made.seeds]
    for (fold, seed), growth in realised.items():
        path = tested.run(policy_strategy(made.trained[fold, seed].policy, lookback), fold, made.data, params)
        assert growth == pytest.approx(float(np.log1p(path.returns).mean()), rel=1e-9, abs=1e-15)
    assert len(set(realised.values())) == len(realised)


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


def test_the_information_ratio_is_that_of_the_mean_returns():
    found, made = findings().intervals, case()
    for name, paths in made.crossed.baselines.items():
        apart = made.crossed.returns() - np.mean([path.returns for path in paths], axis=0)
        information = found[name].information
        assert information is not None
        assert information.estimate == pytest.approx(apart.mean() / apart.std(ddof=1))


def test_dearer_fees_leave_less():
    made = case()
    growth = [
        crossing.growth_at_fees(made.config, made.data, made.folds, made.trained, made.seeds, factor) for factor in (1, 1.5, 3)
    ]
    assert growth[0] == pytest.approx(float(made.crossed.growth().mean()), abs=1e-12)
    assert growth[0] > growth[1] > growth[2]
    assert findings().by_fees[1.5] == growth[1]
    assert findings().by_fees[3.0] == growth[2]


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

"""The objective that asks what is left where trading is dearer and later than it is said to be."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep import sweep_cases as cases

from cappuccino.assemble import Training
from cappuccino.config import compose
from cappuccino.config.sweep import RobustConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.lanes.engine import Markets
from cappuccino.sweep.robust import robust_growth
from cappuccino.sweep.trial_folder import validation_path

factors = st.lists(st.floats(0, 4), min_size=1, max_size=3)
delays = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True)


@pytest.fixture(scope="module")
def training() -> Training:
    return Markets().training(compose("train", [*cases.SMALL, "name=alone"]))


def growth(training: Training, config: RobustConfig) -> float:
    strategy = policy_strategy(training.policy(training.weights), 1)
    rows, number = np.asarray(training.valid.rows), int(training.valid.number)
    with jax.numpy_dtype_promotion("standard"):
        return robust_growth(strategy, training.data.market, rows, number, training.judged, config)


def test_at_the_costs_as_they_are_it_is_the_mean_growth_of_the_backtest(training):
    path = validation_path(training, training.weights)
    assert growth(training, RobustConfig([1.0], [0], 0.3)) == pytest.approx(np.log1p(path.returns).mean(), rel=1e-4)


@given(factors, delays, st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_it_lies_among_the_settings_and_is_the_worst_at_quantile_zero(training, costs, late, quantile):
    each = [growth(training, RobustConfig([factor], [delay], 0.5)) for factor in costs for delay in late]
    found = growth(training, RobustConfig(costs, late, quantile))
    assert found == pytest.approx(np.quantile(each, quantile), rel=1e-3, abs=1e-7)
    assert growth(training, RobustConfig(costs, late, 0.0)) == pytest.approx(min(each), rel=1e-3, abs=1e-7)


def test_dearer_is_never_better(training):
    by_factor = [growth(training, RobustConfig([factor], [0], 0.0)) for factor in (0, 1, 2, 4)]
    assert by_factor == sorted(by_factor, reverse=True)
    assert by_factor[0] > by_factor[-1]


def test_rows_that_fill_up_do_not_count(training):
    longer = dataclasses.replace(RobustConfig([1.0, 2.0], [0, 1], 0.1))
    rows, number = np.asarray(training.valid.rows), int(training.valid.number)
    strategy = policy_strategy(training.policy(training.weights), 1)
    with jax.numpy_dtype_promotion("standard"):
        filled = robust_growth(
            strategy, training.data.market, np.pad(rows[:number], (0, 9), mode="edge"), number, training.judged, longer
        )
    assert filled == pytest.approx(growth(training, longer), rel=1e-6)


def test_a_search_for_it_keeps_its_value_and_its_best_comes_out_again_to_the_last_bit(tmp_path):
    words = ("agent.learning_rate=tag(log, interval(1e-3, 1e-1))", "hydra.sweeper.objective=robust")
    said = cases.run(tmp_path, *cases.search(*words, n_trials=3))
    assert "objective robust" in said
    trials = cases.study(tmp_path).get_trials()
    for trial in trials:
        if trial.value is not None:
            assert trial.value < trial.user_attrs["mean_log_growth"], "the same policy at the costs as they are"
    assert "to the last bit" in cases.run(tmp_path, f"best={cases.STUDY}")
    other = cases.run(tmp_path, *cases.search(*words, "hydra.sweeper.robust.quantile=0.2", n_trials=3), code=2)
    assert "objective was" in other


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cost_factors": []}, "hydra.sweeper.robust.cost_factors is empty"),
        ({"cost_factors": [1.0, -1.0]}, "cost_factors"),
        ({"delays": [4]}, r"delays is \[4\]"),
        ({"quantile": 1.5}, "quantile is 1.5"),
    ],
)
def test_bad_input_is_refused(changed, said):
    with pytest.raises(InputError, match=said):
        RobustConfig(**{"cost_factors": [1.0], "delays": [0], "quantile": 0.1, **changed})

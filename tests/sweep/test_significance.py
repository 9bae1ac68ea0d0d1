"""Whether luck explains the best of a study: by the definition, over all trials that were judged, each measured alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from cappuccino.evaluation.metrics import hedged, return_figures
from cappuccino.sweep.significance import Significance, significance_of

BARS_A_YEAR = 8760.0
NORMAL = statistics.NormalDist()


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def attributes_of(returns: np.ndarray, benchmark: np.ndarray | None = None) -> dict[str, float]:
    """As a search keeps them; of a market that stands still where no benchmark is given."""
    found = return_figures(returns if benchmark is None else hedged(returns, benchmark), 1.0)
    figures = {
        "sharpe": return_figures(returns, BARS_A_YEAR)["sharpe"],
        "hedged_sharpe": found["sharpe"] or 0.0,
        "hedged_skew": found["skew"],
        "hedged_kurtosis": found["kurtosis"],
        "bars": float(len(returns)),
        "bars_a_year": BARS_A_YEAR,
    }
    return {name: value for name, value in figures.items() if value is not None}


def study_of(complete: np.ndarray, pruned: Iterable[np.ndarray] = ()) -> optuna.Study:
    """Of trials by their returns; the value of the complete ones is their Sharpe ratio."""
    study = optuna.create_study(direction="maximize")
    for returns in complete:
        attributes = attributes_of(returns)
        study.add_trial(create_trial(value=attributes["hedged_sharpe"], user_attrs=attributes))
    for returns in pruned:
        study.add_trial(create_trial(state=TrialState.PRUNED, value=9.0, user_attrs=attributes_of(returns)))
    return study


def found_in(study: optuna.Study) -> Significance:
    return significance_of(study, study.best_trial)


def slow_deflated(best: list[float], trials: list[list[float]]) -> float:
    """The papers' formulas, from returns, with nothing of the package's."""
    sharpes = [statistics.fmean(one) / statistics.stdev(one) if len(set(one)) > 1 else 0.0 for one in trials]
    number, gamma = len(sharpes), 0.5772156649015329
    luck = statistics.stdev(sharpes) * (
        (1 - gamma) * NORMAL.inv_cdf(1 - 1 / number) + gamma * NORMAL.inv_cdf(1 - 1 / (number * math.e))
    )
    middle, spread = statistics.fmean(best), statistics.pstdev(best)
    skew = statistics.fmean(((one - middle) / spread) ** 3 for one in best)
    kurtosis = statistics.fmean(((one - middle) / spread) ** 4 for one in best)
    sharpe = middle / statistics.stdev(best)
    error = math.sqrt((1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (len(best) - 1))
    return NORMAL.cdf((sharpe - luck) / error)


@pytest.mark.parametrize("seed", range(5))
def test_deflated_ratio_is_its_definition_over_complete_and_pruned_trials(seed):
    rng = np.random.default_rng(seed)
    complete, pruned = 0.01 * (rng.standard_t(4, (9, 400)) + 0.05), 0.01 * rng.standard_normal((6, 400))
    complete[4] = 0.0
    study = study_of(complete, pruned)
    best = complete[study.best_trial.number]
    found = found_in(study)
    assert found.trials == 15
    assert found.deflated == pytest.approx(slow_deflated(best.tolist(), [*complete.tolist(), *pruned.tolist()]), abs=1e-9)
    assert found.sharpe == pytest.approx(best.mean() / best.std(ddof=1) * math.sqrt(BARS_A_YEAR))
    assert found.hedged == pytest.approx(found.sharpe)


def test_trials_that_failed_or_run_do_not_count():
    rng = np.random.default_rng(0)
    study = study_of(0.01 * rng.standard_normal((5, 200)))
    before = found_in(study)
    for state in (TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING):
        study.add_trial(create_trial(state=state, user_attrs={"hedged_sharpe": 5.0}))
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"lost": True}))
    assert found_in(study) == before


def test_more_tries_of_the_same_spread_are_more_luck():
    rng = np.random.default_rng(1)
    few = 0.01 * (rng.standard_normal((10, 500)) + 0.1)
    assert found_in(study_of(np.repeat(few, 4, axis=0))).deflated < found_in(study_of(few)).deflated


def test_too_few_trials_say_nothing_of_luck():
    returns = 0.01 * np.random.default_rng(2).standard_normal((1, 100))
    found = found_in(study_of(returns))
    assert (found.luck, found.deflated, found.trials) == (None, None, 1)
    assert found_in(study_of(np.zeros((3, 100)))).deflated is None


def test_a_study_of_noise_seldom_convinces_and_an_edge_does():
    rng = np.random.default_rng(3)
    noise = [found_in(study_of(0.01 * rng.standard_t(5, (20, 250)))) for _ in range(60)]
    assert sum(one.deflated >= 0.95 for one in noise) <= 3
    assert sum(NORMAL.cdf(one.sharpe * math.sqrt(249 / BARS_A_YEAR)) >= 0.95 for one in noise) >= 30  # raw, it would convince
    with_edge = 0.01 * rng.standard_normal((20, 2000))
    with_edge[3] += 0.002
    assert found_in(study_of(with_edge)).deflated >= 0.95


def test_a_market_that_rises_by_chance_does_not_convince_of_those_that_hold_it():
    """All hold most of it and add noise of their own. Unhedged, their ratios are high and alike: a deflated ratio near one."""
    rng = np.random.default_rng(4)
    market = 0.01 * (rng.standard_normal(1500) + 0.1)
    trials = rng.uniform(0.8, 1, (16, 1)) * market + 0.001 * rng.standard_normal((16, 1500))
    unhedged = found_in(study_of(trials))
    study = optuna.create_study(direction="maximize")
    for returns in trials:
        study.add_trial(create_trial(value=float(returns.mean()), user_attrs=attributes_of(returns, market)))
    found = found_in(study)
    assert unhedged.deflated >= 0.95
    assert found.deflated < 0.95
    assert found.sharpe > 5

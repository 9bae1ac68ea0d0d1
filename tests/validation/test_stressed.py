"""A validation's stress is of policies on bars that they never saw, and says what single backtests say."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from validated_cases import CPCV, HOLDOUT, Case, case, findings

from cappuccino.assemble import env_params
from cappuccino.config.roots import ValidateConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import backtest_span
from cappuccino.evaluation.stress import DISTRIBUTIONS, Stress
from cappuccino.validation.record import numbers_of
from cappuccino.validation.stress_section import break_even_said, stress_sentence
from cappuccino.validation.stressed import check_stress, parts_of, stressed


def changed(made: Case, **values) -> ValidateConfig:
    assert made.config.stress is not None
    return dataclasses.replace(made.config, stress=dataclasses.replace(made.config.stress, **values))


def found(words: tuple[str, ...] = CPCV) -> Stress:
    stress = findings(words).stress
    assert stress is not None
    return stress


@pytest.mark.parametrize("words", [CPCV, HOLDOUT])
def test_every_bar_is_traded_by_a_policy_that_was_not_trained_on_it(words):
    made = case(words)
    traded = [part.span for part in parts_of(made.config, made.folds, made.trained)]
    assert traded == list(made.folds.groups)
    for span, number in zip(traded, made.folds.paths[0], strict=True):
        fold = made.folds.folds[number]
        assert any(block.start <= span.start and span.stop <= block.stop for block in fold.test)
        assert all(run.stop <= span.start or span.stop <= run.start for run in (*fold.train, *fold.selection))


def test_plain_growth_is_that_of_backtests_of_the_groups():
    made = case()
    params, lookback = (
        env_params(made.config.costs, made.config.risk, made.config.env, made.bars.assets),
        made.config.network.lookback,
    )
    growth, bars = 0.0, 0
    for part in parts_of(made.config, made.folds, made.trained):
        path = backtest_span(part.strategy, made.data.market, made.data.spec, part.span, lookback, params)
        growth, bars = growth + np.log1p(path.returns).sum(), bars + len(path)
    assert found().plain == pytest.approx(growth / bars, rel=1e-5, abs=1e-9)
    first = np.log1p(made.crossed.agent[0][0].returns).mean()
    assert found().plain == pytest.approx(first, abs=2e-5), "but for groups that begin from cash, the first path of the report"


def test_on_time_at_the_own_costs_is_plain_and_nothing_dropped_or_restated_is():
    made, stress = case(), found()
    assert stress.by_delay[0] == pytest.approx(stress.plain, abs=1e-8)
    costs = stress.settings
    own = (np.asarray(costs.taker_fee) == 1e-3) & (np.asarray(costs.half_spread) == 2e-4) & (np.asarray(costs.slippage) == 1e-4)
    np.testing.assert_allclose(stress.grid[own], stress.by_delay, atol=1e-8)
    still = stressed(changed(made, dropped_share=0.0, restated_size=0.0), made.bars, made.folds, made.trained)
    assert still is not None
    assert set(still.dropped) == set(still.restated) == {stress.plain} == {still.plain}
    assert len(set(stress.dropped)) == len(set(stress.restated)) == len(stress.dropped)


def test_what_lies_behind_the_tested_bars_has_no_say():
    made = case()
    stop = made.folds.groups[-1].stop
    rng, later = np.random.default_rng(0), {}
    for name in ("open", "high", "low", "close"):
        later[name] = getattr(made.bars, name).copy()
    factor = np.exp(rng.normal(0, 0.1, later["close"][stop:].shape))
    other = dataclasses.replace(
        made.bars, **{name: np.concatenate([values[:stop], values[stop:] * factor]) for name, values in later.items()}
    )
    again = stressed(made.config, other, made.folds, made.trained)
    assert again is not None
    for one, same in zip(found(), again, strict=True):
        np.testing.assert_equal(np.asarray(one), np.asarray(same))


def test_the_record_holds_what_was_found():
    numbers = json.loads(json.dumps(numbers_of(findings()), allow_nan=False))["stress"]
    stress = found()
    assert (numbers["plain"], numbers["grid"], numbers["break_even"]) == (stress.plain, stress.grid.tolist(), stress.break_even)
    for name in DISTRIBUTIONS:
        assert numbers[name] == getattr(stress, name).tolist()
        assert numbers["spread"][name] == pytest.approx(np.quantile(numbers[name], (0.05, 0.5, 0.95)).tolist())
        assert numbers["spread"][name] == sorted(numbers["spread"][name])


def test_what_lost_all_has_no_number():
    stress = found()._replace(dropped=np.array([-np.inf, -np.inf, 1e-4]))
    numbers = numbers_of(findings()._replace(stress=stress))["stress"]
    assert numbers["dropped"] == [None, None, 1e-4]
    assert numbers["spread"]["dropped"] == [None, None, None]


def test_the_sentence_says_where_growth_ends():
    numbers = numbers_of(findings())

    def said(**values) -> str:
        return break_even_said(numbers | {"stress": numbers["stress"] | values})

    assert said(break_even=0.00432) == "growth ends at costs of 43.2 bps of notional, its own are 13"
    assert "nowhere up to costs of 500 bps" in said(break_even=None, plain=1e-5)
    assert "no growth even without costs" in said(break_even=None, plain=-1e-5)
    sentence = stress_sentence(numbers | {"stress": numbers["stress"] | {"plain": -2e-5}})
    assert sentence.startswith("growth is \N{MINUS SIGN}0.200 of 1e\N{MINUS SIGN}4 a bar on the first path with seed 5")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"horizon_bars": 400}, "group 0, rows 0 to 192: none of 23 rows has 400 bars"),
        ({"crashes": 300}, "300 crashes of 4 bars do not fit into rows 0 to 765"),
    ],
)
def test_what_will_not_fit_is_refused_before_anything_is_trained(values, said):
    made = case()
    with pytest.raises(InputError, match=said) as error:
        check_stress(changed(made, **values), made.bars, made.data.spec, made.folds)
    assert str(error.value).endswith("stress=none leaves the stress out")


def test_groups_that_warm_up_takes_whole_are_refused_and_no_stress_is_asked_nothing():
    made = case()
    slow = dataclasses.replace(made.data.spec, warmup=400)
    with pytest.raises(InputError, match=r"shortest of 4 spans has 191 bars; .* spends 400 on warm-up and 2 on look-back"):
        check_stress(made.config, made.bars, slow, made.folds)
    without = dataclasses.replace(made.config, stress=None)
    check_stress(without, made.bars, slow, made.folds)
    assert stressed(without, made.bars, made.folds, made.trained) is None

"""What is stressed is what was validated: the first out-of-sample path, its policies on bars that they never saw."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from validated_cases import CPCV, case, findings

from cappuccino.assemble import env_params
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import LONGEST_DELAY, backtest_span, policy_strategy
from cappuccino.validation.page import render
from cappuccino.validation.record import numbers_of
from cappuccino.validation.stress_table import stress_line
from cappuccino.validation.stressed import check_lengths


@pytest.fixture(scope="module")
def stress():
    found = findings(CPCV).stress
    assert found is not None
    return found


def test_as_it_was_is_the_policies_of_the_first_path_on_the_groups_that_they_never_saw(stress):
    made = case(CPCV)
    lookback, growth, bars = made.config.network.lookback, 0.0, 0
    params = env_params(made.config.costs, made.config.env, made.data.spec.assets)
    for fold, group in zip(made.folds.paths[0], made.folds.groups, strict=True):
        assert any(block.start <= group.start and group.stop <= block.stop for block in made.folds.folds[fold].test)
        policy = made.trained[fold, made.config.seed].policy
        path = backtest_span(policy_strategy(policy, lookback), made.data.market, made.data.spec, group, lookback, params)
        growth, bars = growth + np.log1p(path.returns).sum(), bars + len(path)
    assert stress.plain == pytest.approx(growth / bars, rel=1e-4, abs=1e-8)
    assert stress.by_delay[0] == pytest.approx(stress.plain, rel=1e-4, abs=1e-8)
    assert len(stress.by_delay) == LONGEST_DELAY + 1


def test_the_page_has_the_numbers_of_the_record():
    found = findings(CPCV)
    numbers = numbers_of(found)
    page = render(found, numbers)
    section = page[page.index("<h2>Under stress</h2>") :]
    section = section[: section.index("</section>")]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section)
    assert cells[0] == "As it was"
    for value in (numbers["stress"]["plain"], *numbers["stress"]["by_delay"][1:]):
        assert f"{abs(1e4 * value):,.3f}" in section
    assert stress_line(found.stress).startswith("growth ")


def test_without_a_stress_the_page_has_no_section_of_it():
    found = findings(CPCV)._replace(stress=None)
    numbers = numbers_of(found)
    assert numbers["stress"] is None
    assert "Under stress" not in render(found, numbers)


@pytest.mark.parametrize(
    ("horizon", "memory", "said"), [(5_000, 0, "stress.horizon_bars is 5000"), (10, 5_000, "a market drawn from them takes")]
)
def test_groups_too_short_are_refused_with_the_numbers(horizon, memory, said):
    made = case(CPCV)
    assert made.config.stress is not None
    settings = dataclasses.replace(made.config.stress, horizon_bars=horizon)
    check_lengths(dataclasses.replace(settings, horizon_bars=10), made.data.spec, made.folds, made.config.network.lookback)
    with pytest.raises(InputError, match=said):
        check_lengths(settings, dataclasses.replace(made.data.spec, warmup=made.data.spec.warmup + memory), made.folds, 1)

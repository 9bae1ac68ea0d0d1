"""The verdict follows its rule: nothing is found in noise, in the market itself or in doing nothing, and what is there is."""

from __future__ import annotations

import numpy as np
import pytest
from validation_cases import crossed_of, small

from cappuccino.evaluation.baselines import CASH, EQUAL_REBALANCED
from cappuccino.evaluation.report import signed
from cappuccino.validation.verdict import judge, sentence

BARS = 4000
NONE = np.zeros(0)
RULE = small().verdict


def noise(seed: int, *shape: int, mean: float = 0.0, deviation: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, deviation, shape)


def test_an_edge_that_every_path_has_is_found():
    equal = noise(0, BARS)
    crossed = crossed_of(noise(1, 2, 3, BARS, mean=1e-3) + 0.5 * equal, equal)
    verdict = judge(crossed, RULE, NONE)
    assert verdict.found
    assert verdict.active.low > 0
    assert verdict.deflated > 0.95
    assert sentence(verdict, crossed, RULE, 8760).startswith("Found: out of sample and after costs, over 6 paths of 4,000 bars")


def test_noise_is_not_found_and_paths_that_are_alike_are_no_further_evidence():
    equal, agent = noise(2, BARS), noise(3, 1, 1, BARS)
    alone = judge(crossed_of(agent, equal), RULE, NONE)
    many = judge(crossed_of(np.tile(agent, (5, 7, 1)), equal), RULE, NONE)
    assert not alone.found
    assert many.active == pytest.approx(alone.active, abs=1e-12)
    assert many.deflated == pytest.approx(alone.deflated)


def test_a_rising_market_held_is_nothing_found():
    equal = noise(4, BARS, mean=2e-3)
    verdict = judge(crossed_of(equal[None, None] * 1.0, equal), RULE, NONE)
    assert not verdict.found
    assert verdict.benchmark == EQUAL_REBALANCED
    assert verdict.hedged is None
    assert verdict.deflated == 0


def test_a_falling_market_avoided_is_nothing_found():
    equal = noise(5, BARS, mean=-2e-3)
    verdict = judge(crossed_of(noise(6, 1, 1, BARS, deviation=1e-5), equal), RULE, NONE)
    assert verdict.benchmark == CASH
    assert not verdict.found


def test_the_more_was_tried_the_more_it_takes():
    equal = noise(7, BARS)
    crossed = crossed_of(noise(8, 1, 1, BARS, mean=4e-4), equal)
    alone = judge(crossed, RULE, NONE)
    tried = judge(crossed, RULE, noise(9, 200, deviation=0.02))
    assert alone.deflated > 0.95 > tried.deflated
    assert (alone.luck, alone.trials, tried.trials) == (0.0, 1, 200)
    assert "of 200 tries of nothing" in sentence(tried, crossed, RULE, 8760)


def test_the_rule_is_read():
    equal = noise(0, BARS)
    crossed = crossed_of(noise(8, 1, 1, BARS, mean=5e-4), equal - equal.mean() - 1e-4)
    strict = judge(crossed, small("verdict.deflated=0.9999999").verdict, NONE)
    wide = judge(crossed, small("verdict.confidence=0.99").verdict, NONE)
    usual = judge(crossed, RULE, NONE)
    assert usual.found
    assert not strict.found
    assert wide.active.low < usual.active.low


def test_no_number_of_the_sentence_has_a_hyphen_for_a_minus():
    equal = noise(2, BARS)
    crossed = crossed_of(noise(3, 1, 1, BARS, mean=-1e-3), equal)
    verdict = judge(crossed, RULE, NONE)
    said = sentence(verdict._replace(active=verdict.active._replace(low=-np.inf)), crossed, RULE, 8760)
    assert "-" not in said
    assert f"is {signed(f'{1e4 * verdict.active.estimate:+.3f}')} of 1e\N{MINUS SIGN}4 a bar" in said
    assert "between \N{MINUS SIGN}inf and" in said


@pytest.mark.parametrize("drift", [-1e-3, 1e-3])
def test_doing_nothing_is_nothing_found(drift):
    verdict = judge(crossed_of(np.zeros((2, 3, BARS)), noise(9, BARS, mean=drift)), RULE, NONE)
    assert not verdict.found
    assert verdict.deflated == 0
    assert verdict.active.low <= 0
    assert (verdict.active.estimate == 0) == (drift < 0)

"""Probability of backtest overfitting: the definition as plain loops, what noise and an edge give, and what is refused."""

from __future__ import annotations

import itertools
import math
import statistics
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.errors import InputError
from cappuccino.evaluation.overfitting import MOST_BLOCKS, pbo

SMALL = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([2, 4, 6]), st.integers(2, 9), st.integers(0, 5)
)
"""Seed, configurations, blocks, bars in a block, bars too many."""


def made(case: tuple[int, int, int, int, int]) -> tuple[np.ndarray, int]:
    seed, configurations, blocks, each, more = case
    rng = np.random.default_rng(seed)
    returns = 0.01 * rng.standard_t(4, (blocks * each + more % blocks, configurations)) + 0.002 * rng.standard_normal(
        configurations
    )
    return returns, blocks


def slow(returns: np.ndarray, blocks: int) -> dict[str, list[float]]:
    """By the definition, a half at a time."""
    rows = returns[len(returns) % blocks :].tolist()
    each, configurations = len(rows) // blocks, len(rows[0])

    def sharpe(column: int, chosen: tuple[int, ...]) -> float:
        values = [row[column] for block in chosen for row in rows[block * each : (block + 1) * each]]
        return statistics.fmean(values) / statistics.stdev(values)

    found = {"logits": [], "in_sample": [], "out_of_sample": [], "all": []}
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        rest = tuple(block for block in range(blocks) if block not in chosen)
        inside = [sharpe(column, chosen) for column in range(configurations)]
        outside = [sharpe(column, rest) for column in range(configurations)]
        best = max(range(configurations), key=inside.__getitem__)
        ties = [one for one in outside if math.isclose(one, outside[best], rel_tol=1e-12)]
        rank = sum(one < min(ties) for one in outside) + (len(ties) + 1) / 2
        found["logits"].append(math.log(rank / (configurations + 1 - rank)))
        found["in_sample"].append(inside[best])
        found["out_of_sample"].append(outside[best])
        found["all"] += outside
    return found


@given(SMALL)
def test_it_is_its_definition(case):
    returns, blocks = made(case)
    got, expected = pbo(returns, blocks), slow(returns, blocks)
    for name in ("logits", "in_sample", "out_of_sample"):
        np.testing.assert_allclose(getattr(got, name), expected[name], atol=1e-9, err_msg=name)
    number = len(expected["logits"])
    assert got.pbo == sum(one <= 0 for one in expected["logits"]) / number
    assert got.probability_of_loss == sum(one < 0 for one in expected["out_of_sample"]) / number


@given(SMALL)
def test_slope_and_dominance_are_their_definitions(case):
    returns, blocks = made(case)
    got = pbo(returns, blocks)
    slope, intercept = np.polyfit(got.in_sample, got.out_of_sample, 1) if np.ptp(got.in_sample) > 1e-6 else (None, None)
    if slope is not None:
        assert (got.slope, got.intercept) == (pytest.approx(slope, abs=1e-6), pytest.approx(intercept, abs=1e-6))
    expected = slow(returns, blocks)
    chosen, everything = np.array(expected["out_of_sample"]), np.array(expected["all"])
    apart = [float((chosen <= limit).mean() - (everything <= limit).mean()) for limit in everything]
    assert got.dominance_violation == pytest.approx(max(apart), abs=1e-9)


@given(SMALL, st.floats(0.1, 10))
def test_neither_the_order_of_configurations_nor_their_leverage_matters(case, leverage):
    returns, blocks = made(case)
    order = np.random.default_rng(case[0]).permutation(returns.shape[1])
    levered = returns[:, order] * np.where(np.arange(len(order)) % 2, 1.0, leverage)
    np.testing.assert_allclose(pbo(levered, blocks).logits, pbo(returns, blocks).logits, atol=1e-9)


def test_a_configuration_that_stood_still_in_a_half_has_a_ratio_of_zero_there():
    rng = np.random.default_rng(0)
    returns = 0.01 * rng.standard_normal((40, 2)) - 0.02
    returns[:20, 0] = 0.0
    found = pbo(returns, 2)
    assert found.chosen[0] == 0
    assert found.in_sample[0] == 0.0


def test_noise_is_a_toss_of_a_coin_and_an_edge_is_found():
    rng = np.random.default_rng(1)
    noise = [pbo(rng.standard_normal((2000, 40))).pbo for _ in range(50)]
    assert abs(np.mean(noise) - 0.5) <= 0.1
    for _ in range(5):
        returns = rng.standard_normal((2000, 40))
        returns[:, 17] += 0.15
        found = pbo(returns)
        assert found.pbo < 0.05
        assert found.dominance_violation < 0.05
        assert found.probability_of_loss < 0.05


def test_what_was_good_turns_bad():
    """Each configuration wins in one half of the blocks what it loses in the other."""
    rng = np.random.default_rng(2)
    signs = np.array([[1.0 if column >> block & 1 else -1.0 for column in range(16)] for block in range(4)])
    signs = signs[:, signs.sum(axis=0) == 0]
    returns = np.repeat(signs, 100, axis=0) * 0.5 + rng.standard_normal((400, signs.shape[1]))
    found = pbo(returns, 4)
    assert found.pbo == 1.0
    assert found.probability_of_loss == 1.0
    assert found.dominance_violation > 0.2


def test_a_hundred_configurations_take_less_than_two_seconds():
    returns = np.random.default_rng(3).standard_normal((8760, 100))
    begun = time.process_time()
    found = pbo(returns, 16)
    assert time.process_time() - begun < 2.0
    assert len(found.logits) == math.comb(16, 8) == 12_870


FINE = np.random.default_rng(4).standard_normal((40, 3))


@pytest.mark.parametrize(
    ("returns", "blocks", "said"),
    [
        (FINE[:, :1], 4, "the number of configurations is 1; choosing takes at least 2"),
        (FINE, 5, f"blocks is 5; it must be even, from 2 to {MOST_BLOCKS}"),
        (FINE, 0, "blocks is 0; it must be even"),
        (FINE, 24, r"blocks is 24 \(it has 2,704,156 halves\); it must be even"),
        (FINE[:15], 16, "there are 15 bars for 16 blocks; a half takes at least 2 bars"),
        (
            np.where(np.arange(120).reshape(40, 3) == 7, np.nan, FINE),
            4,
            "configuration 1 returns nan in bar 2; returns must be finite",
        ),
        (FINE * [1, 0, 1] + [0, 0.5, 0], 4, "configuration 1 returns 0.5 in all 40 bars"),
        (
            np.where(np.arange(40)[:, None] < 20, [[0.1, 0.0, 0.3]], FINE),
            2,
            "configuration 0 returns 0.1 in every bar of blocks 0;",
        ),
    ],
)
def test_what_has_no_answer_is_refused(returns, blocks, said):
    with pytest.raises(InputError, match=said):
        pbo(returns, blocks)

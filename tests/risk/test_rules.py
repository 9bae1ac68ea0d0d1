"""The rules keep what they promise, agree with the slow reference, and mean the same in NumPy and in JAX."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from risk_reference import SlowRules

from cappuccino.risk import RULES, Limits, Marks, first, limited, observe, reset

OFF = Limits()


class Walk(NamedTuple):
    """An account that holds whatever it was drawn to hold, over N closes of A assets, four closes a day."""

    closes: np.ndarray
    holdings: np.ndarray
    cash: np.ndarray
    targets: np.ndarray

    def marks(self, k: int) -> Marks:
        equity = self.cash[k] + np.sum(self.holdings[k] * self.closes[k])
        return Marks(self.holdings[k], self.closes[k], np.float64(equity), k // 4)


@st.composite
def walks(draw: st.DrawFn) -> Walk:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    N, A = draw(st.integers(2, 24)), draw(st.integers(1, 4))
    closes = 100 * np.exp(np.cumsum(rng.normal(0, draw(st.sampled_from([0.002, 0.02, 0.1])), (N, A)), axis=0))
    holdings = rng.uniform(0, 100, (N, A)) * (rng.random((N, A)) < 0.7)
    still = rng.random(N) < 0.6
    for k in range(1, N):
        holdings[k] = holdings[k - 1] if still[k] else holdings[k]
    targets = rng.dirichlet(np.full(A + 1, 0.5), N)[:, :A]
    return Walk(closes, holdings, rng.uniform(100, 5000, N), targets)


def sometimes(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[float]:
    return st.one_of(st.just(math.inf), strategy)


limits = st.builds(
    Limits,
    weight=sometimes(st.floats(0.05, 1)),
    gross=sometimes(st.floats(0.05, 1)),
    cash=st.one_of(st.just(0.0), st.floats(0, 20_000)),
    order=sometimes(st.floats(10, 5_000)),
    turnover=sometimes(st.floats(0.05, 5)),
    stop_loss=sometimes(st.floats(0.001, 0.2)),
    trailing_stop=sometimes(st.floats(0.001, 0.2)),
    cooldown=st.integers(1, 5),
    day_loss=sometimes(st.floats(0.01, 0.3)),
    drawdown=sometimes(st.floats(0.01, 0.5)),
    own=st.none(),
)


@given(walks(), limits)
def test_they_are_those_of_the_slow_reference(walk: Walk, rules: Limits) -> None:
    state = first(walk.marks(0), xp=np)
    slow = SlowRules(rules, walk.holdings[0].tolist(), walk.closes[0].tolist(), float(walk.marks(0).equity), 0)
    for k, targets in enumerate(walk.targets):
        marks = walk.marks(k)
        state = observe(state, marks, rules, xp=np)
        slow.see(walk.holdings[k].tolist(), walk.closes[k].tolist(), float(marks.equity), k // 4)
        assert state.resting.tolist() == slow.resting
        assert (bool(state.is_day_stopped), bool(state.is_stopped)) == (slow.day_lost, slow.stopped)
        np.testing.assert_allclose(limited(targets, state, marks, rules, xp=np), slow.allow(targets.tolist()), atol=1e-9)


@given(walks(), limits)
def test_what_they_allow_keeps_every_limit_and_stays_a_portfolio(walk: Walk, rules: Limits) -> None:
    state = first(walk.marks(0), xp=np)
    for k, targets in enumerate(walk.targets):
        marks = walk.marks(k)
        state = observe(state, marks, rules, xp=np)
        asked = functools.reduce(lambda so_far, rule: rule.apply(so_far, state, marks, rules, xp=np), RULES[:-1], targets)
        allowed = limited(targets, state, marks, rules, xp=np)
        assert (allowed >= 0).all()
        assert allowed.sum() <= 1 + 1e-12
        assert (allowed <= np.maximum(targets, marks.weights) + 1e-12).all()
        moves = np.abs(allowed - marks.weights) * marks.equity
        assert moves.max() <= rules.order * (1 + 1e-9) + 1e-6
        if not np.array_equal(allowed, asked):
            assert moves.max() == pytest.approx(rules.order)
            share = moves.max() / (np.abs(asked - marks.weights).max() * marks.equity)
            np.testing.assert_allclose(allowed, (1 - share) * marks.weights + share * asked, atol=1e-9)
            allowed = asked  # what all other limits are kept by, and what is on the way
        assert allowed.max() <= rules.weight + 1e-12
        assert allowed.sum() <= rules.gross + 1e-12
        assert (1 - allowed.sum()) * marks.equity >= min(rules.cash, marks.equity) - 1e-6
        buys = np.maximum(allowed - marks.weights, 0) * marks.equity
        assert buys.sum() <= max(rules.turnover * state.day_equity - state.turnover, 0) * (1 + 1e-9) + 1e-6
        assert not (allowed[state.resting > 0] > 0).any()
        if state.is_stopped or state.is_day_stopped:
            assert not allowed.any()


@given(walks())
def test_rules_that_are_off_change_no_bit(walk: Walk) -> None:
    state = first(walk.marks(0), xp=np)
    for k, targets in enumerate(walk.targets):
        state = observe(state, walk.marks(k), OFF, xp=np)
        assert np.array_equal(limited(targets, state, walk.marks(k), OFF, xp=np), targets)


@given(walks(), limits)
@settings(max_examples=30)
def test_numpy_and_jax_compute_the_same(walk: Walk, rules: Limits) -> None:
    with jax.enable_x64(True):
        on_device = jax.tree.map(jnp.float64, rules)
        numpy_state = first(walk.marks(0), xp=np)
        marks = jax.tree.map(jnp.asarray, walk.marks(0))
        state = first(marks, xp=jnp)
        for k, targets in enumerate(walk.targets):
            numpy_state = observe(numpy_state, walk.marks(k), rules, xp=np)
            marks = jax.tree.map(jnp.asarray, walk.marks(k))
            state = observe(state, marks, on_device, xp=jnp)
            for mine, theirs in zip(numpy_state, state, strict=True):
                np.testing.assert_allclose(mine, np.asarray(theirs), rtol=1e-12)
            expected = limited(targets, numpy_state, walk.marks(k), rules, xp=np)
            got = limited(jnp.asarray(targets), state, marks, on_device, xp=jnp)
            np.testing.assert_allclose(np.asarray(got), expected, atol=1e-12)


def held(*closes: float, quantity: float = 1.0, cash: float = 1000.0) -> list[Marks]:
    """An account that holds one unit of one asset, at one close a day."""
    return [
        Marks(np.array([quantity]), np.array([close]), np.float64(cash + quantity * close), day)
        for day, close in enumerate(closes)
    ]


def seen(marks: list[Marks], rules: Limits) -> list[Any]:
    states = [first(marks[0], xp=np)]
    for one in marks:
        states.append(observe(states[-1], one, rules, xp=np))
    return states[1:]


def test_a_stop_loss_is_a_distance_below_the_entry_and_holds_for_the_cool_down() -> None:
    states = seen(held(100, 95.1, 94.9, 80, 80, 80), OFF._replace(stop_loss=0.05, cooldown=3))
    assert [state.resting.tolist() for state in states] == [[0], [0], [3], [2], [1], [0]]


def test_a_trailing_stop_is_a_distance_below_the_highest_close() -> None:
    states = seen(held(100, 120, 109, 107), OFF._replace(trailing_stop=0.1, cooldown=1))
    assert [state.resting.tolist() for state in states] == [[0], [0], [0], [1]]


def test_what_is_bought_on_top_moves_entry_and_top_by_its_share() -> None:
    marks = [*held(100, 200), *held(160, quantity=3.0)]
    state = seen(marks, OFF)[-1]
    assert state.entry.tolist() == pytest.approx([(100 + 2 * 200) / 3])
    assert state.top.tolist() == [200]


def test_a_drawdown_stops_until_it_is_reset() -> None:
    marks = held(1000, 400, 2000, 2000, cash=0)
    rules = OFF._replace(drawdown=0.5)
    states = seen(marks, rules)
    assert [bool(state.is_stopped) for state in states] == [False, True, True, True]
    again = observe(reset(states[1], marks[1]), marks[1], rules, xp=np)
    assert not again.is_stopped
    assert again.peak == 400


def test_turnover_counts_by_the_utc_day_in_which_it_was_decided() -> None:
    rules = OFF._replace(turnover=1.0)
    marks = [
        Marks(np.array([quantity]), np.array([100.0]), np.float64(1000), day)
        for quantity, day in ((0, 0), (3, 0), (3, 0), (5, 1))
    ]
    states = seen(marks, rules)
    assert [float(state.turnover) for state in states] == [0, 300, 300, 0]


def test_every_rule_has_its_name() -> None:
    names = [rule.name for rule in RULES]
    assert sorted(set(names)) == sorted(
        ["max_weight", "max_gross", "cash_floor", "max_order", "max_day_turnover", "stop", "max_day_loss", "max_drawdown"]
    )

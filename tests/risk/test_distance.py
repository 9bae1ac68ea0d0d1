"""A distance says what its rule does: it is over where the rule acts, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.risk import Limits, Marks, first, observe
from cappuccino.risk.distance import distances

ASSETS = ("BTC", "ETH")
HELD = np.array([1.0, 10.0])
BEFORE = np.array([100.0, 10.0])


def after(closes: tuple[float, float], limits: Limits, cash: float):
    """State and marks one close after the holdings were first seen, on the same day."""
    state = first(Marks(HELD, BEFORE, np.float64(cash + HELD @ BEFORE), 1), xp=np)
    marks = Marks(HELD, np.array(closes), np.float64(cash + HELD @ np.array(closes)), 1)
    return observe(state, marks, limits, xp=np), marks


@given(
    closes=st.tuples(st.floats(50, 150), st.floats(5, 15)),
    stop=st.floats(0.01, 0.4),
    loss=st.floats(0.01, 0.4),
)
def test_nothing_is_left_where_a_rule_acts(closes, stop, loss):
    limits = Limits(stop_loss=stop, trailing_stop=stop, day_loss=loss, drawdown=loss)
    state, marks = after(closes, limits, 50.0)
    found = {(one.rule, one.asset): one for one in distances(state, marks, limits, ASSETS, 0.0)}
    for a, asset in enumerate(ASSETS):
        is_over = found["stop_loss", asset].left <= 0 or found["trailing_stop", asset].left <= 0
        assert is_over == (state.resting[a] > 0)
    assert (found["max_day_loss", None].left <= 0) == state.is_day_stopped
    assert (found["max_drawdown", None].left <= 0) == state.is_stopped


def test_only_rules_that_are_on_are_listed_and_what_is_used_is_a_share():
    state, marks = after((110.0, 9.0), Limits(), 800.0)
    assert distances(state, marks, Limits(), ASSETS, 0.0) == []
    limits = Limits(weight=0.5, gross=0.4, cash=1_600.0, order=100.0, turnover=2.0)
    found = {one.rule: one for one in distances(state, marks, limits, ASSETS, 25.0)}
    assert list(found) == ["max_weight", "max_gross", "cash_floor", "max_order", "max_day_turnover"]
    assert found["max_weight"].asset == "BTC"
    assert found["max_weight"].now == pytest.approx(0.11)
    assert found["cash_floor"].left == pytest.approx(-800)
    assert (found["cash_floor"].used, found["max_order"].used) == (1.0, 0.25)

"""What a trial is worth: its own figure, or the worst there is for a policy that did nothing or nothing of its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.config.sweep import DIRECTIONS, OBJECTIVES
from cappuccino.sweep.objective import EXPOSURE_FLOOR, objective_of
from cappuccino.training.lanes import Validation

WORST = {"maximize": -math.inf, "minimize": math.inf}
FINITE = st.floats(-100, 100)


@st.composite
def validations(draw: st.DrawFn, exposure: st.SearchStrategy[float], deviation: st.SearchStrategy[float]) -> dict[str, float]:
    """Figures as a lane has them and the robust one, all finite."""
    figures = {name: draw(FINITE) for name in (*Validation._fields, "robust_growth")}
    return figures | {"exposure": draw(exposure), "active_deviation": draw(deviation)}


IN_THE_MARKET, OUT_OF_IT = st.floats(EXPOSURE_FLOOR, 1), st.floats(0, EXPOSURE_FLOOR, exclude_max=True)
ACTIVE = st.floats(1e-6, 1)


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(validation=validations(IN_THE_MARKET, st.just(0.0)))
def test_without_active_variance_a_ratio_to_it_is_the_worst_there_is(direction: str, validation: dict[str, float]) -> None:
    assert objective_of("active", validation, direction) == WORST[direction]
    for name in OBJECTIVES.keys() - {"active"}:
        assert objective_of(name, validation, direction) in validation.values()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", OBJECTIVES)
@given(validation=validations(OUT_OF_IT, st.floats(0, 1)))
def test_out_of_the_market_every_objective_is_the_worst_there_is(
    name: str, direction: str, validation: dict[str, float]
) -> None:
    assert objective_of(name, validation, direction) == WORST[direction]


@pytest.mark.parametrize("direction", DIRECTIONS)
@given(validation=validations(IN_THE_MARKET, ACTIVE))
def test_who_is_active_is_worth_the_lower_bound_of_the_ratio(direction: str, validation: dict[str, float]) -> None:
    assert objective_of("active", validation, direction) == validation["active_ratio"]

"""The compiled environment against the slow reference, in float64 and in float32."""

from __future__ import annotations

import numpy as np
import pytest
from env_reference import slow_rollout
from env_scenarios import draw_scenario, run, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.env import REWARDS

SCENES = settings(max_examples=25, deadline=None)

# A minimum notional above zero keeps orders that exist only through rounding out of both.
REAL_MINIMUM = st.sampled_from([1e-6, 10.0, 2000.0])


MONEY = ("cash", "equity", "peak", "notional", "fees", "slippage")


@pytest.mark.parametrize("reward", REWARDS)
@given(scene=scenarios(), minimum=REAL_MINIMUM, weights=st.tuples(*[st.sampled_from([0.0, 0.3])] * 3))
@SCENES
def test_float64_environment_equals_slow_reference(reward, scene, minimum, weights):
    """To 1e-10, of the capital where it is money. The differential Sharpe ratio to 1e-8: its variance may be 1e-8."""
    turnover, drawdown, concentration = weights
    scene = scene.but(
        min_notional=minimum, turnover=turnover, drawdown=drawdown, concentration=concentration, scale=3.0, sharpe_rate=0.05
    )
    fast, slow = run(scene, reward=reward), slow_rollout(scene, reward)
    for name, expected in slow.items():
        tolerance = 1e-8 if name == "reward" and reward == "differential_sharpe" else 1e-10
        floor = tolerance * scene.capital if name in MONEY else tolerance
        np.testing.assert_allclose(getattr(fast, name), expected, rtol=tolerance, atol=floor, err_msg=name)


def test_scenarios_reach_refusals_restarts_cuts_and_masks():
    """The comparison above means something only if all of these happen in it, for want of cash and for want of a bar."""
    scene = draw_scenario(5, gap=0.2, masked=0.3, increments=True, min_notional=10.0, limit=0.1)
    slow = slow_rollout(scene, "log_growth")
    assert slow["terminated"].sum() > 3
    assert slow["refused"].sum() > 10
    short = slow_rollout(scene.but(tradable=np.ones_like(scene.tradable)), "log_growth")
    assert short["refused"].sum() > 0
    coarse, fine = slow["bought"], slow_rollout(scene.but(increment=0 * scene.increment), "log_growth")["bought"]
    assert not np.allclose(coarse, fine)


@given(
    scene=scenarios(
        gap=0.005, increments=False, min_notional=0.0, masked=0.0, margin=0.04, half_spread=0.0002, limit=1.0, taker_fee=0.0025
    )
)
@SCENES
def test_float32_environment_is_within_two_parts_in_a_million(scene):
    """Where nothing is cut, refused or restarted, so that no last bit decides: growth to 2e-6, money to 1e-5 of the capital.

    The amount grows over the eight steps, as every step inherits the error of the one before.
    """
    fast, slow = run(scene, double=False), slow_rollout(scene, "log_growth")
    np.testing.assert_allclose(fast.log_growth, slow["log_growth"], atol=2e-6)
    np.testing.assert_allclose(fast.reward, slow["reward"], atol=2e-6)
    for name in MONEY:
        np.testing.assert_allclose(getattr(fast, name), slow[name], rtol=1e-5, atol=1e-5 * scene.capital, err_msg=name)

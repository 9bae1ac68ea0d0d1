"""The risk rules inside the environment: absent without limits, harmless when off, and else those of the slow reference."""

from __future__ import annotations

import functools
import pathlib
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from env_scenarios import Scenario, draw_scenario, on_device, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "risk"))
from risk_reference import SlowRules

from cappuccino.env import Environment
from cappuccino.errors import InputError
from cappuccino.risk import Limits

INF = float("inf")
OFF = Limits(INF, INF, 0.0, INF, INF, INF, INF, 1.0, INF, INF)
BARS_A_DAY = 3


@functools.partial(jax.jit, static_argnames="env")
def rollout(env: Environment, tick: Any, initial: Any, targets: Any, fresh: Any, market: Any, params: Any) -> Any:
    """The accounts before each step, the steps, and the accounts at the end."""

    def body(state: Any, weights: Any) -> Any:
        after, step = env.step(state, weights, fresh, market, params)
        return after, (state.account, step)

    state, steps = jax.lax.scan(body, env.open(tick, initial, market, params), targets)
    return *steps, state.account


def run(scene: Scenario, limits: Limits | None, targets: np.ndarray | None = None) -> tuple[Any, Any, Any]:
    with jax.enable_x64(True):
        market, params = on_device(scene, jnp.float64)
        market = market._replace(day=jnp.asarray(np.arange(len(scene.close)) // BARS_A_DAY, jnp.int32))
        params = params._replace(risk=None if limits is None else jax.tree.map(jnp.float64, limits))
        env = Environment(*scene.targets.shape[2:], scene.targets.shape[0])
        given = scene.targets if targets is None else targets
        arrays = (jnp.asarray(x, jnp.float64) for x in (scene.initial, given, scene.fresh))
        return jax.tree.map(np.asarray, rollout(env, jnp.asarray(scene.ticks, jnp.int32), *arrays, market, params))


def allowed_slowly(scene: Scenario, limits: Limits, accounts: Any, steps: Any) -> np.ndarray:
    """The targets of all accounts under the reference's rules, which see the accounts as they were before each step."""
    allowed = np.zeros_like(scene.targets)
    K, _, G, R = scene.targets.shape
    for g in range(G):
        for r in range(R):
            slow = None
            for k in range(K):
                row = int(scene.ticks[g]) + k
                seen = (
                    accounts.holdings[k, :, g, r].tolist(),
                    scene.close[row].tolist(),
                    float(accounts.equity[k, g, r]),
                    row // BARS_A_DAY,
                )
                if slow is None or steps.terminated[k - 1, g, r]:
                    slow = SlowRules(limits, *seen)
                slow.see(*seen)
                allowed[k, :, g, r] = slow.allow(scene.targets[k, :, g, r].tolist())
    return allowed


@given(scenarios(min_notional=0.0, increments=False))
@settings(max_examples=20)
def test_limits_that_are_off_change_nothing(scene: Scenario) -> None:
    """Up to how XLA rounds another program; without limits the program is the one that knows no rules."""
    for mine, theirs in zip(jax.tree.leaves(run(scene, OFF)), jax.tree.leaves(run(scene, None)), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


LIMITS = st.builds(
    Limits,
    weight=st.sampled_from([INF, 0.4]),
    gross=st.sampled_from([INF, 0.7]),
    cash=st.sampled_from([0.0, 1_500.0]),
    order=st.sampled_from([INF, 2_000.0]),
    turnover=st.sampled_from([INF, 0.8]),
    stop_loss=st.sampled_from([INF, 0.0103]),
    trailing_stop=st.sampled_from([INF, 0.0207]),
    cooldown=st.sampled_from([1.0, 2.0]),
    day_loss=st.sampled_from([INF, 0.0307]),
    drawdown=st.sampled_from([INF, 0.0511]),
    own=st.none(),
)


@given(scenarios(min_notional=0.01, increments=False), LIMITS)
@settings(max_examples=60)
def test_targets_are_limited_as_the_slow_reference_limits_them(scene: Scenario, limits: Limits) -> None:
    accounts, steps, last = run(scene, limits)
    plain_accounts, plain_steps, plain_last = run(scene, None, allowed_slowly(scene, limits, accounts, steps))
    for mine, theirs in ((accounts, plain_accounts), (steps, plain_steps), (last, plain_last)):
        for one, other in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-6)


def test_a_market_without_days_is_refused() -> None:
    scene = draw_scenario(0)
    market, params = on_device(scene, jnp.float32)
    params = params._replace(risk=jax.tree.map(jnp.float32, OFF))
    env = Environment(*scene.targets.shape[2:], scene.targets.shape[0])
    with pytest.raises(InputError, match="does not say which day"):
        env.open(jnp.asarray(scene.ticks, jnp.int32), jnp.asarray(scene.initial, jnp.float32), market, params)

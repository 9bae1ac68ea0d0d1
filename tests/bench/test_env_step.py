"""The opponent of the benchmark `env_step` does what the environment does, and the benchmark runs."""

from __future__ import annotations

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.cli import main
from cappuccino.commands import bench
from cappuccino.env import EnvState, open_account

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "env"))
sys.path.insert(0, str(bench.FOLDER))

from env_scenarios import Scenario, on_device, run, scenarios

pytest.importorskip("numba")

from numba_env import NumbaEnv


def numba_rollout(scene: Scenario, *, at_once: bool) -> tuple[NumbaEnv, dict[str, np.ndarray]]:
    """The scene's targets by the Numba loop in float64: its state after the last step, and (K, G, R) by name."""
    with jax.enable_x64(True):
        market, params = on_device(scene, jnp.float64)
        tick = jnp.asarray(scene.ticks, jnp.int32)
        price = jnp.moveaxis(market.close[tick], -1, 0)[..., None]
        account = open_account(jnp.asarray(scene.initial), price, params.capital)
        env = NumbaEnv.of(EnvState(tick, jnp.zeros((), jnp.int32), account, ()), market, params)
    steps, _, clocks, accounts = scene.targets.shape
    out = {name: np.empty((steps, clocks, accounts)) for name in ("reward", "log_growth")}
    out["terminated"] = np.empty((steps, clocks, accounts), bool)
    for k in [slice(None)] if at_once else [slice(k, k + 1) for k in range(steps)]:
        env.step(scene.targets[k], scene.fresh, out["reward"][k], out["terminated"][k], out["log_growth"][k])
    return env, out


@given(
    scene=scenarios(),
    minimum=st.sampled_from([1e-6, 10.0, 2000.0]),
    weights=st.tuples(*[st.sampled_from([0.0, 0.3])] * 3),
    at_once=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_numba_loop_equals_the_environment(
    scene: Scenario, minimum: float, weights: tuple[float, float, float], at_once: bool
) -> None:
    """In float64 to 1e-10, of the capital where it is money; a minimum notional above zero, as against the slow reference."""
    turnover, drawdown, concentration = weights
    scene = scene.but(min_notional=minimum, turnover=turnover, drawdown=drawdown, concentration=concentration, scale=3.0)
    ours = run(scene)
    state, theirs = numba_rollout(scene, at_once=at_once)
    np.testing.assert_array_equal(theirs["terminated"], ours.terminated)
    for name in ("reward", "log_growth"):
        np.testing.assert_allclose(theirs[name], getattr(ours, name), rtol=1e-10, atol=1e-10, err_msg=name)
    for name in ("cash", "equity", "peak", "holdings"):
        floor = 1e-10 * (scene.capital if name != "holdings" else 1)
        np.testing.assert_allclose(getattr(state, name), getattr(ours, name)[-1], rtol=1e-10, atol=floor, err_msg=name)
    np.testing.assert_array_equal(state.tick, ours.tick[-1])


def test_blocks_that_the_accounts_do_not_fill_are_no_different() -> None:
    """Seventy accounts of one clock are two blocks; account by account they are what each is alone."""
    from env_scenarios import draw_scenario

    scene = draw_scenario(8, gap=0.1, masked=0.2, increments=True, min_notional=10.0, limit=0.1)
    wide = scene.but(**{name: np.tile(getattr(scene, name), 18)[..., :70] for name in ("initial", "targets", "fresh")})
    _, few = numba_rollout(scene, at_once=True)
    _, many = numba_rollout(wide, at_once=True)
    assert few["terminated"].any()
    for name, values in many.items():
        np.testing.assert_allclose(values, np.tile(few[name], 18)[..., :70], rtol=1e-12, atol=1e-14, err_msg=name)


def test_the_benchmark_runs_small(tmp_path: pathlib.Path) -> None:
    assert main(["bench", "env_step", "--small", "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "env_step.json").read_text())
    assert [row["must"] for row in result["rows"]][:2] == [1.5, 1.5]
    assert all(row["median"] > 0 and len(row["repeats"]) >= 5 for row in result["rows"])
    assert result["rows"][0]["details"]["share_that_agrees"]["reward"] >= 0.999

"""Many cost settings at once are as many backtests, whatever the number of devices."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_markets import LOOKBACK, made_market, made_params, made_policy, slow_backtest

from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import Strategy, backtest, policy_strategy, table_strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs
from cappuccino.mesh import mesh_of

ROWS = np.setdiff1d(np.arange(10, 50), [30, 31])
FEES = np.array([0.0, 0.001, 0.01, 0.002, 0.0])
SPREADS = np.array([0.0, 0.0005, 0.0, 0.001, 0.004])
SLIPPAGES = np.array([0.001, 0.0, 0.0, 0.0005, 0.0])
SETTINGS = CostSettings(FEES, SPREADS, SLIPPAGES)
"""Five: over two devices they do not divide."""


def grid(strategy: Strategy) -> np.ndarray:
    market, _ = made_market((60,), seed=9)
    return np.asarray(equity_by_costs(strategy, market, ROWS, made_params(), SETTINGS, mesh_of()))


def table() -> np.ndarray:
    return np.random.default_rng(12).dirichlet(np.ones(4), len(ROWS))[:, :3].astype(np.float32)


def policy() -> Strategy:
    return policy_strategy(made_policy(kind="per_asset"), LOOKBACK)


def test_every_setting_is_the_slow_backtest_under_its_costs():
    market, _ = made_market((60,), seed=9)
    together = grid(table_strategy(table()))
    for k, (fee, spread, slippage) in enumerate(zip(*SETTINGS, strict=True)):
        params = made_params(fee=fee, half_spread=spread, slippage=slippage)
        np.testing.assert_allclose(
            together[:, k], slow_backtest(table(), market, ROWS, params, np.zeros(3))["equity"], rtol=1e-5
        )


def test_a_policy_under_many_costs_is_as_many_backtests():
    """What it decides depends on the weights it holds, which depend on the costs."""
    market, _ = made_market((60,), seed=9)
    together = grid(policy())
    for k, (fee, spread, slippage) in enumerate(zip(*SETTINGS, strict=True)):
        params = made_params(fee=fee, half_spread=spread, slippage=slippage)
        alone = backtest(policy(), market, ROWS, params, jnp.zeros(3))
        np.testing.assert_allclose(together[:, k], alone.equity, rtol=1e-5)
    assert together[-1, 1] > together[-1, 2]


TWO_DEVICES = """
import sys
import jax
sys.path.insert(0, sys.argv[1])
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np
from test_cost_grid import grid, policy
assert len(jax.devices()) == 2
np.save(sys.argv[2], grid(policy()))
"""


def test_two_devices_are_one(tmp_path: pathlib.Path):
    command = [sys.executable, "-c", TWO_DEVICES, str(pathlib.Path(__file__).parent), str(tmp_path / "two.npy")]
    subprocess.run(command, check=True, env=dict(os.environ), timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "two.npy"), grid(policy()), rtol=1e-5)
    assert len(jax.devices()) == 1


@pytest.mark.parametrize("settings", [(FEES, SPREADS, SLIPPAGES[:3]), (0.1, 0.1, 0.1), ([], [], [])])
def test_settings_of_several_lengths_are_refused(settings):
    market, _ = made_market((60,), seed=9)
    with pytest.raises(InputError, match="three rows of one length"):
        equity_by_costs(table_strategy(table()), market, ROWS, made_params(), CostSettings(*settings), mesh_of())

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
    for k, (fee, spread, slippage) in enumerate(zip(*SETTINGS[:3], strict=True)):
        params = made_params(fee=fee, half_spread=spread, slippage=slippage)
        np.testing.assert_allclose(
            together[:, k], slow_backtest(table(), market, ROWS, params, np.zeros(3))["equity"], rtol=1e-5
        )


def test_a_policy_under_many_costs_is_as_many_backtests():
    """What it decides depends on the weights it holds, which depend on the costs."""
    market, _ = made_market((60,), seed=9)
    together = grid(policy())
    for k, (fee, spread, slippage) in enumerate(zip(*SETTINGS[:3], strict=True)):
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
    with pytest.raises(InputError, match="rows of one length"):
        equity_by_costs(table_strategy(table()), market, ROWS, made_params(), CostSettings(*settings), mesh_of())


def delayed(table: np.ndarray, bars: int) -> np.ndarray:
    """Targets when they reach the venue: until an episode's first does there is only the cash that it begins with."""
    begins = np.flatnonzero(np.diff(ROWS, prepend=ROWS[0] - 2) != 1)
    parts = [
        np.concatenate([np.zeros((bars, table.shape[1]), table.dtype), part])[: len(part)] for part in np.split(table, begins)
    ]
    return np.concatenate(parts)


def test_a_delayed_table_is_the_table_moved_on_within_each_episode():
    market, _ = made_market((60,), seed=9)
    delays = np.array([0, 1, 2, 3, 1])
    found = equity_by_costs(table_strategy(table()), market, ROWS, made_params(), SETTINGS._replace(delay=delays), mesh_of())
    for k, (fee, spread, slippage) in enumerate(zip(*SETTINGS[:3], strict=True)):
        params = made_params(fee=fee, half_spread=spread, slippage=slippage)
        slow = slow_backtest(delayed(table(), delays[k]), market, ROWS, params, np.zeros(3))
        np.testing.assert_allclose(found[:, k], slow["equity"], rtol=1e-5)


def test_without_delay_a_policy_does_what_it_does_and_late_it_sees_what_it_holds():
    market, _ = made_market((60,), seed=9)
    still = SETTINGS._replace(delay=np.zeros(5, int))
    np.testing.assert_allclose(
        equity_by_costs(policy(), market, ROWS, made_params(), still, mesh_of()), grid(policy()), rtol=1e-6
    )
    late = np.asarray(equity_by_costs(policy(), market, ROWS, made_params(), still._replace(delay=np.full(5, 3)), mesh_of()))
    capital = float(made_params().capital)
    begins = np.flatnonzero(np.diff(ROWS, prepend=ROWS[0] - 2) != 1)
    for first in begins:
        np.testing.assert_array_equal(late[first : first + 3], capital)
        assert (late[first + 3] != capital).any()


def test_a_delay_out_of_range_is_refused():
    market, _ = made_market((60,), seed=9)
    settings = SETTINGS._replace(delay=np.array([-1, 0, 4, 1, 1]))
    with pytest.raises(InputError, match="delays run from -1 to 4; they must be 0 to 3 bars"):
        equity_by_costs(table_strategy(table()), market, ROWS, made_params(), settings, mesh_of())

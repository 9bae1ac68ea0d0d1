"""Many cost settings at once are as many backtests, whatever the number of devices."""

from __future__ import annotations

import dataclasses
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
from cappuccino.evaluation.backtest import Strategy, backtest, policy_strategy, replay, table_strategy
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
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


DELAYS = np.array([0, 1, 2, 3])


def late(targets: np.ndarray, delay: int) -> np.ndarray:
    """What arrives at each of ROWS where `targets` are decided: not-a-number, which orders nothing, until the first is there."""
    arrived = np.full(targets.shape, np.nan)
    for episode in np.split(np.arange(len(ROWS)), np.flatnonzero(np.diff(ROWS) != 1) + 1):
        arrived[episode[delay:]] = targets[episode[: len(episode) - delay]]
    return arrived


@dataclasses.dataclass(frozen=True)
class HalvingRule:
    """Wants half of what it holds more and half of a table: depends on the account."""

    def prepare(self, arrays, market, rows):
        del market, rows
        return arrays

    def decide(self, arrays, inputs, weights):
        del arrays
        return 0.5 * weights + 0.5 * inputs[:, None]


def test_with_a_delay_the_slow_backtest_trades_what_was_decided_as_many_bars_before():
    """And it was decided from the account as it was then. From weights of its own, so that nothing ordered is no sale either."""
    market, _ = made_market((60,), seed=9, holes=0.1)
    first = np.array([0.2, 0.3, 0.1], np.float32)
    record = replay(
        HalvingRule(),
        jnp.asarray(table()),
        market,
        jnp.asarray(ROWS),
        made_params(),
        jnp.tile(first[:, None], 4),
        jnp.asarray(DELAYS),
    )
    begins = np.diff(ROWS, prepend=-1) != 1
    for delay in DELAYS:
        decided, held = np.asarray(record.targets)[..., delay], np.asarray(record.weights)[..., delay]
        seen = np.where(begins[:, None], first, np.concatenate([first[None], held[:-1]]))
        np.testing.assert_allclose(decided, 0.5 * seen + 0.5 * table(), rtol=1e-5, atol=1e-7)
        slow = slow_backtest(late(decided, delay), market, ROWS, made_params(), first)
        np.testing.assert_allclose(np.asarray(record.equity)[:, delay], slow["equity"], rtol=1e-5)
        np.testing.assert_array_equal(np.asarray(record.notional)[:, delay] > 0, slow["notional"] > 0)
    assert len(np.unique(np.asarray(record.equity)[-1])) == len(DELAYS)


@pytest.mark.parametrize("strategy", [policy(), table_strategy(table())], ids=["policy", "table"])
def test_no_delay_is_the_grid_without_delays(strategy):
    market, _ = made_market((60,), seed=9)
    none = equity_by_costs(strategy, market, ROWS, made_params(), SETTINGS._replace(delay=np.zeros(5, int)), mesh_of())
    np.testing.assert_allclose(none, grid(strategy), rtol=1e-6)


def test_what_is_late_is_unmoved_by_later_bars():
    market, _ = made_market((60,), seed=9)
    settings = CostSettings(*(np.full(4, cost) for cost in (0.001, 0.0, 0.0)), delay=DELAYS)
    cut = 40
    changed = market._replace(
        open=market.open.at[cut + 1 :].multiply(1.3),
        close=market.close.at[cut + 1 :].multiply(0.7),
        features=market.features.at[cut + 1 :].add(1),
    )
    before, after = (
        np.asarray(equity_by_costs(policy(), m, ROWS, made_params(), settings, mesh_of())) for m in (market, changed)
    )
    known = cut > ROWS
    np.testing.assert_array_equal(before[known], after[known])
    assert (before[~known][0] != after[~known][0]).all()


def test_no_fee_more_gives_more_equity():
    market, _ = made_market((60,), seed=9)
    fees = np.linspace(0, 0.02, 9)
    equity = equity_by_costs(
        table_strategy(table()), market, ROWS, made_params(), CostSettings(fees, 0 * fees, 0 * fees, np.full(9, 2)), mesh_of()
    )
    assert (np.diff(np.asarray(equity)[-1]) < 0).all()


@pytest.mark.parametrize("delay", [4, -1, 0.5])
def test_a_delay_that_no_order_can_have_is_refused(delay):
    market, _ = made_market((60,), seed=9)
    with pytest.raises(InputError, match="each must be one of 0 to 3"):
        equity_by_costs(policy(), market, ROWS, made_params(), SETTINGS._replace(delay=np.full(5, delay)), mesh_of())


def test_mean_growth_chains_episodes_from_the_capital():
    equity = np.array([[110.0, 0.0], [120.0, 0.0], [90.0, 50.0]])
    growth = mean_log_growth(equity, np.array([3, 4, 9]), 100.0)
    np.testing.assert_allclose(growth, [np.log(1.2 * 0.9) / 3, -np.inf])

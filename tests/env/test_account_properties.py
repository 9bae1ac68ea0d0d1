"""What no trade may do, whatever weights, gaps, costs and masks: lose value untold, go short, or borrow."""

from __future__ import annotations

import numpy as np
import pytest
from env_scenarios import CLOCKS, STEPS, draw_scenario, run, scenarios
from hypothesis import assume, given, settings
from hypothesis import strategies as st

PROPERTY = settings(max_examples=40, deadline=None)


def rows(scene, table, offset):
    """A table's rows t + offset for every step and clock: (K, A, G, 1)."""
    ticks = scene.ticks[None, :] + np.arange(STEPS)[:, None] + offset
    return np.moveaxis(table[ticks], -1, 1)[..., None]


def entering(after, first):
    """What each step began with, from what each step ended with."""
    return np.concatenate([first[None], after[:-1]])


@given(scene=scenarios())
@PROPERTY
def test_value_is_conserved_up_to_costs(scene):
    """Equity changes by what the holdings gained, close to open before the trade and open to close after it, less costs."""
    out = run(scene)
    close_t, open_tp1, close_tp1 = rows(scene, scene.close, 0), rows(scene, scene.open, 1), rows(scene, scene.close, 1)
    entry = scene.capital * scene.initial / rows(scene, scene.close, 0)[0]
    held = entering(out.holdings, entry)
    kept = held - out.sold + out.bought * (1 - scene.taker_fee)
    gained = (held * (open_tp1 - close_t) + kept * (close_tp1 - open_tp1)).sum(axis=1)
    before = entering(out.equity, np.full_like(out.equity[0], scene.capital))
    expected = before + gained - out.fees - out.slippage
    np.testing.assert_allclose(before * np.exp(out.log_growth), expected, rtol=1e-12, atol=1e-12 * scene.capital)
    traded = ((out.sold + out.bought) * open_tp1).sum(axis=1)
    np.testing.assert_allclose(out.notional, traded, rtol=1e-12, atol=1e-12 * scene.capital)


@pytest.mark.parametrize("double", [True, False])
@given(scene=scenarios())
@PROPERTY
def test_cash_and_holdings_are_never_negative(double, scene):
    out = run(scene, double=double)
    assert (out.cash >= 0).all()
    assert (out.holdings >= 0).all()
    assert (out.observed >= 0).all()


@pytest.mark.parametrize("double", [True, False])
@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_cash_is_not_negative_where_a_buy_takes_exactly_all_of_it(double, seed):
    """The margin equals the cost of the spread and the open equals the close: rounding alone decides whether cash suffices."""
    scene = draw_scenario(seed, gap=0.0, half_spread=0.0, slippage=0.01, margin=0.01, taker_fee=0.0)
    assert (run(scene, double=double).cash >= 0).all()


@given(scene=scenarios(masked=0.3))
@PROPERTY
def test_an_asset_without_a_bar_at_t_or_at_the_fill_trades_nothing(scene):
    out = run(scene)
    missing = ~(rows(scene, scene.tradable, 0) & rows(scene, scene.tradable, 1))
    missing = np.broadcast_to(missing, out.sold.shape)
    assert (out.sold[missing] == 0).all()
    assert (out.bought[missing] == 0).all()


@given(scene=scenarios(min_notional=2000.0))
@PROPERTY
def test_no_order_is_planned_below_the_minimum_notional_with_headroom(scene):
    out = run(scene)
    planned_at = rows(scene, scene.close, 0)
    for quantity in (out.sold, out.bought):
        value = (quantity * planned_at)[quantity > 0]
        assert (value >= 1.02 * scene.min_notional * (1 - 1e-12)).all()


@pytest.mark.parametrize("reward", ["log_growth", "differential_sharpe"])
@given(scene=scenarios(increments=False, scale=7.0, turnover=0.1, drawdown=0.1), power=st.integers(-6, 12))
@PROPERTY
def test_scaling_capital_scales_orders_only(reward, scene, power):
    """By a power of two, so that equality is exact: weights, growth and rewards do not know how rich the account is."""
    factor = 2.0**power
    poor, rich = (
        run(s, reward=reward)
        for s in (scene, scene.but(capital=scene.capital * factor, min_notional=scene.min_notional * factor))
    )
    for name in ("reward", "log_growth", "terminated", "refused"):
        np.testing.assert_array_equal(getattr(rich, name), getattr(poor, name), err_msg=name)
    np.testing.assert_array_equal(rich.observed, poor.observed)
    for name in ("sold", "bought", "holdings", "cash", "equity", "peak", "notional", "fees", "slippage"):
        np.testing.assert_array_equal(getattr(rich, name), factor * getattr(poor, name), err_msg=name)


@given(scene=scenarios(gap=0.005, masked=0.0, margin=0.04, half_spread=0.0002), order=st.permutations(range(3)))
@PROPERTY
def test_permuting_assets_permutes_fills_where_cash_suffices(scene, order):
    scene = scene.but(min_notional=max(scene.min_notional, 1e-6))
    plain = run(scene)
    assume((plain.refused == 0).all())
    columns = {name: getattr(scene, name)[:, order] for name in ("open", "close", "tradable")}
    columns |= {name: getattr(scene, name)[order] for name in ("initial", "fresh", "increment")}
    moved = run(scene.but(**columns, targets=scene.targets[:, order]))
    for name in ("sold", "bought", "holdings"):
        np.testing.assert_allclose(getattr(moved, name), getattr(plain, name)[:, order], rtol=1e-9, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(moved.reward, plain.reward, atol=1e-10)
    np.testing.assert_array_equal(moved.terminated, plain.terminated)


def test_where_cash_is_short_the_order_of_the_assets_decides_which_buy_is_refused():
    """Half of the equity in each of two assets, no margin, and both open ten per cent higher: the cash pays for the first."""
    flat = np.ones((24, 3))
    scene = draw_scenario(0).but(
        open=flat * 1.1, close=flat, tradable=flat > 0, initial=np.zeros((3, CLOCKS, 4)), margin=0.0, taker_fee=0.0
    )
    for first, second in ((0, 2), (1, 2), (0, 1)):
        halves = np.zeros_like(scene.targets)
        halves[:, [first, second]] = 0.5
        out = run(scene.but(targets=halves))
        assert (out.bought[0, first] > 0).all()
        assert (out.bought[0, second] == 0).all()
        assert (out.refused[0] == 1).all()


@given(scene=scenarios(), row=st.integers(1, 22), seed=st.integers(0, 99))
@PROPERTY
def test_bars_after_the_fill_change_no_fill_and_no_reward(scene, row, seed):
    """With the bars after `row` replaced, every step that is marked at `row` or before is the same to the last bit."""
    other = draw_scenario(seed, gap=0.1, move=0.1, masked=0.3)
    later = np.arange(len(scene.close))[:, None] > row
    changed = {name: np.where(later, getattr(other, name), getattr(scene, name)) for name in ("open", "close", "tradable")}
    plain, forked = run(scene), run(scene.but(**changed))
    known = scene.ticks[None, :] + np.arange(STEPS)[:, None] + 1 <= row
    for name in plain.record:
        a, b = (np.moveaxis(x.record[name], -2, 1)[known] for x in (plain, forked))
        np.testing.assert_array_equal(a, b, err_msg=name)


@given(scene=scenarios(masked=0.0, limit=1.0), row=st.integers(1, 22), factor=st.sampled_from([0.5, 0.99, 1.01, 2.0]))
@PROPERTY
def test_prices_after_t_change_no_order_planned_at_t(scene, row, factor):
    """A sell fills what was planned whatever the price, so the sells decided at `row` show the plan."""
    later = np.arange(len(scene.close))[:, None] > row
    moved = {name: np.where(later, factor, 1.0) * getattr(scene, name) for name in ("open", "close")}
    plain, forked = run(scene), run(scene.but(**moved))
    known = scene.ticks[None, :] + np.arange(STEPS)[:, None] <= row
    for name in ("sold", "observed"):
        a, b = (np.moveaxis(getattr(x, name), -2, 1)[known] for x in (plain, forked))
        np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("double", [True, False])
@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_selling_everything_in_steps_never_oversells(double, seed):
    scene = draw_scenario(seed, increments=True, taker_fee=0.0025)
    targets = np.where(np.arange(STEPS)[:, None, None, None] % 2 == 0, scene.targets, 0.0)
    out = run(scene.but(targets=targets), double=double)
    assert (out.holdings >= 0).all()
    left = out.holdings[1::2] / np.where(scene.increment > 0, scene.increment, np.inf)[None, :, None, None]
    held = out.holdings[0::2] / np.where(scene.increment > 0, scene.increment, np.inf)[None, :, None, None]
    assert (left <= 1 + 1e-6 + held * (1e-12 if double else 3e-7)).all()

"""The planning rule by itself, in both array namespaces: NumPy, as the trader runs it, and JAX, as the environment does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.plan import NOTIONAL_HEADROOM, OrderRules, cut_to_increment, fit_buys, plan_orders

PROPERTY = settings(max_examples=60, deadline=None)

INCREMENTS = st.integers(-9, 0).map(lambda power: 10.0**power)
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def draw_accounts(seed: int, dtype: type, assets: int = 4, accounts: int = 32):
    """Random accounts of many sizes as `plan_orders` takes them, with corners among the weights: (arguments, rules)."""
    rng = np.random.default_rng(seed)
    price = 10 ** rng.uniform(-2, 5, (assets, 1))
    capital = 10 ** rng.uniform(0, 7, accounts)
    held, target = (rng.dirichlet(np.ones(assets + 1), accounts).T for _ in range(2))
    corner = np.eye(assets + 1)[rng.integers(assets + 1, size=accounts)].T
    target = np.where(rng.random(accounts) < 0.3, corner, target)
    held = np.where(rng.random(accounts) < 0.2, corner, held)
    increment = 10.0 ** rng.integers(-9, 1, (assets, 1)) * (rng.random((assets, 1)) < 0.8)
    rules = OrderRules(dtype(10 ** rng.uniform(-1, 3)), increment.astype(dtype), dtype(0.04))
    arrays = (target[:-1], held[:-1] * capital / price, held[-1] * capital, price)
    tradable = rng.random((assets, 1)) < 0.8
    return (*(x.astype(dtype) for x in arrays), tradable), rules


def in_jax(function, *arguments):
    """The function compiled with `jax.numpy`, in the dtype of its arguments; NumPy arrays come back."""
    with jax.enable_x64(True):
        compiled = jax.jit(function, static_argnames="xp")
        return jax.tree.map(np.asarray, compiled(*jax.tree.map(jnp.asarray, arguments), xp=jnp))


@given(quantity=st.floats(1e-12, 1e12), increment=INCREMENTS)
@PROPERTY
def test_cut_is_whole_steps_and_above_the_quantity_by_no_more_than_the_slack(quantity, increment):
    """Above by at most half a step and at most a millionth; below by less than a step; and a multiple of the increment."""
    cut = cut_to_increment(np.float64(quantity), np.float64(increment), xp=np)
    rounding = 4 * np.finfo(np.float64).eps * quantity
    assert cut - quantity <= min(0.5 * increment, 1e-6 * quantity) + rounding
    assert quantity - cut < increment + rounding
    assert abs(cut / increment - round(cut / increment)) <= 2 * np.finfo(np.float64).eps * cut / increment


@DTYPES
@given(steps=st.integers(0, 10**12), increment=INCREMENTS)
@PROPERTY
def test_cutting_a_whole_number_of_steps_changes_nothing(dtype, steps, increment):
    """To rounding: where the dtype still tells single steps apart, no step is lost or won, and a second cut is the first."""
    increment = dtype(increment)
    once = cut_to_increment(dtype(steps) * increment, increment, xp=np)
    twice = cut_to_increment(once, increment, xp=np)
    assert abs(float(once) - steps * float(increment)) <= 4 * np.finfo(dtype).eps * float(once)
    assert abs(float(twice) - float(once)) <= 2 * np.finfo(dtype).eps * float(once)
    if steps < 0.1 / np.finfo(dtype).eps:
        assert round(float(once) / float(increment)) == round(float(twice) / float(increment)) == steps


@DTYPES
@given(quantity=st.floats(0, 1e9, width=32))
@PROPERTY
def test_an_increment_of_zero_cuts_nothing(dtype, quantity):
    assert cut_to_increment(dtype(quantity), dtype(0), xp=np) == dtype(quantity)


@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_numpy_and_jax_plan_the_same_orders(seed):
    """In float64 to rounding: the trader sends what the environment would have done."""
    arguments, rules = draw_accounts(seed, np.float64)
    plain = plan_orders(*arguments, rules, xp=np)
    compiled = in_jax(plan_orders, *arguments, rules)
    np.testing.assert_allclose(compiled.sells, plain.sells, rtol=1e-9)
    np.testing.assert_allclose(compiled.buys, plain.buys, rtol=1e-9)
    _, _, cash, price, tradable = arguments
    fits = (
        fit_buys(plain.buys, cash, price, tradable, rules, xp=np),
        in_jax(fit_buys, plain.buys, cash, price, tradable, rules),
    )
    np.testing.assert_allclose(*fits, rtol=1e-9)


@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_float32_plans_what_float64_plans_to_one_step(seed):
    """Where neither finds the order too small: the difference is one increment and a few last bits of the equity."""
    arguments, rules = draw_accounts(seed, np.float64)
    narrow = [np.asarray(x, bool if x.dtype == bool else np.float32) for x in arguments]
    wide_plan, narrow_plan = (plan_orders(*x, rules._replace(min_notional=np.float32(0)), xp=np) for x in (arguments, narrow))
    _, holdings, cash, price, _ = arguments
    bits = 2e-6 * (cash + (holdings * price).sum(axis=0)) / price
    for wide, thin in zip(wide_plan, narrow_plan, strict=True):
        assert (np.abs(wide - thin) <= 1.001 * rules.increment + bits).all()


@DTYPES
@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_a_sell_never_exceeds_the_holding_and_no_asset_is_bought_and_sold(dtype, seed):
    arguments, rules = draw_accounts(seed, dtype)
    for plan in (plan_orders(*arguments, rules, xp=np), in_jax(plan_orders, *arguments, rules)):
        assert plan.sells.dtype == plan.buys.dtype == dtype
        assert (plan.sells <= arguments[1]).all()
        assert (plan.sells >= 0).all()
        assert (plan.buys >= 0).all()
        assert ((plan.sells == 0) | (plan.buys == 0)).all()


@DTYPES
@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_orders_are_large_enough_and_only_for_assets_with_a_bar(dtype, seed):
    arguments, rules = draw_accounts(seed, dtype)
    _, _, cash, price, tradable = arguments
    plan = plan_orders(*arguments, rules, xp=np)
    for orders in (*plan, fit_buys(plan.buys, cash, price, tradable, rules, xp=np)):
        assert ((orders * price)[orders > 0] >= NOTIONAL_HEADROOM * rules.min_notional).all()
        assert (orders[~tradable[:, 0]] == 0).all()


def test_an_order_is_planned_from_the_headroom_over_the_minimum_on():
    """Equity 1,000, price 1: a tenth of a unit of notional decides, on both sides and after the fit."""
    rules = OrderRules(np.float64(100), np.zeros((1, 1)), np.float64(0))
    price, tradable = np.ones((1, 1)), np.ones((1, 1), bool)
    for value, planned in ((101.9, False), (102.1, True)):
        weight = np.full((1, 1), value / 1000)
        buys = plan_orders(weight, np.zeros((1, 1)), np.full(1, 1000.0), price, tradable, rules, xp=np).buys
        sells = plan_orders(1 - weight, np.full((1, 1), 1000.0), np.zeros(1), price, tradable, rules, xp=np).sells
        fitted = fit_buys(np.full((1, 1), 500.0), np.full(1, value), price, tradable, rules, xp=np)
        assert ((buys > 0) == planned).all()
        assert ((sells > 0) == planned).all()
        assert ((fitted > 0) == planned).all()


@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_fitted_buys_cost_no_more_than_the_cash_even_at_prices_higher_by_the_margin(seed):
    """But for the slack of the cut. Without increments and minimum, one factor serves all assets, and no cash is left idle."""
    arguments, rules = draw_accounts(seed, np.float64)
    _, _, cash, price, tradable = arguments
    wanted = plan_orders(*arguments, rules, xp=np).buys
    slack = np.minimum(0.5 * rules.increment, 1e-6 * wanted)
    fitted = fit_buys(wanted, cash, price, tradable, rules, xp=np)
    worst = 1 + rules.buying_power_margin
    assert (np.sum(fitted * price, axis=0) * worst <= cash * (1 + 1e-12) + np.sum(slack * price, axis=0) * worst).all()
    assert (fitted <= wanted + slack).all()

    free = OrderRules(np.float64(0), np.zeros_like(rules.increment), rules.buying_power_margin)
    fitted = fit_buys(wanted, cash, price, tradable, free, xp=np)
    needed = np.sum(wanted * price, axis=0) * worst
    np.testing.assert_allclose(np.sum(fitted * price, axis=0) * worst, np.minimum(needed, cash), rtol=1e-12)
    np.testing.assert_allclose(fitted * needed, wanted * np.minimum(needed, cash), rtol=1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_filling_a_plan_at_the_close_reaches_the_target_weights(seed):
    """Without costs, increments, minimum and margin, and a bar of every asset: the account then holds what was asked for."""
    (weights, holdings, cash, price, _), rules = draw_accounts(seed, np.float64)
    free = OrderRules(np.float64(0), np.zeros_like(rules.increment), np.float64(0))
    there = np.ones(price.shape, bool)
    equity = cash + np.sum(holdings * price, axis=0)
    plan = plan_orders(weights, holdings, cash, price, there, free, xp=np)
    cash = cash + np.sum(plan.sells * price, axis=0)
    after = holdings - plan.sells + fit_buys(plan.buys, cash, price, there, free, xp=np)
    np.testing.assert_allclose(after * price / equity, weights, atol=1e-9)


@given(seed=st.integers(0, 2**32 - 1))
@PROPERTY
def test_one_account_alone_is_planned_as_in_the_batch(seed):
    """The trader plans with arrays (A,) and a cash that is a number."""
    (weights, holdings, cash, price, tradable), rules = draw_accounts(seed, np.float64, accounts=3)
    batch = plan_orders(weights, holdings, cash, price, tradable, rules, xp=np)
    flat = rules._replace(increment=rules.increment[:, 0])
    for i in range(3):
        alone = plan_orders(weights[:, i], holdings[:, i], float(cash[i]), price[:, 0], tradable[:, 0], flat, xp=np)
        np.testing.assert_allclose(alone.sells, batch.sells[:, i], rtol=1e-12)
        np.testing.assert_allclose(alone.buys, batch.buys[:, i], rtol=1e-12)
        fitted = fit_buys(alone.buys, float(cash[i]), price[:, 0], tradable[:, 0], flat, xp=np)
        np.testing.assert_allclose(fitted, fit_buys(batch.buys, cash, price, tradable, rules, xp=np)[:, i], rtol=1e-12)

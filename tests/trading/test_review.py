"""The review explains every cent that journal and bars can explain, and nothing that they cannot."""

from __future__ import annotations

import pathlib
from decimal import Decimal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import LOOKBACK, manifest_of, restless, trader, venue_of

from cappuccino.env.account import Account, Bar, trade
from cappuccino.env.account import Costs as EnvCosts
from cappuccino.errors import Halted, InputError
from cappuccino.features.registry import FeatureSet
from cappuccino.market import build_market
from cappuccino.plan import OrderRules
from cappuccino.trading.clock import RealClock
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_decisions
from cappuccino.trading.latch import HALT_FILE, KillSwitch
from cappuccino.trading.review import BarPrices, Costs, Holdings, ReviewedBar, after, model_trades, review, value
from cappuccino.trading.session import load_session

ROWS, START = 260, 200
COSTS = Costs(0.0025, 0.0003, 10.0, 0.04)


def test_the_models_step_is_the_environments() -> None:
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        for _ in range(300):
            A = 4
            close = np.exp(rng.normal(3, 2, A))
            holdings = np.where(rng.random(A) < 0.7, rng.exponential(1000, A) / close, 0.0)
            cash = float(rng.exponential(500))
            moves = np.exp(rng.normal(0, 0.03, (2, A)))
            prices = BarPrices(close, rng.random(A) < 0.8, close * moves[0], close * moves[1], rng.random(A) < 0.8)
            targets = rng.dirichlet(np.ones(A + 1))[:A]
            increment = np.where(rng.random(A) < 0.5, 1e-3, 1e-9)
            rules = OrderRules(COSTS.min_notional, increment, COSTS.margin)
            had = Holdings(cash, holdings)
            traded = model_trades(had, targets, prices, rules, COSTS)

            equity = jnp.asarray(had.equity(close))
            account = Account(jnp.asarray(cash), jnp.asarray(holdings), equity, equity)
            env_rules = OrderRules(*(jnp.asarray(one) for one in rules))
            costs = EnvCosts(jnp.asarray(COSTS.fee), jnp.asarray(COSTS.friction), jnp.asarray(0.0), env_rules)
            moved, trades = trade(account, jnp.asarray(targets), Bar(*(jnp.asarray(column) for column in prices)), costs)
            np.testing.assert_allclose(traded.sold, trades.sold, rtol=1e-12)
            np.testing.assert_allclose(traded.bought, trades.bought, rtol=1e-12)
            ours = after(had, traded, prices, COSTS)
            np.testing.assert_allclose(ours.equity(prices.next_close), float(moved.equity), rtol=1e-12)
            held = float(holdings @ (prices.next_close - close))
            np.testing.assert_allclose(
                ours.equity(prices.next_close), had.equity(close) + held + value(traded, prices, COSTS), rtol=1e-12
            )


def _reviewed(folder: pathlib.Path, table: Any, decide: Any = restless) -> list[ReviewedBar]:
    manifest = manifest_of(table)
    return review(load_session(folder, manifest, decide, max_hole_bars=6, venue_fee=0.0025))


def _adds_up(rows: list[ReviewedBar]) -> None:
    for row in rows:
        assert row.actual - row.model == pytest.approx(sum(row.causes.values()) + row.unexplained, abs=1e-6)


def test_on_coarser_bars_too_the_trader_does_what_the_training_table_says_over_a_restart(tmp_path: pathlib.Path) -> None:
    names = ("return_1", "cci_20@4h", "volatility_6_24@6h", "relative_volume_24@2h")
    table = walk(ROWS, missing={100: (1,), 190: (2,), 191: (0, 2)})
    manifest = manifest_of(table, names)

    def leaning(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        del weights
        shares = np.exp(np.clip(window[-1] @ np.array([0.5, 1.0, -1.0, 0.5]), -4, 4))
        return shares / (0.2 + shares.sum())

    with serving(venue_of(table, START)) as url:
        for bars in (6, 15):
            trader(url, tmp_path, manifest, decide=leaning, bars=bars, allow_outside=names).run()
    with jax.enable_x64(True):
        market, spec = build_market(table, FeatureSet(names, table.bar_seconds), dtype=np.float64)
        features = np.asarray(market.features)
    decisions = read_decisions(tmp_path / "journal.sqlite")
    assert len(decisions) == 21
    for row, decision in enumerate(decisions, START):
        assert decision["bar"] == spec.timestamps[row]
        expected = leaning(features[row + 1 - LOOKBACK : row + 1], np.zeros(3))
        np.testing.assert_allclose(decision["targets"], expected, rtol=0, atol=1e-9)
    rows = review(load_session(tmp_path, manifest, leaning, max_hole_bars=6, venue_fee=0.0025))
    assert sum(row.orders for row in rows) > 20
    for row in rows:
        assert abs(row.unexplained) < 1e-3
        assert row.actual == pytest.approx(row.backtest, rel=1e-6)


def test_a_session_that_went_as_modelled_has_nothing_to_explain(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=20).run()
    rows = _reviewed(tmp_path, table)
    assert len(rows) == 19
    assert sum(row.orders for row in rows) > 40
    _adds_up(rows)
    for row in rows:
        assert abs(row.unexplained) < 1e-3
        assert all(abs(amount) < 1e-3 for amount in row.causes.values())
        assert row.actual == pytest.approx(row.backtest, rel=1e-6)


def _total(rows: list[ReviewedBar], cause: str) -> float:
    return sum(row.causes[cause] for row in rows)


def test_each_cause_is_found_where_it_was_made(tmp_path: pathlib.Path) -> None:
    """A venue that is dearer than the model, misses bars, halts an asset, and is added to by five dollars."""
    table = walk(ROWS, missing={START + 5: (1,), START + 9: (0, 2)})
    venue = venue_of(table, START, half_spread_bps=12.0)
    calls = []

    def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 13:
            raise InputError("a bad day")
        return restless(window, weights)

    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), decide=decide, bars=16).run()
        venue.ledger.cash += 5
        trader(url, tmp_path, manifest_of(table), bars=4, foreign="adopt").run()
    rows = _reviewed(tmp_path, table)
    _adds_up(rows)
    assert _total(rows, "price") < -100
    assert _total(rows, "no_decision") != 0
    assert 0 < abs(_total(rows, "fees")) < 0.01 * abs(_total(rows, "price"))
    found = [row for row in rows if abs(row.unexplained) > 0.001 * sum(map(abs, row.causes.values())) + 0.01 * row.orders]
    assert len(found) == 1
    assert found[0].unexplained == pytest.approx(5, abs=0.05)


def test_a_flattening_is_named(tmp_path: pathlib.Path) -> None:

    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), bars=5).run()
        (tmp_path / HALT_FILE).write_text("flatten")
        with pytest.raises(Halted):
            trader(url, tmp_path, manifest_of(table)).run()
        KillSwitch(Journal(tmp_path / "journal.sqlite"), tmp_path, RealClock()).release("over", "test")
        trader(url, tmp_path, manifest_of(table), bars=4).run()
    rows = _reviewed(tmp_path, table)
    _adds_up(rows)
    assert sum(1 for row in rows if row.causes["halt"]) == 1
    assert all(abs(row.unexplained) < 1e-3 for row in rows)
    assert Decimal(rows[-1].actual) > 0


def test_fewer_than_two_marks_are_refused(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=1).run()
    with pytest.raises(InputError, match="has 1 marks; a review takes two"):
        _reviewed(tmp_path, table)

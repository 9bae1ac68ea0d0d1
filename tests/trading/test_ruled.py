"""Risk rules in the trader: the environment's to the bit, remembered over restarts, reset by a person only."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of
from watching import watched

from cappuccino.bars.table import BarTable
from cappuccino.env import Costs, EnvParams, RewardWeights
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import backtest, table_strategy
from cappuccino.market import Market
from cappuccino.plan import OrderRules
from cappuccino.risk import Limits, day_of
from cappuccino.trading.clock import RealClock
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.review import review
from cappuccino.trading.ruled import stops_in_force
from cappuccino.trading.session import load_session

ROWS, START, BARS = 420, 300, 100
TIGHT = Limits(
    weight=0.5,
    gross=0.9,
    cash=2_000.0,
    order=20_000.0,
    turnover=6.0,
    stop_loss=0.01,
    trailing_stop=0.015,
    cooldown=3,
    day_loss=0.03,
    drawdown=math.inf,
)


def sessions_of(folder: pathlib.Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    journal = folder / "journal.sqlite"
    return read_decisions(journal), read_orders(journal), read_marks(journal)


def run(table: BarTable, folder: pathlib.Path, *bars: int, limits: Limits | None = TIGHT, **changes: Any) -> None:
    """Traders one after the other on one exchange, each for its number of bars."""
    with serving(venue_of(table, START, cash=100_000.0)) as url:
        for number in bars:
            settings = {"limits": limits, "bars": number, "allow_outside": manifest_of(table).features, **changes}
            trader(url, folder, manifest_of(table), **settings).run()


def test_trader_and_environment_mean_the_same_by_every_rule(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    run(table, tmp_path, BARS + 1)
    decisions, orders, marks = sessions_of(tmp_path)
    acted = {name for decision in decisions for name in decision["notes"].get("risk", [])}
    assert acted >= {"max_weight", "max_gross", "max_order", "max_day_turnover", "stop", "max_day_loss"}

    rows = np.array([int(np.searchsorted(table.timestamps, decision["bar"])) for decision in decisions])[:-1]
    asked = np.array([decision["asked"] for decision in decisions])[:-1]
    manifest = manifest_of(table)
    with jax.enable_x64(True):
        market = Market(
            open=jnp.asarray(table.open),
            close=jnp.asarray(table.close),
            features=jnp.zeros((len(table), len(table.assets), 1)),
            tradable=jnp.asarray(table.mask),
            day=jnp.asarray(day_of(table.timestamps + table.bar_seconds), jnp.int32),
        )
        costs = manifest.costs
        rules = OrderRules(*map(jnp.asarray, (costs.min_notional, np.full(3, 1e-9), costs.buying_power_margin)))
        params = EnvParams(
            Costs(*(jnp.asarray(bps / 1e4) for bps in (costs.taker_fee_bps, costs.half_spread_bps, costs.slippage_bps)), rules),
            RewardWeights(*jnp.zeros(5)),
            capital=jnp.asarray(100_000.0),
            drawdown_limit=jnp.asarray(1.0),
            risk=jax.tree.map(jnp.float64, TIGHT),
        )
        record = backtest(table_strategy(asked), market, rows, params, np.zeros(len(table.assets)))
        looser = params._replace(risk=params.risk._replace(stop_loss=jnp.float64(0.011)))
        other = backtest(table_strategy(asked), market, rows, looser, np.zeros(len(table.assets)))
    equity = {mark["bar"]: mark["equity"] for mark in marks}
    mine = np.array([equity[int(table.timestamps[row + 1])] for row in rows])
    np.testing.assert_allclose(np.asarray(record.equity), mine, rtol=1e-9)
    traded = {"sell": np.asarray(record.sold), "buy": np.asarray(record.bought)}
    index = {decision["bar"]: k for k, decision in enumerate(decisions[:-1])}
    for order in orders:
        if order["bar"] in index:
            quantity = traded[order["side"]][index[order["bar"]], table.assets.index(order["asset"])]
            assert float(order["filled_quantity"]) == pytest.approx(quantity, rel=1e-8, abs=2e-9)
    assert sum(int((some > 0).sum()) for some in traded.values()) == sum(order["bar"] in index for order in orders)
    assert np.max(np.abs(np.asarray(other.equity) / mine - 1)) > 1e-5  # the comparison notices another stop


def test_a_restart_forgets_nothing(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    run(table, tmp_path / "whole", 60)
    run(table, tmp_path / "parts", 7, 20, 1, 32)

    def figures(folder: pathlib.Path) -> list[Any]:
        decisions, orders, marks = sessions_of(folder)
        return [
            [(one["bar"], one["targets"], one["notes"]) for one in decisions],
            [(one["bar"], one["asset"], one["side"], one["quantity"]) for one in orders],
            [(one["bar"], one["equity"], one["risk"]) for one in marks],
        ]

    assert figures(tmp_path / "parts") == figures(tmp_path / "whole")


def test_a_drawdown_stop_stays_until_a_person_resumes(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    limits = Limits(*[math.inf] * 2, 0.0, *[math.inf] * 4, 1, math.inf, 0.02)
    settings = {"limits": limits, "allow_outside": manifest_of(table).features}
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=30, **settings).run()
        trader(url, tmp_path, manifest_of(table), bars=10, **settings).run()
        decisions, orders, marks = sessions_of(tmp_path)
        stopped = next(mark["bar"] for mark in marks if mark["risk"]["is_stopped"])
        after = [decision for decision in decisions if decision["bar"] >= stopped]
        assert len(after) > 15
        assert all(set(decision["targets"]) == {0.0} for decision in after)
        assert all(order["side"] == "sell" for order in orders if order["bar"] >= stopped)
        assert stops_in_force(marks[-1]["risk"])[0].startswith("everything, for the drawdown")

        with contextlib.closing(Journal(tmp_path / "journal.sqlite")) as journal:
            KillSwitch(journal, tmp_path, RealClock()).release("looked at it", "command")
        trader(url, tmp_path, manifest_of(table), bars=1, **settings).run()
    decisions, _, marks = sessions_of(tmp_path)
    assert max(decisions[-1]["targets"]) > 0
    assert not marks[-1]["risk"]["is_stopped"]
    assert marks[-1]["risk"]["peak"] == marks[-1]["equity"]


def test_what_the_rules_sell_is_sold_while_the_policy_sees_nothing(tmp_path: pathlib.Path) -> None:
    """An asset has no bar for longer than a hole may be, and in the middle of it the others fall."""
    hole, fall, back = START + 10, START + 18, START + 25
    whole = walk(ROWS, missing={row: (2,) for row in range(hole, back)})
    lower = np.where(np.arange(ROWS)[:, None] < fall, 1.0, 0.8)
    prices = {name: getattr(whole, name) * lower for name in ("open", "high", "low", "close")}
    table = dataclasses.replace(whole, **prices)
    limits = Limits(*[math.inf] * 2, 0.0, *[math.inf] * 4, 1, math.inf, 0.08)
    manifest = manifest_of(whole)
    with serving(venue_of(table, START)) as url:
        one = trader(url, tmp_path, manifest, limits=limits, bars=40, max_hole_bars=3, allow_outside=manifest.features)
        notes = watched(one)
        summary = one.run()
    decisions, orders, marks = sessions_of(tmp_path)
    assert len(marks) == 40
    undecided = {int(np.searchsorted(table.timestamps, one["bar"])) for one in decisions if one["reason"] is not None}
    assert undecided == set(range(hole + 3, START + 40))
    assert (summary.bars, summary.decisions) == (40, hole + 3 - START)
    at = {row: int(table.timestamps[row]) for row in (hole + 3, fall, back)}
    later = [order for order in orders if order["bar"] >= at[hole + 3]]
    assert {(order["asset"], order["side"]) for order in later} == {("BTC", "sell"), ("ETH", "sell"), ("LTC", "sell")}
    assert {order["bar"] for order in later if order["asset"] != "LTC"} == {at[fall]}
    assert {order["bar"] for order in later if order["asset"] == "LTC"} == {at[back]}
    assert all(float(quantity) < 1e-6 for quantity in marks[-1]["positions"].values())
    sold = {one["bar"]: one for one in decisions}[at[fall]]
    assert sold["phase"] == "done"
    assert "a hole of more than 3 bars lasts: no bar of LTC" in sold["reason"]
    assert sold["notes"]["risk"] == ["max_drawdown"]
    assert [kind for kind, _ in notes.events if kind != "reject"] == ["started", "stale", "stop", "stopped"]

    rows = review(load_session(tmp_path, manifest, restless, max_hole_bars=3, venue_fee=0.0025))
    assert len(rows) == 39
    assert all(row.is_explained for row in rows)
    saved = {row.bar: row.causes["risk"] for row in rows}
    assert saved[at[fall] + table.bar_seconds] != 0
    assert all(row.causes[name] == pytest.approx(0, abs=1e-9) for row in rows for name in ("no_decision", "halt", "delays"))


def test_what_the_rules_sell_is_sold_while_the_policy_has_no_answer(tmp_path: pathlib.Path) -> None:
    """And only that: a rule of one's own that asks for more gets nothing of it."""
    table = walk(ROWS)
    failing = False

    def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if failing:
            raise InputError("the policy's weights are not finite")
        return restless(window, weights)

    settings = {"decide": decide, "allow_outside": manifest_of(table).features}
    capped = Limits(0.1, math.inf, 0.0, *[math.inf] * 4, 1, *[math.inf] * 2)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=5, **settings).run()
        failing = True
        trader(url, tmp_path, manifest_of(table), bars=5, limits=capped, **settings).run()
    decisions, orders, _ = sessions_of(tmp_path)
    first = decisions[5]
    assert max(first["weights"]) > 0.1
    assert first["targets"] == pytest.approx(np.minimum(first["weights"], 0.1))
    assert first["asked"] == first["weights"]
    assert {one["reason"] for one in decisions[5:]} == {"the policy's weights are not finite"}
    assert {order["side"] for order in orders if order["bar"] >= first["bar"]} == {"sell"}
    assert decisions[-1]["phase"] == "none"


def test_what_the_rules_cannot_sell_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No asset has a bar; a dry run at the same bar shows it too, and says why the policy has no say in it."""
    table = walk(ROWS, missing={row: (0, 1, 2) for row in range(START + 10, START + 20)})
    manifest = manifest_of(table)
    settings = {"max_hole_bars": 3, "allow_outside": manifest.features}
    capped = Limits(0.05, math.inf, 0.0, *[math.inf] * 4, 1, *[math.inf] * 2)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest, bars=14, **settings).run()
        trader(url, tmp_path, manifest, bars=3, limits=capped, **settings).run()
        for one in sessions_of(tmp_path)[0][-3:]:
            assert one["phase"] == "none"
            assert one["notes"]["risk"] == ["max_weight"]
            assert one["notes"]["left_out"]
        trader(url, tmp_path, manifest, bars=4, **settings).run()
        before = sessions_of(tmp_path)
        summary = trader(url, tmp_path, manifest, bars=1, limits=capped, dry_run=True, **settings).run()
    assert (summary.bars, summary.decisions, summary.fills) == (1, 0, 0)
    assert "as the policy decides nothing" in " ".join(capsys.readouterr().out.split())
    assert sessions_of(tmp_path) == before


def test_without_rules_nothing_is_remembered_and_targets_are_those_asked_for(tmp_path: pathlib.Path) -> None:
    run(walk(ROWS), tmp_path, 5, limits=None)
    decisions, _, marks = sessions_of(tmp_path)
    assert [mark["risk"] for mark in marks] == [None] * 5
    assert all(decision["targets"] == decision["asked"] for decision in decisions)

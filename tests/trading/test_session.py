"""A trader on the local exchange, over HTTP and alpaca-py: what it orders is what it journals is what it holds."""

from __future__ import annotations

import json
import pathlib
from decimal import Decimal

import numpy as np
import pytest
from loopback import ASSETS, HOUR, serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of

from cappuccino.errors import InputError, Refusal
from cappuccino.trading import drift
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.folder import locked
from cappuccino.trading.journal_reading import read_decisions, read_drift, read_marks, read_orders

ROWS, START = 260, 200


def _journal(folder: pathlib.Path) -> pathlib.Path:
    return folder / "journal.sqlite"


@pytest.mark.parametrize("bars", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_a_session_orders_journals_and_holds_the_same(tmp_path: pathlib.Path, bars: int) -> None:
    table = walk(ROWS + 60)
    venue = venue_of(table, START)
    with serving(venue) as url:
        summary = trader(url, tmp_path, manifest_of(table), bars=bars).run()
    decisions, orders, marks = (read(_journal(tmp_path)) for read in (read_decisions, read_orders, read_marks))
    assert summary.bars == summary.decisions == len(decisions) == len(marks) == bars
    seen = [decision["bar"] for decision in decisions]
    assert seen == (table.timestamps[START] + HOUR * np.arange(bars)).tolist()
    assert all(decision["phase"] == "done" for decision in decisions)
    assert all(decision["decided_at"] - decision["bar"] - HOUR < 10 for decision in decisions)

    placed = {order.ticket.client_order_id: order for order in venue.ledger.orders.values()}
    assert len(orders) > 2 * bars
    assert placed.keys() == {order["client_order_id"] for order in orders}
    for order in orders:
        theirs = placed[order["client_order_id"]]
        assert Decimal(order["quantity"]) == theirs.ticket.quantity
        assert Decimal(order["filled_quantity"]) == theirs.filled
        assert (order["state"], order["asset"], order["side"]) == (theirs.status, theirs.ticket.asset, theirs.ticket.side)

    fee = Decimal("0.0025")
    for asset in ASSETS:
        mine = [order for order in orders if order["asset"] == asset]
        bought, sold = (sum(Decimal(o["filled_quantity"]) for o in mine if o["side"] == side) for side in ("buy", "sell"))
        assert abs(venue.ledger.holdings[asset].quantity - (bought * (1 - fee) - sold)) < Decimal("1e-9")
    assert not any("positions" in decision["notes"] for decision in decisions)

    closes = table.close[START : START + bars]
    np.testing.assert_array_equal(np.array([decision["closes"] for decision in decisions]), closes)
    for decision, mark, close in zip(decisions, marks, closes, strict=True):
        held = np.array([float(mark["positions"].get(asset, 0)) for asset in ASSETS])
        assert decision["equity"] == pytest.approx(float(mark["cash"]) + held @ close, rel=1e-12)
        assert decision["weights"] == pytest.approx((held * close / decision["equity"]).tolist(), abs=1e-12)

    events = [json.loads(line) for line in (tmp_path / "trader.log").read_text().splitlines()]
    assert {"start", "bar", "order", "stop"} <= {event["event"] for event in events}
    assert "secret" not in (tmp_path / "trader.log").read_text()


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        for _ in range(2):
            trader(url, tmp_path, manifest_of(table), bars=5).run()
    bars = [decision["bar"] for decision in read_decisions(_journal(tmp_path))]
    assert bars == (table.timestamps[START] + HOUR * np.arange(10)).tolist()


def test_the_replays_end_ends_the_run_with_a_mark(tmp_path: pathlib.Path) -> None:
    long = walk(ROWS)
    table = long.rows(0, START + 6)
    with serving(venue_of(table, START)) as url:
        summary = trader(url, tmp_path, manifest_of(long)).run()
    decisions = read_decisions(_journal(tmp_path))
    assert (summary.bars, summary.decisions) == (6, 5)
    assert "replay is over" in decisions[-1]["reason"]
    assert read_marks(_journal(tmp_path))[-1]["bar"] == table.timestamps[-1]


def test_a_dry_run_shows_the_plan_and_sends_nothing(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        for _ in range(2):
            trader(url, tmp_path, manifest_of(table), dry_run=True, bars=1).run()
    assert venue.ledger.orders == {}
    assert not _journal(tmp_path).exists()
    shown = capsys.readouterr().out
    assert all(word in shown for word in (*ASSETS, "cash", "buy", "dry run"))
    (decision,) = read_decisions(tmp_path / "dry.sqlite")
    assert max(decision["buys"]) > 0


def test_only_the_capital_is_used(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), bars=8, capital=Decimal(5_000)).run()
    marks = read_marks(_journal(tmp_path))
    assert marks[0]["equity"] == 5_000
    assert all(float(mark["cash"]) >= 0 for mark in marks)
    assert venue.ledger.cash >= 95_000


def test_scaling_capital_scales_orders_only(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    quantities = []
    for capital in (10_000, 100_000):
        with serving(venue_of(table, START)) as url:
            trader(url, tmp_path / str(capital), manifest_of(table), bars=5, capital=Decimal(capital)).run()
        orders = read_orders(_journal(tmp_path / str(capital)))
        quantities.append([(order["bar"], order["asset"], order["side"], float(order["quantity"])) for order in orders])
    assert len(quantities[0]) > 10
    for small, large in zip(*quantities, strict=True):
        assert small[:3] == large[:3]
        assert 10 * small[3] == pytest.approx(large[3], rel=1e-6)


def test_the_same_bars_give_the_same_ids_and_quantities(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    names = []
    for folder in ("a", "b"):
        venue = venue_of(table, START)
        venue.account_id = "the same account"
        with serving(venue) as url:
            trader(url, tmp_path / folder, manifest_of(table), bars=5).run()
        names.append([(o["client_order_id"], o["quantity"]) for o in read_orders(_journal(tmp_path / folder))])
    assert names[0]
    assert names[0] == names[1]


def test_missing_bars_are_filled_masked_and_not_traded(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS, missing={START + 3: (1,), START + 4: (1, 2), START + 7: (0,)})
    venue = venue_of(table, START)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), bars=9).run()
    decisions, orders = read_decisions(_journal(tmp_path)), read_orders(_journal(tmp_path))
    for k, decision in enumerate(decisions):
        row = START + k
        assert decision["tradable"] == table.mask[row].tolist()
        assert decision["closes"] == table.close[row].tolist()
        assert decision["phase"] == "done"
    assert decisions[4]["notes"]["no_bar"] == ["ETH", "LTC"]
    by_row = {(order["bar"], order["asset"]): order for order in orders}
    for row, column in np.argwhere(~table.mask):
        assert (table.timestamps[row], ASSETS[column]) not in by_row
    unfilled = [order for order in orders if order["state"] != "filled"]
    assert {(order["bar"], order["asset"]) for order in unfilled} <= {
        (table.timestamps[row - 1], ASSETS[column]) for row, column in np.argwhere(~table.mask)
    }
    assert unfilled
    assert all(order["state"] in ("canceled", "rejected") for order in unfilled)
    assert not [order for order in venue.ledger.orders.values() if order.is_open]


def test_a_long_hole_stops_decisions_not_the_trader(tmp_path: pathlib.Path) -> None:
    hole = {START + 3 + k: (2,) for k in range(5)}
    table = walk(ROWS, missing=hole)
    with serving(venue_of(table, START)) as url:
        summary = trader(url, tmp_path, manifest_of(table), bars=10, max_hole_bars=2).run()
    reasons = [decision["reason"] for decision in read_decisions(_journal(tmp_path))]
    assert reasons[:5] == [None] * 5
    assert all("hole of more than 2 bars lasts: no bar of LTC" in reason for reason in reasons[5:8])
    assert all("since the last long hole" in reason for reason in reasons[8:])
    assert (summary.bars, summary.decisions) == (10, 5)


def test_drift_is_refused_before_the_first_order_and_may_be_allowed(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    manifest = manifest_of(walk(1_000, seed=9))
    low, high = (np.array(side) for side in (manifest.training_range.low, manifest.training_range.high))
    low[1, 0], high[1, 0] = 50.0, 60.0
    shifted = manifest_of(table, training_range=type(manifest.training_range)(_rows(low), _rows(high)))
    venue = venue_of(table, START)
    with serving(venue) as url:
        with pytest.raises(Refusal, match=r"ETH  return_1 +100.0%") as caught:
            trader(url, tmp_path, shifted, bars=3).run()
        assert "LTC" not in str(caught.value)
        assert venue.ledger.orders == {}
        trader(url, tmp_path, shifted, bars=1, allow_outside=("return_1",)).run()
    assert venue.ledger.orders != {}
    checks = read_drift(_journal(tmp_path))
    assert [check["refused"] for check in checks] == [1, 0]
    assert checks[0]["outside"]["ETH/return_1"] == 1.0


def _rows(table: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in table.tolist())


def test_drift_is_looked_at_again_when_its_interval_is_over(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "INTERVAL_S", 3.0 * HOUR)
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=5).run()
    times = [check["at"] for check in read_drift(_journal(tmp_path))]
    assert np.diff(times).tolist() == [3.0 * HOUR]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capital": Decimal(200_000)}, "is worth 100000.00 .* trade.capital is 200000"),
        ({"manifest": {"assets": ("BTC", "ETH", "XYZ")}}, "does not list XYZ"),
        ({"manifest": {"warmup": 5}}, "had a warm-up of 5 bars, here they take"),
    ],
)
def test_the_start_refuses(tmp_path: pathlib.Path, changes: dict[str, object], message: str) -> None:
    table = walk(ROWS)
    manifest = manifest_of(table, **changes.pop("manifest", {}))  # type: ignore[arg-type]
    venue = venue_of(table, START)
    with serving(venue) as url, pytest.raises(Refusal, match=message):
        trader(url, tmp_path, manifest, bars=1, **changes).run()
    assert venue.ledger.orders == {}


def test_a_folder_belongs_to_one_account_artifact_and_capital(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url:
        trader(url, tmp_path, manifest_of(table), bars=1).run()
        with pytest.raises(Refusal, match="began with capital 100000, this is 50000"):
            trader(url, tmp_path, manifest_of(table), bars=1, capital=Decimal(50_000)).run()
    with serving(venue_of(table, START)) as url, pytest.raises(Refusal, match="began with account"):
        trader(url, tmp_path, manifest_of(table), bars=1).run()


def test_one_trader_per_folder(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START)) as url, locked(tmp_path), pytest.raises(Refusal, match=r"runs in .* already"):
        trader(url, tmp_path, manifest_of(table), bars=1).run()


def test_bad_keys_are_refused(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START, key="right", secret="right")) as url:
        one = trader(url, tmp_path, manifest_of(table), bars=1)
        one._clock = ExchangeClock(url, "stepped", keys=("right", "right"))  # the broker's are wrong
        with pytest.raises(Refusal, match="does not take the keys"):
            one.run()


def test_a_policy_that_fails_costs_its_decision_only(tmp_path: pathlib.Path) -> None:
    table, calls = walk(ROWS), []

    def moody(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == 2:
            raise InputError("a bad day")
        return restless(window, weights)

    with serving(venue_of(table, START)) as url:
        summary = trader(url, tmp_path, manifest_of(table), decide=moody, bars=3).run()
    reasons = [decision["reason"] for decision in read_decisions(_journal(tmp_path))]
    assert reasons == [None, "a bad day", None]
    assert (summary.bars, summary.decisions) == (3, 2)

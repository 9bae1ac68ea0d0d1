"""What on the account is not the trader's: refused with a table, taken over, or left alone, and always written down."""

from __future__ import annotations

import pathlib
from decimal import Decimal

import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.orders import Holding
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import OrderRequest
from cappuccino.errors import Refusal
from cappuccino.trading import accept
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.folder import account_locked
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_adjustments, read_decisions, read_marks, read_orders

ROWS, START = 260, 200


def _adding(venue: Venue, at_call: int, cash: str, eth: str = "0"):
    """A policy that buys once and holds, and during whose n-th decision the venue's ledger changes by itself."""
    calls = []

    def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        del window
        calls.append(1)
        if len(calls) == at_call:
            venue.ledger.cash += Decimal(cash)
            venue.ledger.holdings["ETH"].quantity += Decimal(eth)
        return weights if weights.sum() > 0 else np.full(len(weights), 0.2)

    return decide


def test_a_deposit_is_refused_with_a_table_and_goes_on_when_it_is_accepted(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        with pytest.raises(Refusal, match=r"not what the journal explains(.|\n)*USD .*(.|\n)*trade accept") as refused:
            trader(url, tmp_path, manifest_of(table), decide=_adding(venue, 3, "5")).run()
        assert "ETH" not in str(refused.value)
        placed = len(venue.ledger.orders)
        with pytest.raises(Refusal, match="not what the journal explains"):
            trader(url, tmp_path, manifest_of(table), bars=1).run()
        assert len(venue.ledger.orders) == placed

        journal, clock = Journal(tmp_path / "journal.sqlite"), ExchangeClock(url, "stepped")
        found = accept.look(journal, AlpacaBroker("key", "secret", trading_url=url), clock, 25)
        (difference,) = found.differences
        assert abs(difference.change - 5) <= Decimal("0.01")
        accept.take_over(journal, found, clock.now())
        journal.close()
        assert trader(url, tmp_path, manifest_of(table), bars=2).run().decisions == 2
    (row,) = read_adjustments(tmp_path / "journal.sqlite")
    assert (row["asset"], row["how"]) == ("USD", "accept")


@pytest.mark.parametrize("foreign", ["adopt", "ignore"])
def test_adopted_is_the_traders_and_ignored_is_set_aside(tmp_path: pathlib.Path, foreign: str) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), decide=_adding(venue, 3, "500", "4"), bars=6, foreign=foreign).run()
    decisions, marks = read_decisions(tmp_path / "journal.sqlite"), read_marks(tmp_path / "journal.sqlite")
    assert "positions" in decisions[3]["notes"]
    rows = {row["asset"]: Decimal(row["change"]) for row in read_adjustments(tmp_path / "journal.sqlite")}
    assert {asset: round(change, 1) for asset, change in rows.items()} == {"USD": Decimal(500), "ETH": Decimal(4)}
    held = Decimal(marks[-1]["cash"])
    assert (venue.ledger.cash - held > 490) == (foreign == "ignore")


@pytest.mark.parametrize(
    ("foreign", "reserved"), [("adopt", None), ("ignore", "2"), ("refuse", "already, not bought by this trader")]
)
def test_holdings_at_the_first_start(tmp_path: pathlib.Path, foreign: str, reserved: str | None) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START, holdings={"ETH": "2"})
    with serving(venue) as url:
        one = trader(url, tmp_path, manifest_of(table), bars=3, foreign=foreign)
        if foreign == "refuse":
            with pytest.raises(Refusal, match=reserved):
                one.run()
            assert venue.ledger.orders == {}
            return
        one.run()
    with_reserve = Journal(tmp_path / "journal.sqlite").anchor()
    assert with_reserve is not None
    assert with_reserve.reserve.get("ETH") == (None if reserved is None else Decimal(reserved))
    assert read_marks(tmp_path / "journal.sqlite")[0]["equity"] == pytest.approx(100_000, abs=1e-6)


def test_dust_does_not_stop_a_first_start(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    with serving(venue_of(table, START, holdings={"ETH": "0.000001"})) as url:
        assert trader(url, tmp_path, manifest_of(table), bars=1).run().decisions == 1


def test_a_strangers_open_order_is_canceled_or_left_alone(tmp_path: pathlib.Path) -> None:
    for foreign, is_open in (("adopt", False), ("ignore", True)):
        table = walk(ROWS)
        venue = venue_of(table, START)
        with serving(venue) as url:
            broker = AlpacaBroker("key", "secret", trading_url=url)
            order = {
                "symbol": "ETH/USD",
                "qty": "20",
                "side": "buy",
                "type": "limit",
                "limit_price": "1",
                "time_in_force": "gtc",
            }
            placed = broker._trading.post("/orders", order)  # pyright: ignore[reportPrivateUsage]
            trader(url, tmp_path / foreign, manifest_of(table), bars=1, foreign=foreign).run()
        assert venue.ledger.orders[placed["id"]].is_open == is_open


def test_another_traders_orders_are_refused_whatever_is_configured(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url)
        calls = []

        def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) == 2:
                broker.submit(OrderRequest("ETH", "buy", Decimal(1), "capp-another"))
            return restless(window, weights)

        with pytest.raises(Refusal, match=r"another trader ordered on this account: buy 1 ETH \(capp-another\)"):
            trader(url, tmp_path, manifest_of(table), decide=decide, foreign="ignore").run()
    assert len(read_decisions(tmp_path / "journal.sqlite")) == 2


def test_one_account_has_one_trader(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    (tmp_path / "a").mkdir()
    refused = pytest.raises(Refusal, match=r"another trader .* trades account .* \(process \d+\)")
    with serving(venue) as url, account_locked(tmp_path / "a", venue.account_id), refused:
        trader(url, tmp_path / "b", manifest_of(table), bars=1).run()
    assert not read_orders(tmp_path / "b" / "journal.sqlite")


def test_an_account_that_is_less_than_what_was_set_aside_is_refused(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START, holdings={"ETH": "2"})
    with serving(venue) as url:
        trader(url, tmp_path, manifest_of(table), bars=2, foreign="ignore").run()
        venue.ledger.holdings["ETH"] = Holding(Decimal(0))
        venue.ledger.cash -= 200
        with pytest.raises(Refusal, match="More is gone than was set aside"):
            trader(url, tmp_path, manifest_of(table), bars=2, foreign="ignore").run()

"""The commands about a trader, as a person types them, beside a real exchange."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest
from loopback import serving
from small_artifact import SMALL

from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.cli import HALTED, INPUT_ERROR, REFUSED, main
from cappuccino.config import compose
from cappuccino.sources import load_bars, opening_row
from cappuccino.trading.folder import locked


class Desk(NamedTuple):
    """An exchange, and a command line in a folder of runs. `trade` trades; `say` is `cappuccino trade <words>`."""

    venue: Venue
    trade: Callable[..., int]
    say: Callable[..., int]
    folder: pathlib.Path


@pytest.fixture
def desk(artifact: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Desk]:
    data = compose("train", list(SMALL)).data
    bars = load_bars(data)
    venue = Venue(bars, opening_row(bars, data, None), ExchangeConfig())
    with serving(venue) as url:

        def trade(*words: str) -> int:
            broker = (
                f"broker.url={url}",
                "broker.clock=stepped",
                "trade.allow_outside=[relative_volume_168,volatility_24_168]",
            )
            return main(["trade", f"artifact={artifact}", *broker, f"runs_dir={tmp_path}", "trade.name=desk", *words])

        def say(*words: str) -> int:
            return main(["trade", *words, f"runs_dir={tmp_path}", "trade.name=desk"])

        yield Desk(venue, trade, say, tmp_path / "traders" / "desk")


def test_status_and_history_tell_what_happened(
    desk: Desk, terminal: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    assert desk.trade("trade.bars=6") == 0
    assert desk.say("status") == 0
    shown = terminal.readouterr().out
    for word in ("stopped", "equity", "drawdown", "holds", f"{len(desk.venue.ledger.orders)} filled", "last orders"):
        assert word in shown
    assert max(len(line) for line in shown.splitlines() if "runs_dir" not in line and str(tmp_path) not in line) <= 80
    out = tmp_path / "orders.csv"
    assert desk.say("history", f"out={out}") == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["order"] for row in rows] == [order.ticket.client_order_id for order in desk.venue.ledger.orders.values()]
    assert sum(Decimal(row["filled"]) for row in rows) == sum(order.filled for order in desk.venue.ledger.orders.values())


def test_a_review_names_what_was_added_by_hand(
    desk: Desk, terminal: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    assert desk.trade("trade.bars=4") == 0
    desk.venue.ledger.cash += 4_000
    assert desk.trade("trade.bars=3", "trade.foreign=adopt") == 0
    out = tmp_path / "review.csv"
    assert desk.say("review", f"out={out}") == 0
    shown = terminal.readouterr().out
    assert "unexplained" in shown
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    unexplained = [float(row["unexplained"]) for row in rows]
    assert sum(unexplained) == pytest.approx(4_000, abs=1)
    assert sum(abs(amount) > 1 for amount in unexplained) == 1


def test_halt_and_resume(desk: Desk, terminal: pytest.CaptureFixture[str]) -> None:
    assert desk.trade("trade.bars=2") == 0
    assert desk.say("halt", "reason=maintenance") == 0
    placed = len(desk.venue.ledger.orders)
    assert desk.trade("trade.bars=2") == HALTED
    assert "maintenance" in terminal.readouterr().err
    assert desk.say("status") == 0
    assert "halted" in terminal.readouterr().out
    assert len(desk.venue.ledger.orders) == placed
    assert desk.say("resume") == 0
    assert desk.trade("trade.bars=2") == 0
    assert len(desk.venue.ledger.orders) > placed


def test_flatten_sells_although_no_trader_runs(desk: Desk, terminal: pytest.CaptureFixture[str]) -> None:
    assert desk.trade("trade.bars=4") == 0
    assert any(holding.quantity > Decimal("1e-6") for holding in desk.venue.ledger.holdings.values())
    assert desk.say("flatten", "reason=enough") == 0
    assert "everything was sold" in terminal.readouterr().out
    assert all(holding.quantity < Decimal("1e-8") for holding in desk.venue.ledger.holdings.values())
    assert desk.trade() == HALTED


def test_accept_takes_over_only_what_was_confirmed(desk: Desk, terminal: pytest.CaptureFixture[str]) -> None:
    assert desk.trade("trade.bars=3") == 0
    assert desk.say("accept") == 0
    assert "what the journal explains" in terminal.readouterr().out
    desk.venue.ledger.cash += 5_000
    assert desk.trade("trade.bars=1") == REFUSED
    assert "USD" in terminal.readouterr().err
    assert desk.say("accept") == REFUSED
    assert "5,000" not in terminal.readouterr().err
    assert desk.trade("trade.bars=1") == REFUSED
    assert desk.say("accept", "confirm=true") == 0
    assert desk.trade("trade.bars=1") == 0
    with locked(desk.folder):
        assert desk.say("accept", "confirm=true") == REFUSED


def test_a_trader_that_never_was_is_named(tmp_path: pathlib.Path, terminal: pytest.CaptureFixture[str]) -> None:
    for word in ("status", "halt", "flatten", "resume", "accept", "review", "history"):
        assert main(["trade", word, "trade.name=nobody", f"runs_dir={tmp_path}"]) == INPUT_ERROR
        assert "there is no trader in" in terminal.readouterr().err
    assert not tmp_path.exists() or not list(tmp_path.iterdir())

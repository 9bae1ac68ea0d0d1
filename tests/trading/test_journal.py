"""The journal gives back what was written, whole, after the process that wrote it is gone."""

from __future__ import annotations

import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest

from cappuccino.errors import InputError
from cappuccino.trading.journal import (
    Decision,
    Intent,
    Journal,
    Mark,
    read_decisions,
    read_drift,
    read_marks,
    read_orders,
)

BAR = 1_700_000_000
DECISION = Decision(
    bar=BAR,
    decided_at=BAR + 3_603.5,
    phase="sells",
    equity=1000.1,
    cash=0.1,
    weights=(0.1, 0.2),
    targets=(0.3, 1e-17),
    closes=(1 / 3, 2.0),
    tradable=(True, False),
    buys=(0.1 + 0.2, 0.0),
    notes={"dust": {"ETH": "worth 0.1"}},
)
SELL = Intent("a", BAR, "ETH", "sell", Decimal("0.000000001"), 1.0, 1.0)
BUY = Intent("b", BAR, "BTC", "buy", Decimal("123456789.123456789"), 2.0, 2.0)
MARK = Mark(BAR, 3.0, 1000.1, Decimal("0.1234567890123456789"), {"BTC": Decimal("1e-9")})


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: pathlib.Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def test_everything_is_read_back_exactly(journal: Journal, path: pathlib.Path) -> None:
    journal.set_meta(account="x", reserve="1.5")
    journal.add_decision(DECISION, [SELL], MARK)
    journal.add_buys(BAR, [BUY])
    filled = dataclasses.replace(BUY, state="filled", filled_quantity=BUY.quantity, filled_price=Decimal("0.1"), sent_at=4.0)
    journal.update(filled)
    journal.add_drift_check(5.0, 500, {"BTC/rsi_14": 0.06}, refused=True)

    again = Journal(path)
    assert again.meta() == {"account": "x", "reserve": "1.5"}
    assert again.decision(BAR) == dataclasses.replace(DECISION, phase="buys")
    assert (again.intents(BAR, "sell"), again.intents(BAR, "buy")) == ([SELL], [filled])
    assert again.fills_since(BAR) == [filled]
    assert again.last_mark() == MARK
    again.close()

    (decision,) = read_decisions(path)
    assert (decision["closes"], decision["notes"]) == (list(DECISION.closes), DECISION.notes)
    assert [order["quantity"] for order in read_orders(path)] == ["0.000000001", "123456789.123456789"]
    assert read_marks(path)[0]["cash"] == "0.1234567890123456789"
    assert read_drift(path)[0]["outside"] == {"BTC/rsi_14": 0.06}


def test_a_decision_and_its_intents_are_written_together_or_not_at_all(journal: Journal) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_decision(DECISION, [SELL, SELL], MARK)
    assert journal.decision(BAR) is None
    assert journal.last_mark() is None
    journal.add_decision(DECISION, [SELL], MARK)
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_buys(BAR, [BUY, BUY])
    decision = journal.decision(BAR)
    assert decision is not None
    assert decision.phase == "sells"
    assert journal.intents(BAR, "buy") == []


def test_open_are_those_whose_end_is_not_known(journal: Journal) -> None:
    states = ["planned", "sent", "unknown", "accepted", "partially_filled", "filled", "canceled", "rejected", "expired"]
    intents = [dataclasses.replace(SELL, client_order_id=state, state=state) for state in states]
    sent = dataclasses.replace(SELL, client_order_id="sent, given up", state="abandoned", sent_at=1.0)
    never = dataclasses.replace(SELL, client_order_id="never sent", state="abandoned")
    journal.add_decision(DECISION, [*intents, sent, never], None)
    assert [intent.client_order_id for intent in journal.open_intents(BAR)] == [*states[:5], "sent, given up"]
    assert [intent.client_order_id for intent in journal.open_intents(BAR + 1)] == states[:5]


def test_finishing_adds_notes_and_leaves_nothing_to_do(journal: Journal) -> None:
    journal.add_decision(DECISION, [], None)
    assert [decision.bar for decision in journal.unfinished()] == [BAR]
    journal.finish(BAR, {"buys": "late"})
    decision = journal.decision(BAR)
    assert decision is not None
    assert decision.notes == {"dust": {"ETH": "worth 0.1"}, "buys": "late"}
    assert journal.unfinished() == []


def test_every_commit_reaches_the_disk(journal: Journal, path: pathlib.Path) -> None:
    del journal
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_schema_or_no_journal_is_refused(journal: Journal, path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=7")
    with pytest.raises(InputError, match="has schema 7; this version reads 1"):
        Journal(path)
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    with pytest.raises(InputError, match="is not a journal"):
        Journal(tmp_path / "noise")
    with pytest.raises(InputError, match="no such file"):
        read_orders(tmp_path / "nothing")

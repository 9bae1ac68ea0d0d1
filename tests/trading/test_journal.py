"""The journal gives back what was written, whole, after the process that wrote it is gone."""

from __future__ import annotations

import dataclasses
import pathlib
import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest

from cappuccino.errors import InputError
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_adjustments, read_decisions, read_drift, read_halts, read_marks, read_orders
from cappuccino.trading.records import NEXT, Adjustment, Anchor, Decision, FillSince, Halt, Intent, Mark

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
MARK = Mark(
    BAR, 3.0, 1000.1, Decimal("0.1234567890123456789"), {"BTC": Decimal("1e-9")}, {"entry": [0.1, 2.0], "is_stopped": False}
)


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
    _walk(journal, filled, "sent", "filled")
    journal.add_drift_check(5.0, 500, {"BTC/rsi_14": 0.06}, refused=True)

    again = Journal(path)
    assert again.meta() == {"account": "x", "reserve": "1.5"}
    assert again.decision(BAR) == dataclasses.replace(DECISION, phase="buys")
    assert (again.intents(BAR, "sell"), again.intents(BAR, "buy")) == ([SELL], [filled])
    assert again.fills_since_anchor() == [FillSince("b", "BTC", "buy", BUY.quantity, BUY.quantity * Decimal("0.1"))]
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


def _walk(journal: Journal, intent: Intent, *states: str) -> None:
    for state in states:
        journal.update(dataclasses.replace(intent, state=state))  # type: ignore[arg-type]


def test_open_are_those_whose_end_is_not_known(journal: Journal) -> None:
    states = ["planned", "sent", "unknown", "accepted", "partially_filled", "filled", "canceled", "rejected", "expired"]
    intents = [dataclasses.replace(SELL, client_order_id=state, state=state, sequence=k) for k, state in enumerate(states)]
    sent = dataclasses.replace(SELL, client_order_id="sent, given up", state="abandoned", sent_at=50.0, sequence=10)
    never = dataclasses.replace(SELL, client_order_id="never sent", state="abandoned", sequence=11)
    journal.add_decision(DECISION, [*intents, sent, never], None)
    assert [intent.client_order_id for intent in journal.open_intents(50.0)] == [*states[:5], "sent, given up"]
    assert [intent.client_order_id for intent in journal.open_intents(50.1)] == states[:5]


def test_an_intent_moves_only_along_the_state_machine(journal: Journal) -> None:
    for k, (before, allowed) in enumerate(NEXT.items()):
        for j, after in enumerate(NEXT):
            intent = dataclasses.replace(SELL, client_order_id=f"{before} {after}", state=before, sequence=100 * k + j)
            journal.add_intents([intent])
            moved = dataclasses.replace(intent, state=after)
            if after in allowed:
                journal.update(moved)
                assert journal.intent(intent.client_order_id) == moved
            else:
                with pytest.raises(ValueError, match=f"cannot go from {before} to {after}"):
                    journal.update(moved)
                assert journal.intent(intent.client_order_id) == intent


def test_one_bar_asset_and_sequence_is_one_order(journal: Journal) -> None:
    journal.add_intents([SELL])
    with pytest.raises(sqlite3.IntegrityError):
        journal.add_intents([dataclasses.replace(SELL, client_order_id="another")])
    assert journal.next_sequence(BAR, "ETH") == 1
    journal.add_intents([dataclasses.replace(SELL, client_order_id="another", sequence=1)])
    assert (journal.next_sequence(BAR, "ETH"), journal.next_sequence(BAR, "BTC")) == (2, 1)
    assert journal.intents(BAR, "sell") == [SELL]


def test_an_anchor_counts_each_part_of_a_fill_once(journal: Journal) -> None:
    journal.add_intents([BUY])
    part = dataclasses.replace(BUY, state="partially_filled", filled_quantity=Decimal("1.5"), filled_price=Decimal("2"))
    _walk(journal, BUY, "sent")
    journal.update(part)
    assert journal.fills_since_anchor() == [FillSince("b", "BTC", "buy", Decimal("1.5"), Decimal(3))]
    anchor = Anchor(1.0, {"BTC": Decimal("1.5"), "USD": Decimal(-3)}, {"USD": Decimal(7)}, {86_400: {"BTC": Decimal("1e-12")}})
    journal.set_anchor(anchor, [Adjustment(1.0, "USD", Decimal("-5.00"), "accept")])
    assert journal.anchor() == anchor
    assert journal.fills_since_anchor() == []
    journal.update(dataclasses.replace(part, state="filled", filled_quantity=Decimal(2), filled_price=Decimal(3)))
    assert journal.fills_since_anchor() == [FillSince("b", "BTC", "buy", Decimal("0.5"), Decimal(3))]
    assert [(row["asset"], row["change"], row["how"]) for row in read_adjustments(journal.path)] == [("USD", "-5.00", "accept")]


def test_the_last_halt_is_in_force_and_all_are_kept(journal: Journal) -> None:
    assert journal.halt() is None
    halts = [Halt(1.0, True, "drill", "command", True), Halt(2.0, False, "over", "command")]
    for halt in halts:
        journal.set_halt(halt)
        assert journal.halt() == halt
    assert [bool(row["is_halted"]) for row in read_halts(journal.path)] == [True, False]


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
    with pytest.raises(InputError, match="has schema 7; this version reads 3"):
        Journal(path)
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    with pytest.raises(InputError, match="is not a journal"):
        Journal(tmp_path / "noise")
    with pytest.raises(InputError, match="no such file"):
        read_orders(tmp_path / "nothing")

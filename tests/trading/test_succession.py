"""One trader in the place of another, on the same account."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
from decimal import Decimal

import numpy as np
import pytest
from loopback import serving, walk
from trading_scenarios import manifest_of, restless, trader, venue_of

from cappuccino.errors import Refusal
from cappuccino.risk import Limits
from cappuccino.trading.clock import RealClock
from cappuccino.trading.folder import locked
from cappuccino.trading.journal import Journal
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.review import review
from cappuccino.trading.session import load_session

ROWS, START = 260, 200


def even(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A third of equity in each of three things, cash among them."""
    del window
    return np.full(len(weights), 1 / 3)


def keep(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What is held."""
    del window
    return weights


@pytest.mark.parametrize("fees", ["fill", "day"])
def test_who_takes_over_trades_from_what_is_held_and_nothing_is_sold_for_it(tmp_path: pathlib.Path, fees: str) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START, fees=fees)
    old, new = tmp_path / "old", tmp_path / "new"
    with serving(venue) as url:
        trader(url, old, manifest_of(table), bars=6).run()
        orders = len(venue.ledger.orders)
        held = {asset: holding.quantity for asset, holding in venue.ledger.holdings.items()}
        assert any(held.values())
        summary = trader(url, new, manifest_of(table), decide=even, artifact="other", bars=3, takes_over=old).run()
        assert summary.decisions == 3
        # Started again it is itself, and goes on.
        assert trader(url, new, manifest_of(table), decide=even, artifact="other", bars=2, takes_over=old).run().decisions == 2
        with pytest.raises(Refusal, match="began with takes_over old"):
            trader(url, new, manifest_of(table), decide=even, artifact="other", bars=1).run()
    first, marks = read_decisions(new / "journal.sqlite")[0], read_marks(new / "journal.sqlite")
    assert first["bar"] > read_decisions(old / "journal.sqlite")[-1]["bar"]
    least = {"fill": Decimal("0.9975"), "day": Decimal("0.9")}[fees]  # what is due of all trades of the day is not its own
    for asset, quantity in marks[0]["positions"].items():
        assert held[asset] * least <= Decimal(quantity) <= held[asset]
    moved = [row for row in read_orders(new / "journal.sqlite") if row["bar"] == first["bar"]]
    assert len(venue.ledger.orders) > orders
    for row in moved:
        column = table.assets.index(row["asset"])
        apart = (first["targets"][column] - first["weights"][column]) * first["equity"]
        signed = float(row["quantity"]) * first["closes"][column] * (1 if row["side"] == "buy" else -1)
        # A buy is fitted to the cash; nothing trades more than the way to its target.
        assert 0 < signed / apart <= 1 + 1e-6


def test_what_the_other_left_unfinished_is_ended_without_an_order(tmp_path: pathlib.Path) -> None:
    """Of the other a decision is in the journal and its orders are not sent: as a kill leaves it."""
    table = walk(ROWS)
    venue = venue_of(table, START)
    old, new = tmp_path / "old", tmp_path / "new"
    with serving(venue) as url:
        trader(url, old, manifest_of(table), bars=4).run()
        with contextlib.closing(Journal(old / "journal.sqlite")) as journal:
            (last,) = [row for row in read_decisions(old / "journal.sqlite")][-1:]
            decision = journal.decision(last["bar"])
            assert decision is not None
            intent = dataclasses.replace(
                journal.orders_since(0)[-1],
                client_order_id="capp-1-s-BTC-0",
                bar=1,
                state="planned",
                filled_quantity=Decimal(0),
            )
            journal.add_decision(dataclasses.replace(decision, bar=1, phase="sells", buys=(1.0,) * 3), [intent], None)
        placed = len(venue.ledger.orders)
        trader(url, new, manifest_of(table), decide=keep, artifact="b", bars=1, takes_over=old).run()
        assert len(venue.ledger.orders) == placed
    (left,) = [row for row in read_orders(old / "journal.sqlite") if row["bar"] == 1]
    assert left["state"] == "abandoned"
    assert [row["phase"] for row in read_decisions(old / "journal.sqlite") if row["bar"] == 1] == ["done"]


def test_what_cannot_be_taken_over_is_refused_and_nothing_is_written(tmp_path: pathlib.Path) -> None:
    table = walk(ROWS)
    venue = venue_of(table, START)
    old, new = tmp_path / "old", tmp_path / "new"

    def take_over(match: str, **changes: object) -> None:
        with pytest.raises(Refusal, match=match):
            trader(url, new, manifest_of(table), artifact="b", bars=1, takes_over=old, **changes).run()
        with contextlib.closing(Journal(new / "journal.sqlite")) as journal:
            assert journal.meta() == {}
            assert journal.anchor() is None

    with serving(venue) as url:
        take_over("there is no trader")
        trader(url, old, manifest_of(table), bars=3).run()
        take_over("has capital 100000, this is 50000", capital=Decimal(50_000))
        with locked(old):
            take_over("a trader runs in .*old already")
        with contextlib.closing(Journal(old / "journal.sqlite")) as journal:
            switch = KillSwitch(journal, old, RealClock())
            switch.throw("by hand", "command")
            take_over("is halted")
            switch.release("by hand", "command")
        venue.ledger.cash += 7_000
        take_over("not what the journal explains")
        venue.ledger.cash -= 7_000
    with serving(venue_of(table, START)) as url:
        take_over("has account")


def test_risk_rules_remember_across_a_succession(tmp_path: pathlib.Path) -> None:
    """An account that a rule has stopped stays so: another strategy is no reason to try again."""
    table = walk(ROWS)
    venue = venue_of(table, START)
    limits = Limits(*[math.inf] * 2, 0.0, *[math.inf] * 4, 1, math.inf, 1e-4)
    old, new = tmp_path / "old", tmp_path / "new"
    with serving(venue) as url:
        trader(url, old, manifest_of(table), bars=12, limits=limits).run()
        assert read_marks(old / "journal.sqlite")[-1]["risk"]["is_stopped"]
        trader(url, new, manifest_of(table), artifact="b", bars=2, limits=limits, takes_over=old).run()
        again = tmp_path / "again"
        trader(url, again, manifest_of(table), artifact="c", bars=2, limits=limits, takes_over=new).run()
    for folder in (new, again):
        assert all(not any(row["targets"]) for row in read_decisions(folder / "journal.sqlite"))


def test_the_same_artifact_may_come_back(tmp_path: pathlib.Path) -> None:
    """Within the bar at which it decided before: its order ids would be those of then."""
    table = walk(ROWS)
    venue = venue_of(table, START)
    with serving(venue) as url:
        trader(url, tmp_path / "a", manifest_of(table), artifact="a", bars=3).run()
        trader(url, tmp_path / "b", manifest_of(table), artifact="b", bars=1, takes_over=tmp_path / "a").run()
        last = tmp_path / "c"
        trader(url, last, manifest_of(table), decide=restless, artifact="a", bars=3, takes_over=tmp_path / "b").run()
    bars = [[row["bar"] for row in read_decisions(tmp_path / name / "journal.sqlite")] for name in "abc"]
    assert bars[0][-1] < bars[1][0] <= bars[1][-1] < bars[2][0]


@pytest.mark.parametrize(("hole", "before"), [(40, 15), (60, 50)])
def test_who_takes_over_in_a_hole_can_be_reviewed(tmp_path: pathlib.Path, hole: int, before: int) -> None:
    """It never had a window, and its first bars may lie farther from the last price than features reach back."""
    rows = 400
    table = walk(rows, missing={row: (2,) for row in range(START + 5, START + 5 + hole)})
    names = ("return_1", "return_24")
    manifest = manifest_of(table, names)
    settings = {
        "max_hole_bars": 3,
        "allow_outside": names,
        "limits": Limits(*[math.inf] * 2, 0.0, *[math.inf] * 4, 1, *[math.inf] * 2),
    }
    old, new = tmp_path / "old", tmp_path / "new"
    with serving(venue_of(table, START)) as url:
        trader(url, old, manifest, bars=5 + before, **settings).run()
        summary = trader(url, new, manifest, artifact="other", bars=hole - before + 5, takes_over=old, **settings).run()
    assert summary.decisions == 0
    for folder, bars in ((old, 5 + before), (new, hole - before + 5)):
        reviewed = review(load_session(folder, manifest, restless, max_hole_bars=3, venue_fee=0.0025))
        assert len(reviewed) == bars - 1
        assert all(row.is_explained for row in reviewed)

"""What the trader should hold: right whichever way the venue takes its fees, and blind to nothing else."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import given

from cappuccino.trading.ledger import CENT, DAY_S, compare, set_aside
from cappuccino.trading.records import CASH, Anchor, FillSince

FEE = Decimal("0.0025")
INCREMENT = Decimal("1e-9")
INCREMENTS = {"BTC": INCREMENT, "ETH": INCREMENT}
START = 1_000 * DAY_S

amounts = st.integers(1, 10**12).map(lambda units: units * INCREMENT)
fills = st.tuples(
    st.sampled_from(["BTC", "ETH"]), st.sampled_from(["buy", "sell"]), amounts, st.integers(1, 10**5).map(Decimal)
)
hours = st.lists(st.tuples(st.integers(1, 30), st.lists(fills, max_size=4)), min_size=1, max_size=12)


def _anchor() -> Anchor:
    return Anchor(START, {CASH: Decimal(10**9), "BTC": Decimal(10**6), "ETH": Decimal(10**6)}, {})


class Venue:
    """Gross figures, and fees taken either at the fill or at the end of its UTC day."""

    def __init__(self, anchor: Anchor, *, daily: bool) -> None:
        self.figures, self.daily = dict(anchor.own), daily
        self.due: dict[int, dict[str, Decimal]] = {}

    def fill(self, fill: FillSince, now: int) -> None:
        is_buy = fill.side == "buy"
        self.figures[fill.asset] += fill.quantity if is_buy else -fill.quantity
        self.figures[CASH] += -fill.value if is_buy else fill.value
        name, fee = (fill.asset, fill.quantity * FEE) if is_buy else (CASH, fill.value * FEE)
        day = now // DAY_S
        due = self.due.setdefault(day, {})
        due[name] = due.get(name, Decimal(0)) + fee
        if not self.daily:
            self.post(day + 1)

    def post(self, today: int) -> None:
        for day in [day for day in self.due if day < today]:
            for name, fee in self.due.pop(day).items():
                self.figures[name] -= fee


@given(hours, st.booleans(), st.sampled_from(["none", "up", "down"]), st.sampled_from(["BTC", "ETH", CASH]), st.data())
def test_any_way_of_taking_fees_agrees_and_any_other_change_is_seen(session, daily, planted, where, data) -> None:
    anchor, now = _anchor(), START
    venue = Venue(anchor, daily=daily)
    at = data.draw(st.integers(0, len(session) - 1))
    for k, (wait, orders) in enumerate(session):
        now += wait * 3600
        venue.post(now // DAY_S)
        made = [
            FillSince(f"{k} {j}", asset, side, quantity, quantity * price)
            for j, (asset, side, quantity, price) in enumerate(orders)
        ]
        for fill in made:
            venue.fill(fill, now)
        if planted != "none" and k == at:
            bound = sum((fees.get(where, Decimal(0)) for fees in anchor.pending.values()), Decimal(0))
            bound += sum((fill.quantity * FEE for fill in made if fill.side == "buy" and fill.asset == where), Decimal(0))
            if where == CASH:
                bound += sum((fill.value * FEE for fill in made if fill.side == "sell"), Decimal(0))
            tolerance = CENT * (1 + len(made)) if where == CASH else INCREMENT
            venue.figures[where] += (bound + 2 * tolerance) * (1 if planted == "up" else -1)
            found = compare(anchor, made, venue.figures, INCREMENTS, now=now, fee=FEE)
            assert [one.asset for one in found.differences] == [where]
            return
        found = compare(anchor, made, venue.figures, INCREMENTS, now=now, fee=FEE)
        assert found.differences == ()
        assert found.anchor.own == venue.figures
        anchor = found.anchor
        due = {name: sum((fees.get(name, Decimal(0)) for fees in venue.due.values()), Decimal(0)) for name in venue.figures}
        for name, fee in due.items():
            assert sum((fees.get(name, Decimal(0)) for fees in anchor.pending.values()), Decimal(0)) == fee


def test_what_was_not_taken_in_time_is_due_no_more() -> None:
    anchor = _anchor()
    fill = FillSince("a", "BTC", "buy", Decimal(1), Decimal(100))
    gross = {**anchor.own, "BTC": anchor.own["BTC"] + 1, CASH: anchor.own[CASH] - 100}
    bought = compare(anchor, [fill], gross, INCREMENTS, now=START, fee=FEE).anchor
    taken = {**gross, "BTC": gross["BTC"] - FEE}
    for seen, expected in ((START + 2 * DAY_S - 1, 0), (START + 2 * DAY_S, 1)):
        still = compare(bought, [], gross, INCREMENTS, now=seen, fee=FEE)
        assert still.differences == ()
        assert len(compare(still.anchor, [], taken, INCREMENTS, now=seen + 1, fee=FEE).differences) == expected


def test_what_is_added_is_seen_beside_fees_that_are_taken_and_fees_that_are_due() -> None:
    anchor, added = _anchor(), Decimal(5)
    fills = [FillSince("a", "BTC", "buy", Decimal(2), Decimal(200)), FillSince("b", "ETH", "sell", Decimal(20), Decimal(4_000))]
    due = {"BTC": 2 * FEE, CASH: 4_000 * FEE, "ETH": Decimal(0)}
    gross = {CASH: anchor.own[CASH] + 3_800 + added, "BTC": anchor.own["BTC"] + 2, "ETH": anchor.own["ETH"] - 20}
    for taken in (0, Decimal("0.6"), 1):
        seen = {name: figure - taken * due[name] for name, figure in gross.items()}
        compared = compare(anchor, fills, seen, INCREMENTS, now=START, fee=FEE)
        net = {name: figure - (due[name] if taken == 0 else 0) for name, figure in seen.items()}
        assert compared.anchor.net == net


def test_what_is_set_aside_leaves_the_traders_figures_as_they_were() -> None:
    anchor = dataclasses.replace(_anchor(), reserve={CASH: Decimal(50)})
    found = {**anchor.own, CASH: anchor.own[CASH] + 500, "ETH": anchor.own["ETH"] - 2}
    compared = compare(anchor, [], found, INCREMENTS, now=START, fee=FEE)
    aside = set_aside(compared.anchor, compared.differences)
    for name in found:
        assert aside.own[name] + aside.reserve.get(name, 0) == found[name] + anchor.reserve.get(name, 0)
        assert abs(aside.own[name] - anchor.own[name]) <= CENT
    assert aside.reserve["ETH"] < 0

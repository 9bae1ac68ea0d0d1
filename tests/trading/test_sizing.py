"""Quantities sent are the plan's, exact multiples of the increment, and never more than there is."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.broker.protocol import MAX_CLIENT_ID, AccountState, Position
from cappuccino.plan import cut_to_increment
from cappuccino.trading.identity import client_order_id, is_of_a_trader
from cappuccino.trading.records import CASH
from cappuccino.trading.sizing import dust, exact_quantity, own_account

increments = st.sampled_from([Decimal(text) for text in ("1e-9", "1e-8", "0.0001", "0.01", "0.025", "1")])


@given(quantity=st.floats(1e-6, 1e6), increment=increments)
def test_the_exact_quantity_is_the_plans_to_the_last_step(quantity: float, increment: Decimal) -> None:
    planned = float(cut_to_increment(np.float64(quantity), float(increment), xp=np))
    exact = exact_quantity(planned, increment)
    assert exact % increment == 0
    assert float(exact) == pytest.approx(planned, rel=1e-15, abs=0)


@given(planned=st.floats(1e-6, 1e6), increment=increments, available=st.decimals("0", "1e6", places=18))
def test_no_more_than_what_is_available_is_sold(planned: float, increment: Decimal, available: Decimal) -> None:
    exact = exact_quantity(planned, increment, available)
    assert 0 <= exact <= available
    assert exact % increment == 0


def test_only_the_traders_own_part_counts() -> None:
    state = AccountState("id", Decimal(120), Decimal(100), Decimal(90), ())
    position = Position("BTC", Decimal("0.5"), Decimal("0.4"), Decimal(30))
    net = {CASH: Decimal(30), "BTC": Decimal("0.5"), "ETH": Decimal(0)}
    own = own_account(state, {"BTC": position}, ("BTC", "ETH"), np.array([40.0, 1.0]), net)
    assert (own.cash, own.buying_power, own.equity) == (30.0, 30.0, 50.0)
    assert own.free == (Decimal("0.4"), Decimal(0))
    np.testing.assert_allclose(own.weights, [0.4, 0.0])
    assert dust(own, ("BTC", "ETH"), 20.0) == {"BTC": "worth 20.0000"}


def test_no_more_than_is_the_traders_and_available_is_sold() -> None:
    state = AccountState("id", Decimal(120), Decimal(100), Decimal(90), ())
    position = Position("BTC", Decimal("0.5"), Decimal("0.4"), Decimal(30))
    for net, own_quantity, free in (("0.3", 0.3, "0.3"), ("0.45", 0.45, "0.4"), ("-0.2", 0.0, "0.0")):
        own = own_account(state, {"BTC": position}, ("BTC",), np.array([40.0]), {CASH: Decimal(120), "BTC": Decimal(net)})
        np.testing.assert_allclose(own.holdings, [own_quantity])
        assert own.free == (Decimal(free),)


names = st.text(st.characters(categories=["Lu", "Nd"]), min_size=1, max_size=12)


@given(st.sets(st.tuples(names, names, st.integers(0, 2**33), names, st.integers(0, 10**6)), max_size=20))
def test_ids_name_intents(intents: set[tuple[str, str, int, str, int]]) -> None:
    ids = {client_order_id(account, artifact, bar, asset, "buy", number) for account, artifact, bar, asset, number in intents}
    assert len(ids) == len(intents)
    assert all(is_of_a_trader(name) for name in ids)
    assert all(len(name) <= MAX_CLIENT_ID for name in ids)


def test_an_id_does_not_change_between_versions() -> None:
    assert client_order_id("account", "artifact", 1_700_000_000, "BTC", "buy") == "capp-1700000000-b-BTC-5cb1e7b32b885b8fff49"

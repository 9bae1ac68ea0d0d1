"""The exchange's ledger: conservation, refusals, and agreement with the closed form of a fill."""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.broker.exchange.arithmetic import exact, exactly
from cappuccino.broker.exchange.config import FEES_TAKEN, ExchangeConfig
from cappuccino.broker.exchange.ledger import DAY_NS, Ledger
from cappuccino.broker.exchange.market import BookTop
from cappuccino.broker.exchange.orders import LedgerOrder, Ticket
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.errors import InputError

ASSETS = ("BTC", "ETH")
HALF_SPREAD = ExchangeConfig().half_spread


def make(config: ExchangeConfig | None = None) -> Ledger:
    return Ledger(config or ExchangeConfig(), ASSETS, map(str, itertools.count()).__next__)


@exactly
def book(price: float, half_spread: Decimal = HALF_SPREAD) -> BookTop:
    return BookTop(exact(price) * (1 - half_spread), exact(price) * (1 + half_spread))


def ticket(side: str, quantity: str | None, **changes) -> Ticket:
    fields = {
        "asset": "BTC",
        "side": side,
        "quantity": None if quantity is None else Decimal(quantity),
        "notional": None,
        "type": "market",
        "time_in_force": "gtc",
        "limit_price": None,
        "order_class": "",
        "client_order_id": f"id-{next(NUMBERS)}",
    }
    return Ticket(**{**fields, **changes})


NUMBERS = itertools.count()


def refusal(ledger: Ledger, sent: Ticket, top: BookTop | None) -> tuple[int, int | None, str]:
    with pytest.raises(Refused) as caught:
        ledger.submit(sent, top, 0)
    return caught.value.status, caught.value.code, caught.value.message


def test_buying_one_coin_at_25_bps_gives_0_9975_and_selling_one_is_refused() -> None:
    ledger = make()
    order = ledger.submit(ticket("buy", "1"), book(20_000.0), 0)
    assert order.status == "filled"
    assert order.filled == 1
    assert ledger.holdings["BTC"].quantity == Decimal("0.9975")
    assert ledger.cash == 100_000 - Decimal("20000") * Decimal("1.0003")
    status, code, message = refusal(ledger, ticket("sell", "1"), book(20_000.0))
    assert (status, code) == (403, 40310000)
    assert message == "insufficient balance for BTC (requested: 1, available: 0.9975)"
    ledger.submit(ticket("sell", "0.9975"), book(20_000.0), 0)
    assert ledger.holdings["BTC"].quantity == 0


def test_refusals_have_the_venues_status_and_code() -> None:
    ledger = make(ExchangeConfig(cash=1_000.0, increments={"BTC": "0.0001"}))
    top = book(20_000.0)
    cases = {
        "minimum": (ticket("buy", "0.0004"), 403, 40310000, "cost basis must be >= minimal amount of order 10"),
        "maximum": (ticket("buy", "11"), 403, 40310000, "cost basis must be <= maximal amount of order 200000"),
        "increment": (ticket("buy", "0.00105"), 422, 42210000, "multiple of 0.0001"),
        "cash": (ticket("buy", "0.06"), 403, 40310000, "insufficient buying power"),
        "zero": (ticket("buy", "0"), 422, 40010001, "qty must be > 0"),
        "day": (ticket("buy", "0.001", time_in_force="day"), 422, 42210000, "invalid crypto time_in_force"),
        "stop": (ticket("buy", "0.001", type="stop"), 422, 40010001, "invalid order type for crypto order"),
        "bracket": (ticket("buy", "0.001", order_class="bracket"), 422, 42210000, "advanced order_class: bracket"),
        "cents": (ticket("buy", None, notional=Decimal("10.001")), 422, 42210000, "limited to 2 decimal places"),
        "both": (ticket("buy", "1", notional=Decimal(20)), 422, 40010001, "not both"),
        "neither": (ticket("buy", None), 422, 40010001, "required"),
        "limit": (ticket("buy", "0.01", type="limit"), 422, 40010001, "limit_price"),
        "name": (ticket("buy", "0.01", asset="DOGE"), 422, 42210000, "not found"),
        "id": (ticket("buy", "0.01", client_order_id="x" * 49), 422, 40010001, "48"),
    }
    for name, (sent, status, code, words) in cases.items():
        got = refusal(ledger, sent, top)
        assert got[:2] == (status, code), name
        assert words in got[2], name
    assert refusal(ledger, ticket("buy", "0.001"), None)[:2] == (422, 40310000)
    assert not ledger.orders
    assert ledger.cash == 1_000


def test_a_client_id_is_unique_for_ever_unless_its_order_was_refused() -> None:
    ledger, top = make(), book(20_000.0)
    resting = ticket("buy", "0.01", type="limit", limit_price=Decimal(10_000), client_order_id="mine")
    order = ledger.submit(resting, top, 0)
    assert order.is_open
    ledger.cancel(order.id, 1)
    assert refusal(ledger, resting, top) == (422, 40010001, "client_order_id must be unique")
    refused = ticket("buy", "1000000", client_order_id="other")
    refusal(ledger, refused, top)
    assert ledger.by_client_id("other") is None
    ledger.submit(ticket("buy", "0.01", client_order_id="other"), top, 2)


def test_a_resting_order_reserves_what_it_would_spend_and_fills_when_it_is_marketable() -> None:
    ledger = make(ExchangeConfig(cash=1_000.0))
    order = ledger.submit(ticket("buy", "0.05", type="limit", limit_price=Decimal(19_000)), book(20_000.0), 0)
    assert ledger.buying_power() == 50
    assert refusal(ledger, ticket("buy", "0.01"), book(20_000.0))[:2] == (403, 40310000)
    ledger.match({"BTC": book(19_500.0)}, 1)
    assert order.is_open
    ledger.match({"BTC": book(18_000.0)}, 2)
    assert order.status == "filled"
    assert order.average_price == Decimal(18_000) * Decimal("1.0003")
    sell = ledger.submit(ticket("sell", "0.04", type="limit", limit_price=Decimal(30_000)), book(18_000.0), 3)
    assert ledger.available("BTC") == Decimal("0.049875") - Decimal("0.04")
    assert refusal(ledger, ticket("sell", "0.02"), book(18_000.0))[:2] == (403, 40310000)
    ledger.cancel(sell.id, 4)
    assert refusal_of_cancel(ledger, sell) == (422, 42210000)


def refusal_of_cancel(ledger: Ledger, order: LedgerOrder) -> tuple[int, int | None]:
    with pytest.raises(Refused) as caught:
        ledger.cancel(order.id, 5)
    return caught.value.status, caught.value.code


def test_an_immediate_limit_order_that_is_not_marketable_is_canceled_unfilled() -> None:
    ledger = make()
    sent = ticket("buy", "0.01", type="limit", time_in_force="ioc", limit_price=Decimal(19_000))
    order = ledger.submit(sent, book(20_000.0), 0)
    assert (order.status, order.filled) == ("canceled", 0)
    assert ledger.buying_power() == ledger.cash == 100_000


def test_the_margin_is_asked_of_buys_on_top_of_their_cost() -> None:
    ledger = make(ExchangeConfig(cash=1_000.0, buying_power_margin=0.04))
    assert refusal(ledger, ticket("buy", "0.049"), book(20_000.0))[:2] == (403, 40310000)
    ledger.submit(ticket("buy", "0.048"), book(20_000.0), 0)


def test_fees_of_a_day_are_taken_when_it_is_over_and_kept_back_until_then() -> None:
    ledger = make(ExchangeConfig(fees="day"))
    ledger.submit(ticket("buy", "1"), book(20_000.0), DAY_NS + 1)
    assert ledger.holdings["BTC"].quantity == 1
    assert ledger.available("BTC") == Decimal("0.9975")
    assert refusal(ledger, ticket("sell", "1"), book(20_000.0))[:2] == (403, 40310000)
    cash = ledger.cash
    ledger.submit(ticket("sell", "0.9975"), book(20_000.0), 2 * DAY_NS - 1)
    assert ledger.owed_cash() == (ledger.cash - cash) * Decimal("0.0025") > 0
    assert ledger.buying_power() == ledger.cash - ledger.owed_cash()
    power = ledger.buying_power()
    assert ledger.events(DAY_NS, 3 * DAY_NS) == [2 * DAY_NS]
    ledger.match({}, 2 * DAY_NS - 1)
    assert ledger.holdings["BTC"].quantity == Decimal("0.0025")
    ledger.match({}, 2 * DAY_NS)
    assert ledger.holdings["BTC"].quantity == ledger.holdings["BTC"].cost == 0
    assert ledger.cash == ledger.buying_power() == power


def test_a_configuration_of_an_unknown_asset_is_an_input_error() -> None:
    with pytest.raises(InputError, match="DOGE"):
        make(ExchangeConfig(holdings={"DOGE": "1"}))
    with pytest.raises(InputError, match="taker_fee_bps"):
        ExchangeConfig(taker_fee_bps=-1.0)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "limit buy", "limit sell", "notional", "cancel", "tick"]),
        st.sampled_from(ASSETS),
        st.decimals("0.000000001", "3", places=9),
        st.floats(0.5, 2.0),
    ),
    max_size=40,
)


def basis_points(most: int) -> st.SearchStrategy[float]:
    """To the sixth decimal: money is exact to 60 digits, and a rate of 1e-41 takes more."""
    return st.integers(0, most * 10**6).map(lambda millionths: millionths / 1e6)


@settings(max_examples=60, deadline=None)
@given(ACTIONS, basis_points(100), basis_points(50), basis_points(50), st.sampled_from(FEES_TAKEN))
def test_value_is_conserved_up_to_costs_and_nothing_goes_negative(
    actions: list, fee_bps: float, half_spread_bps: float, slippage_bps: float, fees: str
) -> None:
    config = ExchangeConfig(fee_bps, half_spread_bps, slippage_bps, fees, cash=50_000.0, holdings={"ETH": "2"})
    check(make(config), config, actions)


@exactly
def check(ledger: Ledger, config: ExchangeConfig, actions: list) -> None:
    mids = {"BTC": 20_000.0, "ETH": 1_000.0}
    first_cash, open_ids = ledger.cash, []
    for kind, asset, quantity, move in actions:
        books = {name: book(price, config.half_spread) for name, price in mids.items()}
        limit = exact(mids[asset] * move)
        changes = {"asset": asset}
        if kind.startswith("limit"):
            changes |= {"type": "limit", "limit_price": limit}
        try:
            if kind == "tick":
                mids[asset] *= move
                ledger.match({name: book(price, config.half_spread) for name, price in mids.items()}, 0)
            elif kind == "cancel" and open_ids:
                ledger.cancel(open_ids.pop(), 0)
            elif kind == "notional":
                sent = ticket("buy", None, notional=Decimal(int(quantity * 1000)), **changes)
                ledger.submit(sent, books[asset], 0)
            elif kind != "cancel":
                order = ledger.submit(ticket(kind.split()[-1], str(quantity), **changes), books[asset], 0)
                open_ids.append(order.id)
        except Refused:
            continue
        finally:
            assert ledger.cash >= 0
            assert ledger.buying_power() >= 0
            assert all(holding.quantity >= 0 for holding in ledger.holdings.values())
            assert all(ledger.available(name) >= 0 for name in ASSETS)
    ledger.match({}, DAY_NS)
    assert ledger.owed_cash() == sum(ledger.owed(asset) for asset in ASSETS) == 0
    # Independent book-keeping: every unit of cash and base is accounted for by the fills and their fees.
    cash, held = first_cash, {"BTC": Decimal(0), "ETH": Decimal(2)}
    for fill in ledger.fills:
        sign = 1 if fill.side == "buy" else -1
        cash -= sign * fill.quantity * fill.price
        held[fill.asset] += sign * fill.quantity
        if fill.fee_in == "quote":
            cash -= fill.fee
        else:
            held[fill.asset] -= fill.fee
        received = fill.quantity if sign > 0 else fill.quantity * fill.price
        assert fill.fee == received * config.fee
    assert cash == ledger.cash
    assert held == {name: holding.quantity for name, holding in ledger.holdings.items()}

"""What goes wrong on request: what the trader's own client makes of each fault, and that a draw depends on nothing but itself."""

from __future__ import annotations

import decimal
import itertools
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import requests
from hypothesis import given, settings
from loopback import ASSETS, HOUR, serving, walk

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.arithmetic import ARITHMETIC
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.faults import DATA, ORDER, WIRE, Asked, FaultPlan, FaultsConfig
from cappuccino.broker.exchange.orders import Ticket
from cappuccino.broker.exchange.process import ExchangeControl
from cappuccino.broker.exchange.refusals import Refused
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import BrokerUnavailable, OrderRejected, OrderRequest, UnknownOutcome
from cappuccino.errors import InputError

ROWS, START = 260, 200
NUMBERS = itertools.count()
BARS = walk(ROWS)


def venue_with(**faults: Any) -> Venue:
    """The exchange's time stands still, so that what is busy stays so unless it is for no time at all."""
    return Venue(walk(ROWS), START, ExchangeConfig(faults=FaultsConfig(**{"busy_s": 0.0, **faults})))


def script(fault: str, request: str = "submit", times: int = 1) -> dict[str, Any]:
    return {"script": [{"fault": fault, "request": request, "times": times}]}


def broker_at(url: str, deadline_s: float = 5.0) -> AlpacaBroker:
    return AlpacaBroker("key", "secret", trading_url=url, deadline_s=deadline_s, sleep=lambda _: None)


def buy(quantity: str = "0.3") -> OrderRequest:
    return OrderRequest("BTC", "buy", Decimal(quantity), f"order-{next(NUMBERS)}")


@pytest.mark.parametrize(
    ("fault", "raised", "is_stored"),
    [
        ("drop_before", UnknownOutcome, False),
        ("drop_after", UnknownOutcome, True),
        ("timeout_before", UnknownOutcome, False),
        ("timeout_after", UnknownOutcome, True),
        ("busy", OrderRejected, False),
        ("html", UnknownOutcome, False),
        ("hang", UnknownOutcome, True),
        ("drip", UnknownOutcome, True),
    ],
)
def test_a_faulty_answer_to_an_order(fault: str, raised: type[Exception], is_stored: bool) -> None:
    venue = venue_with(**script(fault), hang_s=3.0, drip_s=6.0)
    with serving(venue) as url:
        broker, order = broker_at(url, deadline_s=1.0), buy()
        with pytest.raises(raised) as caught:
            broker.submit(order)
        assert (len(venue.ledger.orders) == 1) == is_stored
        assert (broker.order(order.client_order_id) is not None) == is_stored
        if not is_stored:
            assert broker.submit(order).client_order_id == order.client_order_id
        assert len(venue.ledger.orders) == 1
        assert ExchangeControl(url).faults() == {fault: 1}
    if fault == "busy":
        assert getattr(caught.value, "status", None) == 429


@pytest.mark.parametrize("fault", [fault for fault in WIRE if fault not in ("repeat_token", "hang", "drip")])
def test_a_read_is_repeated_until_it_is_answered(fault: str) -> None:
    with serving(venue_with(**script(fault, "account", 2))) as url:
        assert broker_at(url).account().cash == 100_000
        assert ExchangeControl(url).faults() == {fault: 2}
    with serving(venue_with(rates={fault: 1.0})) as url, pytest.raises(BrokerUnavailable):
        broker_at(url).positions()


def test_who_is_told_that_it_asks_too_often_is_told_so_until_the_reset() -> None:
    venue = venue_with(**script("busy", "account"), busy_s=5.0)
    with serving(venue) as url:
        counted, uncounted = (
            AlpacaBroker("key", "secret", trading_url=url, sleep=lambda _: None, now=now) for now in (venue.clock.now, None)
        )
        for broker in (counted, uncounted):
            with pytest.raises(BrokerUnavailable) as caught:
                broker.account()
            assert caught.value.status == 429
        asked = ExchangeControl(url).faults()["busy"]
        with pytest.raises(BrokerUnavailable, match="not sent"):
            counted.positions()
        assert ExchangeControl(url).faults()["busy"] == asked  # who counts does not even ask
        venue.clock.advance(venue.clock.now() + 5)
        assert counted.account().cash == uncounted.account().cash == 100_000


def test_what_goes_wrong_can_be_said_while_it_runs() -> None:
    with serving(venue_with()) as url:
        control, broker = ExchangeControl(url), broker_at(url)
        assert broker.account().cash == 100_000
        control.go_wrong(FaultsConfig(rates={"html": 1.0}))
        with pytest.raises(BrokerUnavailable):
            broker.account()
        control.go_wrong(FaultsConfig())
        assert broker.account().cash == 100_000
        assert control.faults()["html"] > 0


@pytest.mark.parametrize("path", ["advance", "faults", "adjust"])
@pytest.mark.parametrize(("key", "status"), [("", 403), ("another", 401)])
def test_what_changes_the_exchange_takes_the_keys(path: str, key: str, status: int) -> None:
    venue = Venue(walk(ROWS), START, ExchangeConfig(key="ours", secret="ours"))
    with serving(venue) as url:
        headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": key}
        answer = requests.post(f"{url}/control/{path}", json={"to": 2e9, "cash": "5"}, headers=headers, timeout=5)
        assert answer.status_code == status
        assert (venue.clock.now(), venue.ledger.cash) == (venue.market.first, 100_000)


@pytest.mark.parametrize("body", ["", "[1]", '{"rates": {"gremlins": 1}}', '{"rate": 1}', '{"page": -1}'])
def test_faults_that_are_none_are_refused(body: str) -> None:
    venue = venue_with()
    with serving(venue) as url:
        headers = {"APCA-API-KEY-ID": "a", "APCA-API-SECRET-KEY": "b"}
        assert requests.post(f"{url}/control/faults", data=body, headers=headers, timeout=5).status_code == 409
    assert venue.faults.config == FaultsConfig(busy_s=0.0)


def test_a_token_that_leads_to_itself_ends_in_an_error_not_in_a_loop() -> None:
    venue = venue_with(rates={"repeat_token": 1.0})
    with serving(venue) as url, pytest.raises(BrokerUnavailable):
        broker_at(url).bars(ASSETS, int(venue.market.first) - 10 * HOUR, int(venue.market.first), bar_seconds=HOUR)


def test_pages_that_split_a_symbol_are_put_together() -> None:
    plain, split = venue_with(), venue_with(page=7)
    answers = []
    for venue in (plain, split):
        with serving(venue) as url:
            at = int(venue.market.first)
            answers.append(broker_at(url).bars(ASSETS, at - 30 * HOUR, at, bar_seconds=HOUR))
    for asset in ASSETS:
        assert [column.tolist() for column in answers[0][asset]] == [column.tolist() for column in answers[1][asset]]
        assert len(answers[0][asset].timestamps) == 30


def _placed(fault: str, **config: Any) -> tuple[Venue, OrderRequest]:
    return venue_with(**script(fault), **config), buy()


def test_a_stale_read_shows_the_order_and_what_it_did_only_later() -> None:
    venue, order = _placed("stale", stale_s=5.0)
    with serving(venue) as url:
        broker = broker_at(url)
        assert broker.submit(order).filled_quantity == 0
        assert broker.order(order.client_order_id) is None
        assert broker.orders_since(venue.market.first - 60) == []
        assert (broker.account().cash, broker.positions()) == (100_000, {})
        venue.clock.advance(venue.market.first + 5)
        found = broker.order(order.client_order_id)
        assert found is not None
        assert found.status == "filled"
        assert broker.positions()["BTC"].quantity == Decimal("0.3") * Decimal("0.9975")
        assert broker.account().cash < 100_000


def test_a_part_fills_at_once_and_the_rest_later_at_the_price_of_then() -> None:
    venue, order = _placed("partial", rest_s=HOUR + 1)
    with serving(venue) as url:
        broker = broker_at(url)
        broker.submit(order)
        first = broker.order(order.client_order_id)
        assert first is not None
        assert (first.status, first.filled_quantity) == ("partially_filled", Decimal("0.1"))
        venue.clock.advance(venue.market.first + HOUR + 2)
        last = broker.order(order.client_order_id)
        assert last is not None
        assert (last.status, last.filled_quantity) == ("filled", Decimal("0.3"))
        prices = [fill.price for fill in venue.ledger.fills]
        assert prices[0] != prices[1]
        assert abs(last.filled_average_price - (prices[0] + 2 * prices[1]) / 3) < Decimal("1e-6")  # type: ignore[operator]


def test_a_resting_order_holds_what_it_may_need_and_fills_or_is_canceled() -> None:
    for is_canceled in (False, True):
        venue, order = _placed("rest", rest_s=30)
        with serving(venue) as url:
            broker = broker_at(url)
            placed = broker.submit(order)
            assert broker.account().buying_power < 100_000
            assert broker.account().cash == 100_000
            if is_canceled:
                broker.cancel(placed.id)
            venue.clock.advance(venue.market.first + 31)
            found = broker.order(order.client_order_id)
            assert found is not None
            assert found.status == ("canceled" if is_canceled else "filled")


def test_a_stuck_cancel_is_pending_and_ends_in_its_time() -> None:
    venue, order = _placed("stick", stick_s=120)
    with serving(venue) as url:
        broker = broker_at(url)
        placed = broker.submit(order)
        for waited, status in ((0, "pending_cancel"), (119, "pending_cancel"), (121, "canceled")):
            venue.clock.advance(venue.market.first + waited)
            if waited < 120:
                broker.cancel(placed.id)
            found = broker.order(order.client_order_id)
            assert found is not None
            assert found.status == status


def test_a_cancel_may_lose_the_race_and_an_accepted_order_may_be_rejected() -> None:
    venue, order = _placed("race")
    with serving(venue) as url:
        broker = broker_at(url)
        assert broker.cancel(broker.submit(order).id)
        found = broker.order(order.client_order_id)
        assert found is not None
        assert found.status == "filled"
    venue, order = _placed("reject", rest_s=10)
    with serving(venue) as url:
        broker = broker_at(url)
        broker.submit(order)
        venue.clock.advance(venue.market.first + 11)
        found = broker.order(order.client_order_id)
        assert found is not None
        assert (found.status, found.filled_quantity) == ("rejected", 0)


def test_faulty_bars() -> None:
    table = walk(ROWS)
    opening = int(table.timestamps[START])

    def bar(url: str) -> tuple[float, float] | None:
        found = broker_at(url).bars(("ETH",), opening, opening + HOUR, bar_seconds=HOUR)["ETH"]
        return (float(found.close[0]), float(found.volume[0])) if len(found.close) else None

    close, volume = float(table.close[START, 1]), float(table.volume[START, 1])
    expected = {
        "missing_bar": (None, None),
        "late_bar": (None, (close, volume)),
        "restated_bar": ((close * 1.001, volume), (close, volume)),
        "absurd_bar": ((close * 1.5, volume), (close, volume)),
        "idle_bar": ((close, 0.0), (close, 0.0)),
    }
    for (fault, (first, then)), is_told in itertools.product(expected.items(), (False, True)):
        told = {"script": [{"fault": fault, "asset": "ETH", "at": opening}]}
        venue = venue_with(late_s=60, restated_s=60, **(told if is_told else {"rates": {fault: 1.0}}))
        with serving(venue) as url:
            assert bar(url) == pytest.approx(first)
            venue.clock.advance(venue.market.first + 61)
            assert bar(url) == pytest.approx(then)
            assert ExchangeControl(url).faults()[fault] >= 1


def test_a_halted_asset_a_coarse_increment_and_a_clock_that_is_ahead() -> None:
    with serving(venue_with(rates={"halted_asset": 1.0})) as url:
        assert not broker_at(url).assets(("BTC",))["BTC"].tradable
        with pytest.raises(OrderRejected, match="not tradable"):
            broker_at(url).submit(buy())
    with serving(venue_with(rates={"coarse_asset": 1.0})) as url:
        assert broker_at(url).assets(("BTC",))["BTC"].increment == Decimal("0.000001")
        with pytest.raises(OrderRejected, match="multiple of"):
            broker_at(url).submit(buy("0.0012345678"))
    told = [
        {"fault": "halted_asset", "asset": "BTC", "at": "2023-11-23T08:59:59"},
        {"fault": "coarse_asset", "asset": "BTC", "at": "2023-11-24"},
    ]
    venue = venue_with(script=told)
    with serving(venue) as url:
        fine, coarse, seen = Decimal("1e-9"), Decimal("1e-6"), []
        for at in ("23T07:59:59", "23T08:00:00", "23T09:00:00", "24T00:00:00", "24T23:59:59", "25T00:00:00"):
            venue.clock.advance(float(np.datetime64(f"2023-11-{at}").astype(int)))
            listed = broker_at(url).assets(("BTC", "ETH"))
            assert (listed["ETH"].tradable, listed["ETH"].increment) == (True, fine)
            seen.append((listed["BTC"].tradable, listed["BTC"].increment))
    assert seen == [(True, fine), (False, fine), (True, fine), (True, coarse), (True, coarse), (True, fine)]
    venue = venue_with(skew_s=400.0)
    with serving(venue) as url:
        assert broker_at(url).clock() == venue.market.first + 400


def test_an_adjustment_changes_the_ledger_and_nothing_else() -> None:
    venue = venue_with()
    with serving(venue) as url:
        ExchangeControl(url).adjust(cash="5", ETH="0.25")
        assert (venue.ledger.cash, venue.ledger.holdings["ETH"].quantity) == (100_005, Decimal("0.25"))
        assert venue.ledger.orders == {}
        for changes, message in (
            ({"XYZ": "1"}, "there is no XYZ"),
            ({"ETH": "-0.3"}, "ETH cannot change by -0.3: 0.25 is free"),
        ):
            with pytest.raises(InputError, match=message):
                ExchangeControl(url).adjust(cash="1", **changes)
        assert venue.ledger.cash == 100_005


def test_a_refused_order_uses_up_no_fate() -> None:
    venue = venue_with(**script("rest"), rest_s=30)
    with serving(venue) as url:
        broker = broker_at(url)
        with pytest.raises(OrderRejected):
            broker.submit(buy("100"))
        assert ExchangeControl(url).faults() == {}
        order = buy()
        broker.submit(order)
        found = broker.order(order.client_order_id)
        assert found is not None
        assert found.filled_quantity == 0
        assert ExchangeControl(url).faults() == {"rest": 1}


actions = st.lists(
    st.tuples(st.sampled_from(["buy", "sell", "cancel", "time"]), st.sampled_from(["BTC", "ETH"]), st.integers(1, 7_200)),
    max_size=20,
)


@settings(max_examples=100)
@given(actions, st.integers(0, 1_000), st.sampled_from([20, 4_000]))
def test_nothing_is_made_or_lost_whatever_becomes_of_orders(session: list[Any], seed: int, rest_s: int) -> None:
    rates = {"partial": 0.2, "rest": 0.2, "stick": 0.15, "reject": 0.15, "race": 0.15}
    faults = FaultsConfig(seed=seed, rates=rates, rest_s=rest_s, stick_s=120)
    venue = Venue(BARS, START, ExchangeConfig(holdings={"ETH": "3"}, faults=faults))
    for number, (what, asset, amount) in enumerate(session):
        try:
            if what in ("buy", "sell"):
                quantity = Decimal(amount) / 2_000
                ticket = Ticket(asset, what, quantity, None, "market", "gtc", None, "", f"{seed}-{number}")
                venue.submit(ticket)
            elif what == "cancel":
                for order in [order for order in venue.ledger.orders.values() if order.is_open][:1]:
                    venue.cancel(order.id)
            else:
                venue.clock.advance(venue.clock.now() + amount)
                venue.settle()
        except Refused:
            continue
        ledger = venue.ledger
        with decimal.localcontext(ARITHMETIC):
            cash, held = Decimal(100_000), {"BTC": Decimal(0), "ETH": Decimal(3)}
            filled: Counter[str] = Counter()
            for fill in ledger.fills:
                filled[fill.order_id] += fill.quantity  # type: ignore[assignment]
                if fill.side == "buy":
                    cash -= fill.quantity * fill.price
                    held[fill.asset] += fill.quantity - fill.fee
                else:
                    cash += fill.quantity * fill.price - fill.fee
                    held[fill.asset] -= fill.quantity
            assert ledger.cash == cash
            assert all(ledger.holdings[name].quantity == quantity for name, quantity in held.items())
            assert all(order.filled == filled[order.id] for order in ledger.orders.values())
            assert ledger.buying_power() >= 0
            assert all(ledger.available(name) >= 0 for name in held)


keys = st.text(st.characters(categories=["Ll"]), min_size=1, max_size=4)
asked = st.lists(st.tuples(st.sampled_from(["submit", "order", "account"]), keys), max_size=30)


@settings(max_examples=50)
@given(asked, st.randoms(use_true_random=False), st.integers(0, 5))
def test_a_draw_depends_on_seed_request_and_attempt_only(asked: list[tuple[str, str]], chance: Any, seed: int) -> None:
    """Shuffled, as long as requests of one kind and key keep their order: as other traders' requests, or a restart, would."""
    config = FaultsConfig(seed=seed, rates={"drop_after": 0.3, "html": 0.3, "partial": 0.5})

    def drawn(order: list[tuple[str, str]]) -> dict[tuple[str, str], list[str | None]]:
        plan, found = FaultPlan(config), {}
        for request, key in order:
            found.setdefault((request, key), []).append(plan.of_request(Asked(request, key), 0.0))
        for _, key in order:
            found["fate", key] = [plan.of_order(Asked("submit", key))]
            plan.accepted(Asked("submit", key))
        return found

    shuffled = list(asked)
    chance.shuffle(shuffled)
    assert drawn(asked) == drawn(shuffled)


def test_rates_are_kept_and_no_rate_is_no_fault() -> None:
    plan = FaultPlan(FaultsConfig(rates={"drop_after": 0.05, "busy": 0.1}, busy_s=0.0))
    for number in range(20_000):
        plan.of_request(Asked("order", str(number)), 0.0)
    assert plan.counts["drop_after"] == pytest.approx(1_000, rel=0.15)
    assert plan.counts["busy"] == pytest.approx(2_000, rel=0.1)
    quiet = FaultPlan(FaultsConfig())
    assert {quiet.of_request(Asked("order", str(number)), 0.0) for number in range(100)} == {None}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rates": {"explode": 0.1}}, "'explode'; faults are"),
        ({"rates": {"busy": 1.5}}, "a probability is right"),
        ({"rates": {"busy": 0.7, "html": 0.7}}, "add up to 1.4"),
        ({"script": [{"fault": "late_bar"}]}, "late_bar takes asset and at"),
        ({"script": [{"fault": "late_bar", "asset": "BTC", "at": "noon"}]}, "an ISO time is right"),
        ({"script": [{"fault": "lunch"}]}, "it takes fault, request, side, asset and times"),
        ({"script": [{"fault": "busy", "request": "lunch"}]}, "requests are"),
        ({"script": [{"fault": "busy", "times": 1.5}]}, "times 1.5; a whole number"),
        ({"script": [{"fault": "partial", "request": "order"}]}, "it happens to a submit"),
        ({"hang_s": -1}, "hang_s is -1"),
    ],
)
def test_bad_plans_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FaultsConfig(**config)


def test_every_fault_says_what_it_is() -> None:
    assert not WIRE.keys() & ORDER.keys()
    assert not ORDER.keys() & DATA.keys()
    assert all({**WIRE, **ORDER, **DATA}.values())


def test_a_hanging_answer_does_not_hold_up_another() -> None:
    venue = venue_with(**script("hang"), hang_s=3.0)
    with serving(venue) as url:
        with pytest.raises(UnknownOutcome):
            broker_at(url, deadline_s=0.5).submit(buy())
        began = time.monotonic()
        broker_at(url).account()
        assert time.monotonic() - began < 1

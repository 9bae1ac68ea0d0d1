"""The acceptance table refuses an account that somebody uses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from loopback import serving, walk
from place import ASSET, KEYS, Place, checked

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.protocol import OrderRequest
from cappuccino.errors import Refusal
from cappuccino.trading.clock import ExchangeClock


def found(url: str) -> Place:
    broker = AlpacaBroker(*KEYS, trading_url=url)
    return Place(broker, ExchangeClock(url, "stepped", keys=KEYS), broker.assets([ASSET])[ASSET], is_paper=True)


def venue_with(**config: object) -> Venue:
    return Venue(walk(300), 200, ExchangeConfig(key=KEYS[0], secret=KEYS[1], **config))  # type: ignore[arg-type]


def test_an_empty_account_is_taken() -> None:
    with serving(venue_with()) as url:
        place = found(url)
        assert checked(place) is place


def test_an_account_that_holds_something_is_refused() -> None:
    with serving(venue_with(holdings={"ETH": "0.5"})) as url, pytest.raises(Refusal, match="holds ETH and has 0 open orders"):
        checked(found(url))


def test_an_account_with_an_open_order_is_refused() -> None:
    venue = venue_with(faults=FaultsConfig(rates={"rest": 1.0}, rest_s=600.0))
    with serving(venue) as url:
        place = found(url)
        place.broker.submit(OrderRequest(ASSET, "buy", Decimal("0.01"), "mine"))
        with pytest.raises(Refusal, match="holds nothing and has 1 open orders"):
            checked(place)
    (order,) = venue.ledger.orders.values()
    assert order.is_open

"""Fewer requests a minute than the venue allows, whatever is asked, and none before a reset that it names."""

from __future__ import annotations

from decimal import Decimal

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from loopback import serving, walk

from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.broker.pace import MINUTE_S, Pace
from cappuccino.broker.protocol import BrokerUnavailable, OrderRejected, OrderRequest


class Time:
    def __init__(self, at: float = 1e9) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@given(st.lists(st.one_of(st.just(0.0), st.floats(0, 30)), max_size=300), st.integers(1, 20))
def test_no_minute_has_more_requests_than_allowed_and_none_waits_without_need(gaps: list[float], most: int) -> None:
    now = Time()
    pace, sent = Pace(now, a_minute=most), []
    for gap in gaps:
        now.at += gap
        until = pace.take()
        if until is None:
            sent.append(now.at)
        else:
            assert now.at < until <= now.at + MINUTE_S
            assert sum(at > now.at - MINUTE_S for at in sent) == most
        assert sum(at > now.at - MINUTE_S for at in sent) <= most


@given(st.floats(0.01, 119), st.sampled_from([(429, {}), (200, {"X-Ratelimit-Remaining": "0"})]))
def test_nothing_is_sent_before_the_reset(away: float, told: tuple[int, dict[str, str]]) -> None:
    now = Time(1000.0)
    pace = Pace(now)
    pace.heard(told[0], {**told[1], "X-Ratelimit-Reset": str(1000.0 + away)})
    assert pace.take() == 1000.0 + away
    now.at += away
    assert pace.take() is None


@pytest.mark.parametrize("reset", ["", "soon", "900", "1e12", "nan", "inf"])
def test_a_reset_that_cannot_be_right_holds_nothing_back(reset: str) -> None:
    pace = Pace(Time(1000.0))
    pace.heard(429, {"X-Ratelimit-Reset": reset})
    pace.heard(429, {})
    assert pace.take() is None


def test_a_venue_that_allows_few_is_never_asked_too_often() -> None:
    """Ten requests a minute: after the tenth the venue says that none remain, and the broker holds back until the reset."""
    table = walk(30)
    venue = Venue(table, 10, ExchangeConfig(requests_per_minute=10))
    with serving(venue) as url:
        broker = AlpacaBroker("key", "secret", trading_url=url, now=venue.clock.now)
        for _ in range(10):
            broker.account()
        with pytest.raises(BrokerUnavailable, match="held back, not sent") as caught:
            broker.account()
        assert caught.value.status == 429
        with pytest.raises(OrderRejected) as refused:
            broker.submit(OrderRequest("BTC", "buy", Decimal(1), "a"))
        assert refused.value.status == 429
        reset = float(requests.get(f"{url}/v2/clock", timeout=5).headers["X-Ratelimit-Reset"])
        venue.clock.advance(reset)
        assert broker.account().cash == 100_000

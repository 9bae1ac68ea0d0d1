"""Where a trader trades and by whose time, and the table of brokers that others add (`broker=own`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cappuccino.broker.protocol import Broker
from cappuccino.extensions import add
from cappuccino.trading.clock import Clock


class Venue(NamedTuple):
    """A broker, the clock by which its bars close, and where it is, in words."""

    broker: Broker
    clock: Clock
    address: str


class OwnBroker(NamedTuple):
    """open(url, deadline_s) -> Venue, of `broker.url` and `broker.deadline_s`. real_money: whether its orders move any."""

    open: Callable[[str | None, float], Venue]
    real_money: bool


BROKERS: dict[str, OwnBroker] = {}
"""Brokers from outside, by name."""


def add_broker(name: str, open_venue: Callable[[str | None, float], Venue], *, real_money: bool) -> None:
    """Make `broker=own broker.name=NAME` trade on what `open_venue` opens.

    Where `real_money`, it takes `live=true` and a typed confirmation. Keys are the module's to read, from the environment only. What
    the broker must do is the acceptance table, tests/acceptance.
    """
    add("broker", BROKERS, name, OwnBroker(open_venue, real_money))

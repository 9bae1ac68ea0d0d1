"""A trader's dealings with its venue over one journal: the parts that ask, order and compare, made for each other."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from decimal import Decimal

from cappuccino.artifact.manifest import Manifest
from cappuccino.broker.protocol import Broker
from cappuccino.trading.clock import Clock
from cappuccino.trading.journal import Journal
from cappuccino.trading.log import Log
from cappuccino.trading.orders import OrderDesk
from cappuccino.trading.patience import Keys, Patience
from cappuccino.trading.reconcile import Foreign, Reconciler
from cappuccino.trading.timing import Timing
from cappuccino.trading.venue_reader import VenueReader
from cappuccino.trading.watch import Watch


@dataclasses.dataclass(frozen=True)
class Dealings:
    """fee, foreign: as `TraderSettings`. may_send: asked before each order is sent. may_wait: asked before a read that found no answer
    is repeated."""

    manifest: Manifest
    broker: Broker
    clock: Clock
    timing: Timing
    journal: Journal
    log: Log
    watch: Watch
    fee: Decimal
    foreign: Foreign
    may_send: Callable[[], bool]
    may_wait: Callable[[], bool]

    @functools.cached_property
    def patience(self) -> Patience:
        """With a venue that does not answer."""
        keys = Keys(self.clock, self.timing.grace)
        return Patience(self.clock, self.log, lambda: not self.may_wait(), keys, poll=5 * self.timing.poll)

    @functools.cached_property
    def reader(self) -> VenueReader:
        """Of the account."""
        return VenueReader(self.broker, self.manifest, self.patience)

    @functools.cached_property
    def desk(self) -> OrderDesk:
        """For the orders of the journal."""
        return OrderDesk(self.broker, self.clock, self.journal, self.timing, self.log, self.watch, self.may_send)

    @functools.cached_property
    def reconciler(self) -> Reconciler:
        """Of the account with the journal."""
        return Reconciler(
            self.reader,
            self.clock,
            self.journal,
            self.log,
            self.desk.resolve_open,
            assets=self.manifest.assets,
            fee=self.fee,
            foreign=self.foreign,
            poll=self.timing.poll,
        )

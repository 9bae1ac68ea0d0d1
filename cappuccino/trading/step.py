"""One bar: look, decide, plan, order. What is decided is in the journal before anything is sent."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from cappuccino.artifact.manifest import SUM_SLACK, Manifest
from cappuccino.bars.table import Origin
from cappuccino.broker.protocol import Asset, Broker, Position
from cappuccino.errors import InputError, Refusal
from cappuccino.features.registry import FeatureSet
from cappuccino.plan import OrderRules, Plan
from cappuccino.trading import drift, startup
from cappuccino.trading.clock import Clock
from cappuccino.trading.execution import Execution
from cappuccino.trading.feed import Feed, View
from cappuccino.trading.folder import Log
from cappuccino.trading.journal import Decision, Journal, Mark
from cappuccino.trading.orders import OrderDesk
from cappuccino.trading.sizing import OwnAccount, dust, fitted_buys, left_out, plan
from cappuccino.trading.timing import Timing
from cappuccino.trading.venue_reader import NoDecision, VenueReader

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""window (L, A, F), weights (A,) -> target weights (A,), float64, as `artifact.runtime.Artifact.decide`."""


@dataclasses.dataclass(frozen=True)
class TraderSettings:
    """How to trade.

    folder: the trader's own, for journal, log and lock. capital: quote currency it may use at the start; the rest of the
    account is reserved for good. max_hole_bars: missing bars in a row that are filled, as in training.
    bars: how many bars to handle, None for ever. allow_outside: features whose drift is tolerated.
    timing: None for the one that suits the bars.
    """

    folder: pathlib.Path
    capital: Decimal
    max_hole_bars: int
    dry_run: bool = False
    bars: int | None = None
    allow_outside: tuple[str, ...] = ()
    timing: Timing | None = None


class BarStep:
    """What the trader does at one bar, and at its start with what it left unfinished.

    manifest: of the artifact; artifact: its checksum, by which orders are named. decide: the policy.
    """

    def __init__(
        self,
        manifest: Manifest,
        artifact: str,
        decide: Decide,
        broker: Broker,
        clock: Clock,
        settings: TraderSettings,
        timing: Timing,
        journal: Journal,
        log: Log,
        is_stopped: Callable[[], bool],
    ) -> None:
        features = FeatureSet(manifest.features)
        if features.warmup != manifest.warmup:
            raise Refusal(
                f"the artifact's features had a warm-up of {manifest.warmup} bars, here they take {features.warmup}: it was "
                f"exported by another version ({manifest.code_version}); export it again"
            )
        self._manifest, self._artifact, self._decide = manifest, artifact, decide
        self._broker, self._clock, self._settings, self._timing = broker, clock, settings, timing
        self._journal, self._log = journal, log
        self._reader = VenueReader(broker, clock, journal, manifest, settings.capital, timing, log, is_stopped)
        self._feed = Feed(
            broker,
            features,
            assets=manifest.assets,
            bar_seconds=manifest.bar_seconds,
            lookback=manifest.lookback,
            rows=drift.ROWS,
            max_hole_bars=settings.max_hole_bars,
            origin=Origin(**dataclasses.asdict(manifest.origin)),
        )
        self._drift_checked: float | None = None
        self._execution = self._start()

    def _start(self) -> Execution:
        """Check that all is as it was left, and finish what was begun. Raises Refusal as `Trader.run` says."""
        manifest, broker, reader, clock = self._manifest, self._broker, self._reader, self._clock
        until = clock.now() + self._timing.start
        try:
            startup.check_skew(clock.now(), reader.patiently(broker.clock, until), self._timing.late)
            state = reader.patiently(broker.account, until)
            startup.check_account(state)
            listed, _ = reader.rules(until)
            orders = reader.patiently(broker.open_orders, until)
        except NoDecision as reason:
            raise Refusal(f"the venue could not be reached at the start: {reason}") from None
        startup.check_listed(listed, manifest.assets)
        startup.check_identity(
            self._journal, artifact=self._artifact, account=state.id, capital=self._settings.capital, now=clock.now()
        )
        known = {order.client_order_id for order in orders if self._journal.intent(order.client_order_id)}
        startup.check_strangers(orders, manifest.assets, known)
        execution = Execution(
            OrderDesk(broker, clock, self._journal, self._timing, self._log),
            reader,
            clock,
            self._journal,
            self._timing,
            assets=manifest.assets,
            bar_seconds=manifest.bar_seconds,
            account=state.id,
            artifact=self._artifact,
        )
        for decision in self._journal.unfinished():
            self._log.info("carry on", bar=decision.bar, phase=decision.phase)
            execution.carry_out(decision.bar)
        return execution

    def handle(self, bar: int, *, is_last: bool) -> None:
        """Decide at the close of `bar` and carry it out, or journal why not. On the replay's last bar only mark."""
        close = bar + self._manifest.bar_seconds
        until = (self._clock.now() if self._settings.dry_run else close) + self._timing.late
        mark: Mark | None = None
        notes: dict[str, Any] = {}
        try:
            self._check_late(until)
            self._execution.resolve_open(bar, until)
            view = self._look(bar, until, notes)
            account, positions, differences = self._reader.own_account(view.closes, until)
            notes.update(differences)
            mark = self._mark(bar, account, positions)
            if is_last:
                raise NoDecision("the replay is over: nothing could be filled")
            self._check_drift(view)
            listed, rules = self._reader.rules(until)
            decision, orders = self._plan(bar, view, account, listed, rules, notes)
            self._check_late(until)
        except NoDecision as reason:
            skipped = Decision(bar, self._clock.now(), "none", reason=str(reason), notes=notes)
            self._journal.add_decision(skipped, (), mark)
            return
        if self._settings.dry_run:
            self._show(decision, orders, account, rules)
            self._journal.add_decision(dataclasses.replace(decision, phase="done"), (), mark)
            return
        self._journal.add_decision(decision, self._execution.sells(bar, orders, account, listed), mark)
        self._execution.carry_out(bar)

    def _check_late(self, until: float) -> None:
        over = self._clock.now() - until
        if over > 0:
            raise NoDecision(f"late: {over + self._timing.late:.0f} s after the close, at most {self._timing.late:.0f}")

    def _look(self, bar: int, until: float, notes: dict[str, Any]) -> View:
        """The bars of `bar`, with a little patience for those that are late."""
        patience = bar + self._manifest.bar_seconds + self._timing.patience
        try:
            while True:
                notes.update(self._reader.patiently(lambda: self._feed.update(bar), until))
                if not self._feed.missing() or self._clock.now() >= patience:
                    break
                self._clock.wait_until(self._clock.now() + 5 * self._timing.poll)
            if self._feed.missing():
                notes["no_bar"] = self._feed.missing()
            return self._feed.view()
        except InputError as error:
            raise NoDecision(str(error)) from None

    def _check_drift(self, view: View) -> None:
        now = self._clock.now()
        if self._drift_checked is not None and now - self._drift_checked < drift.INTERVAL_S:
            return
        rows = min(drift.ROWS, len(view.recent))
        shares = drift.shares_outside(view.recent, self._manifest)
        forbidding, tolerated = drift.outside(shares, self._manifest, self._settings.allow_outside)
        self._journal.add_drift_check(now, rows, {**forbidding, **tolerated}, refused=bool(forbidding))
        drift.refuse_drift(forbidding, rows)
        self._drift_checked = now

    def _plan(
        self,
        bar: int,
        view: View,
        account: OwnAccount,
        listed: dict[str, Asset],
        rules: OrderRules,
        notes: dict[str, Any],
    ) -> tuple[Decision, Plan]:
        assets = self._manifest.assets
        tradable = view.tradable & np.array([asset in listed and listed[asset].tradable for asset in assets])
        if not account.equity > 0:
            raise NoDecision(f"equity is {account.equity:.2f}")
        seen = weights = account.weights
        if weights.sum() > 1 + SUM_SLACK:
            notes["cash"] = f"{account.cash:.4f} is below zero; the policy sees the weights scaled to a sum of one"
            seen = weights / weights.sum()
        try:
            targets = np.asarray(self._decide(view.window, seen), np.float64)
        except InputError as error:
            raise NoDecision(str(error)) from None
        orders = plan(account, targets, tradable, rules)
        small = dust(account, assets, rules.min_notional)
        skipped = left_out(account, targets, tradable, orders, assets)
        notes.update({kind: found for kind, found in (("dust", small), ("left_out", skipped)) if found})
        decision = Decision(
            bar=bar,
            decided_at=self._clock.now(),
            phase="sells",
            equity=account.equity,
            cash=account.cash,
            weights=tuple(weights.tolist()),
            targets=tuple(targets.tolist()),
            closes=tuple(view.closes.tolist()),
            tradable=tuple(tradable.tolist()),
            buys=tuple(orders.buys.tolist()),
            notes=notes,
        )
        return decision, orders

    def _mark(self, bar: int, account: OwnAccount, positions: dict[str, Position]) -> Mark:
        held: dict[str, Decimal] = {asset: positions[asset].quantity for asset in self._manifest.assets if asset in positions}
        return Mark(bar, self._clock.now(), account.equity, account.exact_cash, held)

    def _show(self, decision: Decision, orders: Plan, account: OwnAccount, rules: OrderRules) -> None:
        from cappuccino.trading.plan_table import print_plan

        costs = self._manifest.costs
        share = 1 - (costs.taker_fee_bps + costs.half_spread_bps + costs.slippage_bps) / 1e4
        proceeds = float(np.sum(orders.sells * account.closes)) * share
        after = dataclasses.replace(account, buying_power=account.buying_power + proceeds)
        buys = fitted_buys(orders.buys, after, np.array(decision.tradable), rules)
        title = f"dry run, bar {decision.bar}: equity {account.equity:,.2f}, nothing is sent"
        weights, targets = np.array(decision.weights), np.array(decision.targets)
        print_plan(title, self._manifest.assets, account.closes, weights, targets, orders.sells, buys)

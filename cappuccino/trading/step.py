"""One bar: look, decide, plan, order. What is decided is in the journal before anything is sent."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from cappuccino.artifact.manifest import SUM_SLACK, Manifest
from cappuccino.bars.table import Origin
from cappuccino.broker.protocol import AccountState, Asset, Broker, Position
from cappuccino.errors import InputError, Refusal
from cappuccino.features.registry import FeatureSet
from cappuccino.plan import OrderRules, Plan
from cappuccino.risk import Limits
from cappuccino.trading import drift, ruled, startup
from cappuccino.trading.bar_store import BarStore
from cappuccino.trading.clock import Clock
from cappuccino.trading.execution import Execution
from cappuccino.trading.feed import Feed, View
from cappuccino.trading.flatten import Flattener
from cappuccino.trading.folder import Log
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.orders import LIST_MARGIN_S, OrderDesk
from cappuccino.trading.patience import NoDecision, Patience
from cappuccino.trading.reconcile import Foreign, Reconciler, own_figures
from cappuccino.trading.records import OVER, Anchor, Decision, Mark
from cappuccino.trading.ruled import RiskRules
from cappuccino.trading.sizing import OwnAccount, dust, fitted_buys, left_out, own_account, plan
from cappuccino.trading.strangers import Strangers
from cappuccino.trading.succession import take_over
from cappuccino.trading.timing import Timing
from cappuccino.trading.venue_reader import VenueReader, increments_of
from cappuccino.trading.watch import Watch

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""window (L, A, F), weights (A,) -> target weights (A,), float64, as `artifact.runtime.Artifact.decide`."""


@dataclasses.dataclass(frozen=True)
class TraderSettings:
    """How to trade.

    folder: the trader's own, for journal, log and lock. capital: quote currency it may use at the start; the rest of the
    account is reserved for good. max_hole_bars: missing bars in a row that are filled, as in training.
    bars: how many bars to handle, None for ever. allow_outside: features whose drift is tolerated.
    fee: the most that the venue takes of a fill, as a fraction. foreign: what to do about what is not the trader's.
    limits: of the risk rules, None for no rules. takes_over: folder of the trader whose account and holdings it goes on with.
    timing: None for the one that suits the bars. log_mb, logs_kept: when the log is rotated, and how many are kept.
    """

    folder: pathlib.Path
    capital: Decimal
    max_hole_bars: int
    dry_run: bool = False
    bars: int | None = None
    allow_outside: tuple[str, ...] = ()
    fee: Decimal = Decimal("0.0025")
    foreign: Foreign = "refuse"
    limits: Limits | None = None
    takes_over: pathlib.Path | None = None
    timing: Timing | None = None
    log_mb: float | int = 10
    logs_kept: int = 10


@dataclasses.dataclass
class Seen:
    """What was seen of the venue while a bar was handled.

    last_bar: opening of the last bar that it served of any asset. latency_s: real seconds from bars parsed to orders planned,
    without those in which the venue was asked.
    differences: figures that the journal did not explain.
    """

    assets: tuple[str, ...]
    last_bar: int | None = None
    latency_s: float | None = None
    differences: int = 0


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
        switch: KillSwitch,
        store: BarStore,
        watch: Watch,
        is_stopped: Callable[[], bool],
        hold_account: Callable[[str], object],
    ) -> None:
        features = FeatureSet(manifest.features, manifest.bar_seconds)
        if features.warmup != manifest.warmup:
            raise Refusal(
                f"the artifact's features had a warm-up of {manifest.warmup} bars, here they take {features.warmup}: it was "
                f"exported by another version ({manifest.code_version}); export it again"
            )
        self._manifest, self._artifact, self._decide = manifest, artifact, decide
        self._broker, self._clock, self._settings, self._timing = broker, clock, settings, timing
        self._journal, self._log, self._switch, self._watch = journal, log, switch, watch
        self.seen = Seen(manifest.assets)
        self._may_send = lambda: not is_stopped() and switch.thrown() is None
        self._patience = Patience(clock, log, lambda: not self._may_send(), poll=5 * timing.poll)
        self._reader = VenueReader(broker, manifest, self._patience)
        self._desk = OrderDesk(broker, clock, journal, timing, log, watch, self._may_send)
        self._reconciler = Reconciler(
            self._reader,
            clock,
            journal,
            log,
            self._desk.resolve_open,
            assets=manifest.assets,
            fee=settings.fee,
            foreign=settings.foreign,
            poll=timing.poll,
        )
        self._feed = Feed(
            broker,
            features,
            assets=manifest.assets,
            bar_seconds=manifest.bar_seconds,
            lookback=manifest.lookback,
            rows=drift.ROWS,
            max_hole_bars=settings.max_hole_bars,
            origin=Origin(**dataclasses.asdict(manifest.origin)),
            store=store,
        )
        self._strangers = Strangers(broker, journal, manifest.assets, settings.foreign)
        self._risk = RiskRules(journal, settings.limits, manifest.assets)
        self._drift_checked: float | None = None
        self._looked_at_orders = clock.now()
        self._account, self._execution = self._start(hold_account)

    def _start(self, hold_account: Callable[[str], object]) -> tuple[str, Execution]:
        """Check that all is as it was left, and finish what was begun. Raises Refusal and Halted as `Trader.run` says."""
        manifest, broker, clock, journal = self._manifest, self._broker, self._clock, self._journal
        until = clock.now() + self._timing.start
        try:
            startup.check_skew(clock.now(), self._patience.ask(broker.clock, until), self._timing.late)
            state, positions = self._reader.account(until)
            listed, _ = self._reader.rules(until)
            startup.check_listed(listed, manifest.assets)
            hold_account(state.id)
            self._take_over(state.id, increments_of(listed, manifest.assets), until)
            startup.check_identity(
                journal,
                artifact=self._artifact,
                account=state.id,
                capital=self._settings.capital,
                takes_over="" if self._settings.takes_over is None else self._settings.takes_over.name,
                now=clock.now(),
            )
            self._strangers.meet(self._patience.ask(broker.open_orders, until))
            if journal.anchor() is None:
                self._check_first(state, positions, until)
            execution = Execution(
                self._desk,
                self._reader,
                self._reconciler,
                clock,
                journal,
                self._timing,
                assets=manifest.assets,
                bar_seconds=manifest.bar_seconds,
                account=state.id,
                artifact=self._artifact,
                may_send=self._may_send,
            )
            for decision in journal.unfinished():
                self._log.info("carry on", bar=decision.bar, phase=decision.phase)
                execution.carry_out(decision.bar)
            if journal.anchor() is not None and not self._settings.dry_run:
                self._desk.resolve_open(max(until, clock.now() + self._timing.start))
                until = max(until, clock.now() + self._timing.start)
                self._reconciler.agree(increments_of(listed, manifest.assets), until)
        except NoDecision as reason:
            raise Refusal(f"the venue could not be reached at the start: {reason}") from None
        return state.id, execution

    def _take_over(self, account: str, increments: dict[str, Decimal], until: float) -> None:
        """At the first start of a trader that takes another's place."""
        if self._settings.takes_over is None or self._journal.meta():
            return
        take_over(
            self._settings.takes_over,
            self._journal,
            self._broker,
            self._reader,
            self._clock,
            self._timing,
            self._log,
            artifact=self._artifact,
            account=account,
            capital=self._settings.capital,
            assets=self._manifest.assets,
            bar_seconds=self._manifest.bar_seconds,
            fee=self._settings.fee,
            increments=increments,
            until=until,
        )

    def _check_first(self, state: AccountState, positions: dict[str, Position], until: float) -> None:
        """Before the first bar: raises Refusal, at the quotes of now, for an account that the first bar would refuse."""
        assets = self._manifest.assets
        quotes = self._patience.ask(lambda: self._broker.quotes(assets), until)
        held = {asset: positions[asset].quantity for asset in assets if asset in positions}
        if held.keys() <= quotes.keys():
            mids = {asset: float(quotes[asset].bid + quotes[asset].ask) / 2 for asset in held}
            self._reserve(state.cash, held, mids)

    def _reserve(self, cash: Decimal, held: dict[str, Decimal], prices: dict[str, float]) -> dict[str, Decimal]:
        return startup.reserve_of(
            cash,
            held,
            prices,
            self._settings.capital,
            foreign=self._settings.foreign,
            min_notional=self._manifest.costs.min_notional,
        )

    def flatten(self) -> dict[str, Decimal]:
        """Sell everything, the kill switch notwithstanding; what is left, by asset. Raises Refusal without an answer."""
        manifest = self._manifest
        desk = OrderDesk(self._broker, self._clock, self._journal, self._timing, self._log, self._watch, lambda: True)
        flattener = Flattener(
            desk,
            self._reader,
            self._reconciler,
            self._clock,
            self._journal,
            self._timing,
            self._log,
            assets=manifest.assets,
            bar_seconds=manifest.bar_seconds,
            account=self._account,
            artifact=self._artifact,
            max_order=math.inf if self._settings.limits is None else float(self._settings.limits.order),
        )
        try:
            self._desk.resolve_open(self._clock.now() + self._timing.start)
            return flattener.run()
        except NoDecision as reason:
            raise Refusal(f"not everything could be sold, start the trader again to go on: {reason}") from None

    def handle(self, bar: int, *, is_last: bool) -> None:
        """Decide at the close of `bar` and carry it out, or journal why not. On the replay's last bar only mark."""
        close = bar + self._manifest.bar_seconds
        until = (self._clock.now() if self._settings.dry_run else close) + self._timing.late
        mark: Mark | None = None
        notes: dict[str, Any] = {}
        self.seen.latency_s, self.seen.differences = None, 0
        try:
            self._check_late(until)
            self._desk.resolve_open(until)
            view, parsed = self._look(bar, until, notes)
            waited = time.perf_counter()
            listed, rules = self._reader.rules(until)
            account, positions = self._agree(view, listed, until, notes)
            waited = time.perf_counter() - waited
            risk = self._risk.see(account, close)
            mark = self._mark(bar, account, positions, risk)
            if is_last:
                raise NoDecision(f"{OVER}: nothing could be filled")
            self._check_drift(view)
            decision, orders = self._plan(bar, view, account, listed, rules, risk, notes)
            self.seen.latency_s = time.perf_counter() - parsed - waited
            self._check_late(until)
            if not self._may_send():
                raise NoDecision("told to stop or halted while it was decided")
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

    def _agree(
        self, view: View, listed: dict[str, Asset], until: float, notes: dict[str, Any]
    ) -> tuple[OwnAccount, dict[str, Decimal]]:
        """The trader's account at the closes, agreed with the journal, and its positions by asset."""
        assets, since = self._manifest.assets, self._looked_at_orders - LIST_MARGIN_S
        orders = self._patience.ask(lambda: self._broker.orders_since(since), until)
        notes.update(self._strangers.meet(orders))
        self._looked_at_orders = self._clock.now()
        if self._journal.anchor() is None:
            state, positions = self._reader.account(until)
            held = {asset: positions[asset].quantity for asset in assets if asset in positions}
            closes = dict(zip(assets, view.closes.tolist(), strict=True))
            reserve = self._reserve(state.cash, held, closes)
            anchor = Anchor(self._clock.now(), own_figures(state, positions, assets, reserve), reserve)
            self._journal.set_anchor(anchor)
        else:
            figures = self._reconciler.agree(increments_of(listed, assets), until)
            state, positions, anchor = figures.state, figures.positions, figures.anchor
            self.seen.differences = len(figures.differences)
            if figures.differences:
                notes["positions"] = {one.asset: str(one) for one in figures.differences}
        own = anchor.net
        account = own_account(state, positions, assets, view.closes, own)
        return account, {asset: own[asset] for asset in assets if own[asset] > 0}

    def _check_late(self, until: float) -> None:
        over = self._clock.now() - until
        if over > 0:
            raise NoDecision(f"late: {over + self._timing.late:.0f} s after the close, at most {self._timing.late:.0f}")

    def _look(self, bar: int, until: float, notes: dict[str, Any]) -> tuple[View, float]:
        """The bars of `bar`, with a little patience for those that are late, and when (real seconds) they were parsed."""
        patience = bar + self._manifest.bar_seconds + self._timing.patience
        try:
            while True:
                notes.update(self._patience.ask(lambda: self._feed.update(bar), until))
                if not self._feed.missing() or self._clock.now() >= patience:
                    break
                self._clock.wait_until(self._clock.now() + 5 * self._timing.poll)
            missing = self._feed.missing()
            if missing:
                notes["no_bar"] = missing
            if len(missing) < len(self._manifest.assets):
                self.seen.last_bar = bar
            parsed = time.perf_counter()
            return self._feed.view(), parsed
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
        risk: ruled.Seen | None,
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
            asked = np.asarray(self._decide(view.window, seen), np.float64)
        except InputError as error:
            raise NoDecision(str(error)) from None
        targets, by = self._risk.allow(asked, risk)
        orders = plan(account, targets, tradable, rules)
        small = dust(account, assets, rules.min_notional)
        skipped = left_out(account, targets, tradable, orders, assets)
        notes.update({kind: found for kind, found in (("dust", small), ("left_out", skipped), ("risk", by)) if found})
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
            asked=tuple(asked.tolist()),
            increments=tuple(np.broadcast_to(rules.increment, weights.shape).tolist()),
            notes=notes,
        )
        return decision, orders

    def _mark(self, bar: int, account: OwnAccount, positions: dict[str, Decimal], risk: ruled.Seen | None) -> Mark:
        for stopped in () if risk is None else risk.stopped:
            self._log.warning("risk", stopped=stopped)
            self._watch.event("stop", stopped)
        record = None if risk is None else risk.record
        return Mark(bar, self._clock.now(), account.equity, account.exact_cash, positions, record)

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

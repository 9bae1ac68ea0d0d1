"""One bar: look, decide, plan, order. What is decided is in the journal before anything is sent."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from cappuccino.artifact.manifest import SUM_SLACK, Manifest
from cappuccino.bars.table import Origin
from cappuccino.broker.protocol import Asset, Broker
from cappuccino.errors import InputError, Refusal, Unanswered
from cappuccino.features.registry import FeatureSet
from cappuccino.plan import OrderRules, Plan
from cappuccino.trading import drift, ruled
from cappuccino.trading.bar_store import BarStore
from cappuccino.trading.clock import Clock
from cappuccino.trading.dealings import Dealings
from cappuccino.trading.execution import Execution
from cappuccino.trading.feed import Feed, Prices, View
from cappuccino.trading.flatten import Flattener, Left
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.log import Log
from cappuccino.trading.orders import LIST_MARGIN_S
from cappuccino.trading.patience import NoDecision
from cappuccino.trading.reconcile import own_figures
from cappuccino.trading.records import OVER, Anchor, Decision, Mark
from cappuccino.trading.ruled import RiskRules
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.sizing import OwnAccount, dust, fitted_buys, left_out, own_account, plan
from cappuccino.trading.startup import begin, check_clock, held_of, reserve
from cappuccino.trading.strangers import Strangers
from cappuccino.trading.timing import Timing
from cappuccino.trading.venue_reader import increments_of
from cappuccino.trading.watch import Watch

CLOCK_INTERVAL_S = 86_400.0
"""Between two comparisons of this machine's clock with the venue's."""

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""window (L, A, F), weights (A,) -> target weights (A,), float64, as `artifact.runtime.Artifact.decide`."""


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


class Asked(NamedTuple):
    """Target weights (A,) of the policy; those that are held, and the reason, where it has none."""

    targets: np.ndarray
    reason: str | None = None


class BarStep:
    """What the trader does at one bar. Made, it has begun: what it had left unfinished is at its end, as `startup.begin` says.

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
        self._manifest, self._decide, self._settings = manifest, decide, settings
        self._clock, self._timing, self._journal, self._log, self._watch = clock, timing, journal, log, watch
        self.seen = Seen(manifest.assets)

        def may_go_on() -> bool:
            return not is_stopped() and switch.thrown() is None

        self._dealings = Dealings(
            manifest,
            broker,
            clock,
            timing,
            journal,
            log,
            watch,
            settings.fee,
            settings.foreign,
            may_send=may_go_on,
            may_wait=may_go_on,
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
        # A halt cuts no wait short here: what it asks for comes after the start.
        starting = dataclasses.replace(self._dealings, may_wait=lambda: not is_stopped())
        account = begin(starting, settings, artifact, self._strangers, hold_account)
        self._execution = Execution(self._dealings, account=account, artifact=artifact)
        self._clock_checked = clock.now()

    def flatten(self) -> Left:
        """Sell everything, the kill switch notwithstanding; what is left. Raises Unanswered."""
        most = math.inf if self._settings.limits is None else float(self._settings.limits.order)
        selling = dataclasses.replace(self._dealings, may_send=lambda: True, may_wait=lambda: True)
        try:
            self._dealings.desk.resolve_open(self._clock.now() + self._timing.start)
            return Flattener(selling, account=self._execution.account, artifact=self._execution.artifact, max_order=most).run()
        except NoDecision as reason:
            raise Unanswered(f"not everything could be sold, start the trader again to go on: {reason}") from None

    def handle(self, bar: int, *, is_last: bool) -> None:
        """Decide at the close of `bar` and carry it out, or journal why not. On the replay's last bar only mark.

        Where the bars show no window, or the policy has no answer, what is held is what is asked for: the risk rules may take from it.
        """
        close = bar + self._manifest.bar_seconds
        until = (self._clock.now() if self._settings.dry_run else close) + self._timing.late
        mark: Mark | None = None
        notes: dict[str, Any] = {}
        self.seen.latency_s, self.seen.differences = None, 0
        try:
            self._check_late(until)
            if self._clock.now() - self._clock_checked >= CLOCK_INTERVAL_S:
                check_clock(self._dealings, until)
                self._clock_checked = self._clock.now()
            self._dealings.desk.resolve_open(until)
            prices, parsed = self._look(bar, until, notes)
            view = self._view()
            if isinstance(view, str) and self._journal.anchor() is None:
                raise NoDecision(view)
            waited = time.perf_counter()
            listed, rules = self._dealings.reader.rules(until)
            account, positions = self._agree(prices, listed, until, notes)
            waited = time.perf_counter() - waited
            risk = self._risk.see(account, close)
            mark = self._mark(bar, account, positions, risk)
            if is_last:
                raise NoDecision(f"{OVER}: nothing could be filled")
            if not account.equity > 0:
                raise NoDecision(f"equity is {account.equity:.2f}")
            asked = self._ask(view, account, notes)
            decision, orders = self._plan(bar, prices, account, listed, rules, risk, asked, notes)
            self.seen.latency_s = time.perf_counter() - parsed - waited
            self._check_late(until)
            if not self._dealings.may_send():
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
        self, prices: Prices, listed: dict[str, Asset], until: float, notes: dict[str, Any]
    ) -> tuple[OwnAccount, dict[str, Decimal]]:
        """The trader's account at the closes, agreed with the journal, and its positions by asset."""
        assets, since = self._manifest.assets, self._looked_at_orders - LIST_MARGIN_S
        orders = self._dealings.patience.ask(lambda: self._dealings.broker.orders_since(since), until)
        notes.update(self._strangers.meet(orders))
        self._looked_at_orders = self._clock.now()
        if self._journal.anchor() is None:
            state, positions = self._dealings.reader.account(until)
            closes = dict(zip(assets, prices.closes.tolist(), strict=True))
            aside = reserve(self._dealings, self._settings, state.cash, held_of(positions, assets), closes)
            anchor = Anchor(self._clock.now(), own_figures(state, positions, assets, aside), aside)
            self._journal.set_anchor(anchor)
        else:
            figures = self._dealings.reconciler.agree(increments_of(listed, assets), until)
            state, positions, anchor = figures.state, figures.positions, figures.anchor
            self.seen.differences = len(figures.differences)
            if figures.differences:
                notes["positions"] = {one.asset: str(one) for one in figures.differences}
        own = anchor.net
        account = own_account(state, positions, assets, prices.closes, own)
        return account, {asset: own[asset] for asset in assets if own[asset] > 0}

    def _check_late(self, until: float) -> None:
        over = self._clock.now() - until
        if over > 0:
            raise NoDecision(f"late: {over + self._timing.late:.0f} s after the close, at most {self._timing.late:.0f}")

    def _look(self, bar: int, until: float, notes: dict[str, Any]) -> tuple[Prices, float]:
        """The prices of `bar`, with a little patience for those that are late, and when (real seconds) they were parsed."""
        patience = bar + self._manifest.bar_seconds + self._timing.patience
        try:
            while True:
                notes.update(self._dealings.patience.ask(lambda: self._feed.update(bar), until))
                if not self._feed.missing() or self._clock.now() >= patience:
                    break
                self._clock.wait_until(self._clock.now() + 5 * self._timing.poll)
            missing = self._feed.missing()
            if missing:
                notes["no_bar"] = missing
            if len(missing) < len(self._manifest.assets):
                self.seen.last_bar = bar
            parsed = time.perf_counter()
            return self._feed.prices(), parsed
        except InputError as error:
            raise NoDecision(str(error)) from None

    def _view(self) -> View | str:
        """What the policy sees, or why it sees nothing."""
        try:
            return self._feed.view()
        except InputError as error:
            return str(error)

    def _ask(self, view: View | str, account: OwnAccount, notes: dict[str, Any]) -> Asked:
        """The policy. Raises Refusal for drift."""
        if isinstance(view, str):
            return Asked(account.weights, view)
        self._check_drift(view)
        seen = account.weights
        if seen.sum() > 1 + SUM_SLACK:
            notes["cash"] = f"{account.cash:.4f} is below zero; the policy sees the weights scaled to a sum of one"
            seen = seen / seen.sum()
        try:
            return Asked(np.asarray(self._decide(view.window, seen), np.float64))
        except InputError as error:
            return Asked(account.weights, str(error))

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
        prices: Prices,
        account: OwnAccount,
        listed: dict[str, Asset],
        rules: OrderRules,
        risk: ruled.Seen | None,
        asked: Asked,
        notes: dict[str, Any],
    ) -> tuple[Decision, Plan]:
        """What is asked for under the risk rules, as orders. Raises NoDecision where it is not the policy's and they sell nothing."""
        assets, weights = self._manifest.assets, account.weights
        tradable = prices.tradable & np.array([asset in listed and listed[asset].tradable for asset in assets])
        targets, by = self._risk.allow(asked.targets, risk)
        if asked.reason is not None:
            targets = np.minimum(targets, weights)
        orders = plan(account, targets, tradable, rules)
        small = dust(account, assets, rules.min_notional)
        skipped = left_out(account, targets, tradable, orders, assets)
        notes.update({kind: found for kind, found in (("dust", small), ("left_out", skipped), ("risk", by)) if found})
        if asked.reason is not None and not orders.sells.any():
            raise NoDecision(asked.reason)
        decision = Decision(
            bar=bar,
            decided_at=self._clock.now(),
            phase="sells",
            reason=asked.reason,
            equity=account.equity,
            cash=account.cash,
            weights=tuple(weights.tolist()),
            targets=tuple(targets.tolist()),
            closes=tuple(prices.closes.tolist()),
            tradable=tuple(tradable.tolist()),
            buys=tuple(orders.buys.tolist()),
            asked=tuple(asked.targets.tolist()),
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
        if decision.reason is not None:
            title = f"{title}; what the risk rules sell, as the policy decides nothing: {decision.reason}"
        weights, targets = np.array(decision.weights), np.array(decision.targets)
        print_plan(title, self._manifest.assets, account.closes, weights, targets, orders.sells, buys)

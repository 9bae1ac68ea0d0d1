"""The trader: at every bar's close it looks, decides, plans and orders; at the start it first finishes what it had begun.

Start-up and recovery are one path: whatever the journal holds unfinished is carried out or resolved by asking the venue, then
the loop goes on. A venue that fails for a while costs decisions, each journaled with the reason; what waiting does not mend
is a Refusal.
"""

from __future__ import annotations

import contextlib
import datetime
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from cappuccino.artifact.manifest import Manifest
from cappuccino.broker.protocol import Broker
from cappuccino.errors import Halted, InputError, Refusal, Unanswered
from cappuccino.trading.bar_report import bar_report
from cappuccino.trading.bar_store import BARS_NAME, BarStore
from cappuccino.trading.clock import Clock
from cappuccino.trading.folder import DRY_JOURNAL_NAME, JOURNAL_NAME, UNANSWERED_NAME, account_locked, locked
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.log import Log, open_log
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.step import BarStep, Decide
from cappuccino.trading.succession import begun_with
from cappuccino.trading.timing import Timing
from cappuccino.trading.watch import Unwatched, Watch


class Summary(NamedTuple):
    """What a run did: bars handled, decisions among them, orders that filled (in part), equity at the last mark."""

    bars: int
    decisions: int
    fills: int
    equity: float | None


@contextlib.contextmanager
def unwatched(log: Log) -> Iterator[Watch]:
    """Nobody watches."""
    del log
    yield Unwatched()


class Trader:
    """One policy on one account.

    manifest: of the artifact; artifact: its checksum, by which orders are named. decide: the policy. watched: who watches, for
    as long as the trader runs, given its log.
    """

    def __init__(
        self,
        manifest: Manifest,
        artifact: str,
        decide: Decide,
        broker: Broker,
        clock: Clock,
        settings: TraderSettings,
        watched: Callable[[Log], contextlib.AbstractContextManager[Watch]] = unwatched,
    ) -> None:
        self._manifest, self._artifact, self._decide = manifest, artifact, decide
        self._broker, self._clock, self._settings = broker, clock, settings
        self._watched, self._is_stopped = watched, False

    def stop(self) -> None:
        """Ask the run to end: open orders are brought to their end first. Safe in a signal handler."""
        self._is_stopped = True

    def run(self) -> Summary:
        """Trade until `bars` are handled, the replay is over, or SIGTERM or SIGINT comes.

        Raises Refusal where a person has to look first: another trader in the folder or on the account, another artifact,
        account, capital or predecessor than at the first start, one that cannot be taken over, a blocked account, keys that are
        not taken, too little equity, drift of the features, figures or orders on the venue that the journal does not explain.
        Raises Unanswered where the venue does not answer at the start or while everything is sold: starting again later goes on.
        Raises Halted when the kill switch is thrown, after open orders are canceled and, if that is wanted, everything is sold;
        and where the venue has an order of an intent's id that is not the intent's, which throws it.
        """
        settings = self._settings
        with (
            locked(settings.folder),
            open_log(settings.folder, size_mb=settings.log_mb, kept=settings.logs_kept) as log,
            self._watched(log) as watch,
            self._journal() as journal,
            self._signals(),
            contextlib.ExitStack() as held,
        ):
            log.info("start", artifact=self._artifact, assets=self._manifest.assets, dry_run=settings.dry_run)
            watch.event("started", f"trading {', '.join(self._manifest.assets)}")
            switch = KillSwitch(journal, settings.folder, self._clock)
            try:
                store = held.enter_context(contextlib.closing(BarStore(settings.folder / BARS_NAME)))
                summary = self._run(
                    journal, log, switch, store, watch, lambda name: held.enter_context(account_locked(settings.folder, name))
                )
            except Halted as halted:
                switch.throw(str(halted), "trader")
                log.error("halted", reason=str(halted))
                watch.event("halt", str(halted))
                raise
            except Unanswered as error:
                log.error("unanswered", reason=str(error))
                self._tell_once(watch, str(error))
                raise
            except (Refusal, InputError) as refusal:
                log.error("refused", reason=str(refusal))
                watch.event("refused", str(refusal))
                raise
            except Exception as error:
                log.error("crashed", error=f"{type(error).__name__}: {error}")
                watch.event("crashed", f"{type(error).__name__}: {error}")
                raise
            log.info("stop", **summary._asdict())
            watch.event("stopped", f"after {summary.bars} bars")
            return summary

    def _tell_once(self, watch: Watch, said: str) -> None:
        """Though a service starts the trader again and again until the venue answers."""
        told = self._settings.folder / UNANSWERED_NAME
        if not told.exists():
            watch.event("stale", said)
        told.touch()

    @contextlib.contextmanager
    def _journal(self) -> Iterator[Journal]:
        """The folder's journal; in a dry run a copy of it. Raises Refusal for a dry run while orders of the folder are open."""
        path = self._settings.folder / JOURNAL_NAME
        if not self._settings.dry_run:
            with contextlib.closing(Journal(path)) as journal:
                yield journal
            return
        dry = self._settings.folder / DRY_JOURNAL_NAME
        for end in ("", "-wal", "-shm"):
            dry.with_name(dry.name + end).unlink(missing_ok=True)
        if path.exists():
            with contextlib.closing(Journal(path)) as own:
                if own.unfinished() or not all(intent.is_final for intent in own.open_intents(0)):
                    raise Refusal(
                        f"{path} holds orders that are not at their end: start the trader first, without trade.dry_run"
                    )
                own.copy_to(dry)
        with contextlib.closing(Journal(dry)) as journal:
            yield journal

    def _run(
        self,
        journal: Journal,
        log: Log,
        switch: KillSwitch,
        store: BarStore,
        watch: Watch,
        hold_account: Callable[[str], object],
    ) -> Summary:
        settings, clock, bar_seconds = self._settings, self._clock, self._manifest.bar_seconds
        timing = settings.timing or Timing.for_bars(bar_seconds)
        try:
            step = BarStep(
                self._manifest,
                self._artifact,
                self._decide,
                self._broker,
                clock,
                settings,
                timing,
                journal,
                log,
                switch,
                store,
                watch,
                lambda: self._is_stopped,
                hold_account,
            )
        except Refusal:
            if self._is_stopped:
                return Summary(0, 0, 0, None)
            raise
        told = settings.folder / UNANSWERED_NAME
        if told.exists():
            watch.event("recovered", "the venue answers again")
            told.unlink()
        handled = decisions = fills = 0
        is_stale = False
        bar = self._first_bar(journal, timing)
        if settings.dry_run:
            journal.forget(bar)
        while not (self._is_stopped or clock.is_finished() or handled == settings.bars):
            self._heed(switch, step)
            clock.wait_until(bar + bar_seconds + timing.settle, lambda: self._is_stopped or switch.thrown() is not None)
            self._heed(switch, step)
            if self._is_stopped:
                break
            step.handle(bar, is_last=clock.is_finished())
            decision = journal.decision(bar)
            assert decision is not None
            handled += 1
            decisions += decision.reason is None
            if not settings.dry_run:
                fills += sum(intent.filled_quantity > 0 for side in ("sell", "buy") for intent in journal.intents(bar, side))
            log.info("bar", opening=_utc(bar), phase=decision.phase, reason=decision.reason, equity=decision.equity)
            watch.bar(bar_report(journal, decision, step.seen, now=clock.now(), bar_seconds=bar_seconds))
            is_ending = self._is_stopped or clock.is_finished() or switch.thrown() is not None
            if is_stale != (decision.reason is not None) and not is_ending:
                is_stale = not is_stale
                said = f"no decision at {_utc(bar)}: {decision.reason}" if is_stale else f"decided again at {_utc(bar)}"
                watch.event("stale" if is_stale else "recovered", said)
            bar += bar_seconds
        self._heed(switch, step)
        mark = journal.last_mark()
        return Summary(handled, decisions, fills, None if mark is None else mark.equity)

    def _heed(self, switch: KillSwitch, step: BarStep) -> None:
        """Raises Halted if the kill switch is thrown, after selling everything if that is wanted."""
        halt = switch.thrown()
        if halt is None or self._settings.dry_run:
            return
        reason = halt.reason
        if halt.flatten:
            left = step.flatten()
            reason = f"{reason}; everything was sold, left is {_quantities(left.too_small)}"
            if left.rejected:
                reason = f"{reason}, and {_quantities(left.rejected)}, of which the venue rejected the order"
            switch.flattened(reason)
        said = f"halted by {halt.source} since {_utc(halt.at)}: {reason}"
        raise Halted(f"{said}. `cappuccino trade resume` releases it")

    def _first_bar(self, journal: Journal, timing: Timing) -> int:
        """The bar that closed last if it can still be decided on and was not, or nothing is sent; else the one that runs."""
        bar_seconds = self._manifest.bar_seconds
        running = int(self._clock.now() // bar_seconds) * bar_seconds
        closed = running - bar_seconds
        if self._settings.dry_run:
            return closed
        is_in_time = self._clock.now() - running <= timing.late
        before = begun_with(journal).decided
        is_decided = journal.decision(closed) is not None or (before is not None and before >= closed)
        return closed if is_in_time and not is_decided else running

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {which: signal.signal(which, lambda *_: self.stop()) for which in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for which, handler in before.items():
                signal.signal(which, handler)


def _quantities(held: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{quantity:f} {asset}" for asset, quantity in held.items()) or "nothing"


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()

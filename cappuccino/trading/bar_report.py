"""One handled bar, as whoever watches the trader is told of it."""

from __future__ import annotations

from cappuccino.trading.journal import Journal
from cappuccino.trading.records import Decision
from cappuccino.trading.step import Seen
from cappuccino.trading.watch import BarReport


def bar_report(journal: Journal, decision: Decision, seen: Seen, *, now: float, bar_seconds: int) -> BarReport:
    """From the journal, and what was seen while the bar was handled."""
    mark, peak = journal.last_mark(), journal.peak_equity()
    is_marked = mark is not None and mark.bar == decision.bar
    waiting = [intent for intent in journal.open_intents(now) if not intent.is_final]
    orders = [intent for side in ("sell", "buy") for intent in journal.intents(decision.bar, side)]  # type: ignore[arg-type]
    return BarReport(
        bar=decision.bar,
        at=now,
        equity=mark.equity if mark is not None and is_marked else None,
        drawdown=1 - mark.equity / peak if mark is not None and is_marked and peak else None,
        cash=float(mark.cash) if mark is not None and is_marked else None,
        weights=dict(zip(seen.assets, decision.weights, strict=False)),
        age=None if seen.last_bar is None else now - seen.last_bar - bar_seconds,
        open_orders=len(waiting),
        unknown_orders=sum(intent.state in ("sent", "unknown") for intent in waiting),
        latency_s=seen.latency_s,
        differences=seen.differences,
        fills=sum(intent.filled_quantity > 0 for intent in orders),
        reason=decision.reason,
    )

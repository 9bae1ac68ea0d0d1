"""A trader's start: whose account it is, what is taken over from another trader, and what was left unfinished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from cappuccino.broker.protocol import AccountState, Position
from cappuccino.errors import Unanswered
from cappuccino.trading import start_checks
from cappuccino.trading.dealings import Dealings
from cappuccino.trading.execution import Execution
from cappuccino.trading.patience import NoDecision
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.strangers import Strangers
from cappuccino.trading.succession import take_over
from cappuccino.trading.venue_reader import increments_of


def begin(
    dealings: Dealings,
    settings: TraderSettings,
    artifact: str,
    strangers: Strangers,
    hold_account: Callable[[str], object],
) -> str:
    """Check that all is as it was left, finish what was begun, and agree with the venue on every figure; the account's id.

    artifact: its checksum. hold_account: locks the account of that id, or raises Refusal.
    Raises Refusal, Unanswered and Halted as `Trader.run` says.
    """
    clock, journal, patience, timing = dealings.clock, dealings.journal, dealings.patience, dealings.timing
    assets = dealings.manifest.assets
    until = clock.now() + timing.start
    try:
        check_clock(dealings, until)
        state, positions = dealings.reader.account(until)
        listed, _ = dealings.reader.rules(until)
        start_checks.check_listed(listed, assets)
        hold_account(state.id)
        if settings.takes_over is not None and not journal.meta():
            increments = increments_of(listed, assets)
            take_over(
                settings.takes_over,
                dealings,
                artifact=artifact,
                account=state.id,
                capital=settings.capital,
                increments=increments,
                until=until,
            )
        start_checks.check_identity(
            journal,
            artifact=artifact,
            account=state.id,
            capital=settings.capital,
            takes_over="" if settings.takes_over is None else settings.takes_over.name,
            now=clock.now(),
        )
        strangers.meet(patience.ask(dealings.broker.open_orders, until))
        if journal.anchor() is None:
            _check_first(dealings, settings, state, positions, until)
        execution = Execution(dealings, account=state.id, artifact=artifact)
        for decision in journal.unfinished():
            dealings.log.info("carry on", bar=decision.bar, phase=decision.phase)
            execution.carry_out(decision.bar)
        if journal.anchor() is not None and not settings.dry_run:
            dealings.desk.resolve_open(max(until, clock.now() + timing.start))
            until = max(until, clock.now() + timing.start)
            dealings.reconciler.agree(increments_of(listed, assets), until)
    except NoDecision as reason:
        raise Unanswered(f"the venue could not be reached at the start: {reason}") from None
    return state.id


def check_clock(dealings: Dealings, until: float) -> None:
    """Raises Refusal as `start_checks.check_skew`, NoDecision without an answer."""
    clock = dealings.clock
    times = dealings.patience.ask(lambda: (clock.now(), dealings.broker.clock(), clock.now()), until)
    start_checks.check_skew(*times, dealings.timing)


def _check_first(
    dealings: Dealings, settings: TraderSettings, state: AccountState, positions: Mapping[str, Position], until: float
) -> None:
    """Before the first bar: raises Refusal, at the quotes of now, for an account that the first bar would refuse."""
    assets = dealings.manifest.assets
    quotes = dealings.patience.ask(lambda: dealings.broker.quotes(assets), until)
    held = held_of(positions, assets)
    if held.keys() <= quotes.keys():
        mids = {asset: float(quotes[asset].bid + quotes[asset].ask) / 2 for asset in held}
        reserve(dealings, settings, state.cash, held, mids)


def held_of(positions: Mapping[str, Position], assets: tuple[str, ...]) -> dict[str, Decimal]:
    """Quantities of those of the assets that the account holds."""
    return {asset: positions[asset].quantity for asset in assets if asset in positions}


def reserve(
    dealings: Dealings, settings: TraderSettings, cash: Decimal, held: Mapping[str, Decimal], prices: Mapping[str, float]
) -> dict[str, Decimal]:
    """What of the account is not the trader's, as `start_checks.reserve_of`."""
    return start_checks.reserve_of(
        cash,
        held,
        prices,
        settings.capital,
        foreign=settings.foreign,
        min_notional=dealings.manifest.costs.min_notional,
    )

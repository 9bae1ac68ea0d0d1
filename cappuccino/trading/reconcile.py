"""The venue's figures against the trader's own: the same comparison at the start, after a crash and at every bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from cappuccino.broker.protocol import AccountState, Position
from cappuccino.errors import Refusal
from cappuccino.trading.clock import Clock
from cappuccino.trading.journal import Journal
from cappuccino.trading.ledger import Difference, compare, set_aside
from cappuccino.trading.log import Log
from cappuccino.trading.records import CASH, Adjustment, Anchor
from cappuccino.trading.venue_reader import VenueReader

Foreign = Literal["refuse", "adopt", "ignore"]
"""What to do about orders and figures that are not the trader's: refuse to go on; take them over; or leave them alone."""


class Figures(NamedTuple):
    """What the venue says, the trader's own part of it (anchor), and where the journal does not explain it."""

    state: AccountState
    positions: dict[str, Position]
    anchor: Anchor
    differences: tuple[Difference, ...]


class Reconciler:
    """Compares the venue with the journal.

    resolve: learns until a time how all orders ended, as `OrderDesk.resolve_open`. fee: the most that the venue takes of a fill, as
    a fraction.
    """

    def __init__(
        self,
        reader: VenueReader,
        clock: Clock,
        journal: Journal,
        log: Log,
        resolve: Callable[[float], None],
        *,
        assets: Sequence[str],
        fee: Decimal,
        foreign: Foreign,
        poll: float,
    ) -> None:
        self._reader, self._clock, self._journal, self._log, self._resolve = reader, clock, journal, log, resolve
        self._assets, self._fee, self._foreign, self._poll = tuple(assets), fee, foreign, poll

    def agree(self, increments: Mapping[str, Decimal], until: float) -> Figures:
        """The venue's figures, agreed with the journal's, which is anchored there. No order may be open.

        A difference is asked for again until a time: an order that was given up may have turned up since it was last asked for, and
        reads may lag behind writes. One that stays, with all orders known, is refused, taken over or set aside, as `foreign` says.
        `increments`: by asset, as listed now. Raises Refusal with the table of differences, NoDecision as `resolve` does.
        """
        while True:
            figures = self.look(increments, until)
            if not figures.differences:
                self._journal.set_anchor(figures.anchor)
                return figures
            self._log.warning("figures differ from the journal", differences=[str(one) for one in figures.differences])
            is_over, known = self._clock.now() >= until, self._journal.fills_since_anchor()
            self._resolve(until)
            if self._journal.fills_since_anchor() != known:
                continue
            if is_over:
                break
            self._clock.wait_until(min(until, self._clock.now() + 5 * self._poll))
        if self._foreign == "refuse":
            raise Refusal(table_of(figures.differences))
        return self._take_over(figures)

    def look(self, increments: Mapping[str, Decimal], until: float) -> Figures:
        """The venue's figures beside the journal's, which stay as they are."""
        anchor = self._journal.anchor()
        assert anchor is not None
        state, positions = self._reader.account(until)
        found = own_figures(state, positions, self._assets, anchor.reserve)
        fills = self._journal.fills_since_anchor()
        compared = compare(anchor, fills, found, increments, now=self._clock.now(), fee=self._fee)
        return Figures(state, positions, compared.anchor, compared.differences)

    def _take_over(self, figures: Figures) -> Figures:
        differences = figures.differences
        how: Literal["adopt", "ignore"] = "adopt" if self._foreign == "adopt" else "ignore"
        taken = figures.anchor if how == "adopt" else set_aside(figures.anchor, differences)
        short = {name: figure for name, figure in taken.reserve.items() if figure < 0}
        if short:
            raise Refusal(f"{table_of(differences)}\nMore is gone than was set aside: what is missing is the trader's own")
        self._journal.set_anchor(taken, [Adjustment(taken.at, one.asset, one.change, how) for one in differences])
        self._log.warning("figures taken over from the venue", how=how, differences=[str(one) for one in differences])
        return figures._replace(anchor=taken)


def own_figures(
    state: AccountState, positions: Mapping[str, Position], assets: Sequence[str], reserve: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Cash (CASH) and positions by asset, less the reserve."""
    figures = {CASH: state.cash - reserve.get(CASH, Decimal(0))}
    for asset in assets:
        held = positions[asset].quantity if asset in positions else Decimal(0)
        figures[asset] = held - reserve.get(asset, Decimal(0))
    return figures


def table_of(differences: Sequence[Difference]) -> str:
    """What a person reads before saying what to do."""
    lines = [f"{'':<6}{'journal, at least':>24}{'at most':>24}{'the venue has':>24}"]
    lines += [f"{one.asset:<6}{one.low:>24,.9f}{one.high:>24,.9f}{one.found:>24,.9f}" for one in differences]
    return (
        "the venue's figures are not what the journal explains, and nothing is ordered\n"
        + "\n".join(lines)
        + "\nLook at the account's activity: a deposit, a reset, an order by hand, a fee above trade.fee_bps? "
        "`cappuccino trade accept` then takes the venue's figures over; trade.foreign=adopt|ignore does so by itself"
    )

"""What the risk rules remember of an account, brought up to date at every bar's close.

What was bought counts as bought at the close at which it was decided. A position's entry is the mean of those over its units. Its top is
the highest close since it was entered; what is bought on top moves it towards that close by its share of the units. So neither
depends on how an order was filled, a remainder that cannot be sold hardly counts once more is bought, and trader and environment
agree. Arrays have assets on the first axis.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cappuccino.risk.limits import Limits

LEAST = 1e-3
"""Share of equity below which a position counts as not held: what is left of a sale would stop what is bought next."""


DAY_S = 86_400


def day_of(closed_at: Any) -> Any:
    """The UTC day of a bar's close (Unix seconds): whole days since 1970, so that midnight's close begins the day."""
    return closed_at // DAY_S


class Marks(NamedTuple):
    """An account at a bar's close: base units (A, ...), closes (A, ...) to broadcast with them, equity (...), UTC day.

    day: `day_of` the close.
    """

    holdings: Any
    close: Any
    equity: Any
    day: Any

    @property
    def weights(self) -> Any:
        """Shares of equity, (A, ...)."""
        return self.holdings * self.close / self.equity


class RiskState(NamedTuple):
    """Of each account; per asset (A, ...): holdings, close, entry, top, resting. All else (...).

    holdings, close: at the last close. entry, top: see the module. resting: closes, this one among them, at which the asset is
    held at zero after a stop. peak: highest equity since the start or the last reset. day: UTC day of the last close, with
    day_equity when it began, turnover (quote currency) of what was decided in it, and whether its loss was too high.
    is_stopped: the drawdown was too deep; only `reset` takes it back.
    """

    holdings: Any
    close: Any
    entry: Any
    top: Any
    resting: Any
    peak: Any
    day: Any
    day_equity: Any
    turnover: Any
    is_day_stopped: Any
    is_stopped: Any


def first(marks: Marks, *, xp: Any) -> RiskState:
    """Of an account that is first seen: what it holds counts as bought at this close."""
    close = marks.close + xp.zeros_like(marks.holdings)
    nothing = xp.zeros_like(marks.equity)
    return RiskState(
        holdings=marks.holdings,
        close=close,
        entry=close,
        top=close,
        resting=xp.zeros_like(close),
        peak=marks.equity,
        day=xp.broadcast_to(xp.asarray(marks.day), xp.shape(marks.equity)),
        day_equity=marks.equity,
        turnover=nothing,
        is_day_stopped=nothing > 0,
        is_stopped=nothing > 0,
    )


def observe(state: RiskState, marks: Marks, limits: Limits, *, xp: Any) -> RiskState:
    """The state after a close. What changed in the holdings since the close before was decided there, and is worth its close."""
    close = marks.close + xp.zeros_like(marks.holdings)
    grown = xp.maximum(marks.holdings - state.holdings, 0)
    new = grown / xp.where(grown > 0, marks.holdings, 1)
    entry = state.entry + (state.close - state.entry) * new
    top = xp.maximum(state.top + (state.close - state.top) * new, close)
    # What rests, or is as good as not held, begins anew: a stop acts once on what it was for, and not on what is left of it.
    is_new = (marks.weights < LEAST) | (state.resting > 0)
    entry, top = xp.where(is_new, close, entry), xp.where(is_new, close, top)
    fallen = (1 - close / entry >= limits.stop_loss) | (1 - close / top >= limits.trailing_stop)
    resting = xp.where(fallen, limits.cooldown, xp.maximum(state.resting - 1, 0))

    traded = xp.sum(xp.abs(marks.holdings - state.holdings) * state.close, axis=0)
    is_new_day = marks.day != state.day
    day_equity = xp.where(is_new_day, marks.equity, state.day_equity)
    peak = xp.maximum(state.peak, marks.equity)
    return RiskState(
        holdings=marks.holdings,
        close=close,
        entry=entry,
        top=top,
        resting=resting + xp.zeros_like(close),
        peak=peak,
        day=xp.broadcast_to(xp.asarray(marks.day), xp.shape(state.day)),
        day_equity=day_equity,
        turnover=xp.where(is_new_day, 0, state.turnover + traded),
        is_day_stopped=(state.is_day_stopped & ~is_new_day) | (1 - marks.equity / day_equity >= limits.day_loss),
        is_stopped=state.is_stopped | (1 - marks.equity / peak >= limits.drawdown),
    )


def reset(state: RiskState, marks: Marks) -> RiskState:
    """As a person wants it who has looked: the drawdown counts from this equity on, and neither loss stops anything."""
    return state._replace(
        peak=marks.equity,
        day_equity=marks.equity,
        is_stopped=state.is_stopped & False,
        is_day_stopped=state.is_day_stopped & False,
    )

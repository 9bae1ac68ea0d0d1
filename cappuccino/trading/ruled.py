"""The risk rules (`cappuccino.risk`) on the trader's account. What they remember is in the journal's marks, one state a bar."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.risk import Limits, Marks, RiskState, day_of, first, observe, reset, rules_of
from cappuccino.trading.journal import Journal
from cappuccino.trading.sizing import OwnAccount
from cappuccino.trading.succession import begun_with

_SAME = 1e-12
"""Changes of a weight below this are rounding."""


class Allowed(NamedTuple):
    """Target weights under the rules, and the names of those that changed them."""

    targets: Float[np.ndarray, "A"]
    by: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """An account as the rules see it at a bar's close. record: the state as plain data. stopped: what it newly stops, in words."""

    marks: Marks
    state: RiskState
    record: dict[str, Any]
    stopped: tuple[str, ...]


class RiskRules:
    """The rules of one trader. limits: None for no rules, of which nothing is remembered."""

    def __init__(self, journal: Journal, limits: Limits | None, assets: tuple[str, ...]) -> None:
        self._journal, self._limits, self._assets = journal, limits, assets

    def see(self, account: OwnAccount, closed_at: int) -> Seen | None:
        """What the rules make of the account at a close (Unix seconds). A person's release takes back what a loss stopped."""
        if self._limits is None:
            return None
        marks = Marks(account.holdings, account.closes, np.float64(account.equity), day_of(closed_at))
        releases, last = self._journal.releases(), self._journal.last_mark()
        remembered = begun_with(self._journal).risk if last is None else last.risk
        if remembered is None:
            before, seen = first(marks, xp=np), releases
        else:
            before, seen = state_of(remembered), remembered["releases"]
        if releases > seen and (before.is_stopped or before.is_day_stopped):
            before = reset(before, marks)
        state = observe(before, marks, self._limits, xp=np)
        plain = {name: np.asarray(value).tolist() for name, value in state._asdict().items()}
        record = {**plain, "assets": self._assets, "releases": releases}
        return Seen(marks, state, record, self._stopped(before, state, marks, self._limits))

    def allow(self, targets: Float[np.ndarray, "A"], seen: Seen | None) -> Allowed:
        """The policy's targets under the rules."""
        if self._limits is None or seen is None:
            return Allowed(targets, ())
        names: list[str] = []
        for rule in rules_of(self._limits):
            after = rule.apply(targets, seen.state, seen.marks, self._limits, xp=np)
            if np.max(np.abs(after - targets), initial=0) > _SAME and rule.name not in names:
                names.append(rule.name)
            targets = after
        return Allowed(targets, tuple(names))

    def _stopped(self, before: RiskState, state: RiskState, marks: Marks, limits: Limits) -> tuple[str, ...]:
        said = [
            f"{asset} is sold: its close {marks.close[a]:,.6g} is too far below what it was bought at, {state.entry[a]:,.6g}, or its "
            f"highest since, {state.top[a]:,.6g}; it is not bought for {int(limits.cooldown)} bars"
            for a, asset in enumerate(self._assets)
            if state.resting[a] > before.resting[a]
        ]
        if state.is_day_stopped and not before.is_day_stopped:
            loss = 1 - float(marks.equity / state.day_equity)
            said.append(f"everything is sold until the day (UTC) is over: {loss:.2%} was lost in it")
        if state.is_stopped and not before.is_stopped:
            fall = 1 - float(marks.equity / state.peak)
            said.append(
                f"everything is sold: equity is {fall:.2%} below its highest; `cappuccino trade resume` takes that back"
            )
        return tuple(said)


def stops_in_force(record: Mapping[str, Any] | None) -> list[str]:
    """What the rules keep sold by a mark's record, in words."""
    if record is None:
        return []
    said = ["everything, for the drawdown, until `cappuccino trade resume`"] if record["is_stopped"] else []
    said += ["everything, until the day (UTC) is over"] if record["is_day_stopped"] else []
    resting = zip(record["assets"], record["resting"], strict=True)
    return [*said, *(f"{asset}, for {int(bars)} more bars" for asset, bars in resting if bars > 0)]


def state_of(record: Mapping[str, Any]) -> RiskState:
    """What the rules remember, from a mark's record."""
    return RiskState(**{name: np.asarray(record[name]) for name in RiskState._fields})

"""What is to be done next, as a pure function of what is there: a restart after any kill is a look like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cappuccino.deployment import UNTRIED
from cappuccino.pipeline.places import ChampionName, ShadowName, exchange_name, short
from cappuccino.pipeline.seen import Account, Seen, SeenTrader, Study
from cappuccino.pipeline.steps import (
    Child,
    Fetch,
    Flatten,
    Judge,
    Prove,
    Record,
    Report,
    Retire,
    RollBack,
    Search,
    StartChampion,
    StartExchange,
    StartShadow,
    Step,
    Stop,
    StopExchange,
    Validate,
    Wait,
)
from cappuccino.registry.registry import Entry

RESTART_S = 5.0
"""Seconds after its launch before a trader that was killed is started again."""
MOST_ATTEMPTS = 5
"""Traders of one shadow."""
FIRST_BARS, SHARE = 24, 0.05
"""New bars of a champion's trader that are looked at: at least so many, and this share of those that there are."""


class Settings(NamedTuple):
    """Of the configuration. is_local: whether the pipeline starts the champion's exchange."""

    shadow_bars: int
    is_local: bool


def plan(seen: Seen, settings: Settings) -> list[Step]:
    """The steps that can be taken now, those of the champion first. Of those that take minutes none while one runs.

    Nothing at all is left where a look at the same things would never find anything to do.
    """
    steps = [*_champion(seen, settings)]
    if seen.bars.can_grow:
        is_due = seen.fetched is None or seen.fetched >= seen.bars.bar_seconds
        steps.append(Fetch() if is_due else Wait("bars that are new"))
    for study in seen.studies:
        steps += _road(study, seen, settings)
    steps += _accounts(seen)
    if seen.is_busy:
        steps = [Wait("the step that runs"), *(step for step in steps if not isinstance(step, Child))]
    return [
        step for step in steps if step.name not in seen.failed and not (isinstance(step, Report) and step.key in seen.reported)
    ]


def _accounts(seen: Seen) -> Iterator[Step]:
    """An exchange whose replay is over, or on which nobody trades any more, serves no one."""
    for account in seen.accounts:
        on = [one for one in seen.traders if isinstance(one.name, ChampionName) and one.name.account == account.number]
        last = max(on, key=lambda one: one.name, default=None)
        is_done = last is not None and not last.is_alive and (last.is_over or last.halted is not None)
        if account.is_alive and (is_done or account is not seen.accounts[-1]):
            yield StopExchange(account.number)


def _road(study: Study, seen: Seen, settings: Settings) -> Iterator[Step]:
    """From a study to a champion."""
    entry = next((one for one in seen.entries if one.study == study.name), None)
    if not study.is_concluded:
        yield Search(study)
    elif entry is None and not study.has_best:
        yield Report(f"study {study.name}", f"study {study.name} found nothing: no trial that did anything was completed")
    elif entry is None:
        yield Validate(study)
    elif entry.state == "candidate":
        yield Judge(entry.checksum, entry.state) if "causality" in entry.figures else Prove(entry.checksum)
    elif entry.state == "validated":
        yield Judge(entry.checksum, entry.state)
    elif entry.state == "shadow":
        yield from _shadow(entry, study, seen, settings)


def _shadow(entry: Entry, study: Study, seen: Seen, settings: Settings) -> Iterator[Step]:
    mine = {
        one.name: one for one in seen.traders if isinstance(one.name, ShadowName) and one.name.artifact == short(entry.checksum)
    }
    newest = max(mine, default=None)
    last = None if newest is None else mine[newest]
    start = study.cut + seen.bars.bar_seconds
    if last is None or (not last.is_alive and not _is_complete(last, settings) and last.exit_code not in UNTRIED):
        attempt = 1 if newest is None else newest.attempt + 1
        is_there = not seen.bars.can_grow or seen.bars.last >= start + (settings.shadow_bars + 1) * seen.bars.bar_seconds
        if attempt > MOST_ATTEMPTS:
            yield Report(f"attempts {short(entry.checksum)}", f"{MOST_ATTEMPTS} traders of {short(entry.checksum)} were killed")
        elif not is_there:
            yield Wait(f"{settings.shadow_bars} bars behind the cut")
        elif last is not None and last.since < RESTART_S:
            yield Wait(f"{RESTART_S:g} s since {last.name} was started")
        else:
            yield StartShadow(entry.checksum, ShadowName(short(entry.checksum), attempt), start, settings.shadow_bars + 1)
    elif not last.is_alive and last.exit_code in UNTRIED:
        yield _ended(last)
    elif last.is_alive:
        yield Wait(f"{last.name}, which trades")
    else:
        if _recorded(last, entry.figures.get("shadow")) != last.last_bar:
            yield Record(entry.checksum, last, "shadow")
        elif _awaits_champion(last, seen):
            yield Wait("the champion's trader to have traded the same bars")
        else:
            yield Judge(entry.checksum, entry.state)


def _is_complete(trader: SeenTrader, settings: Settings) -> bool:
    return trader.is_over or trader.bars > settings.shadow_bars


def _awaits_champion(shadow: SeenTrader, seen: Seen) -> bool:
    """Whether the champion's trader is still to trade, or to be looked at, over the bars that they are compared by."""
    champion, trader = seen.champion(), _last_on_account(seen)
    if champion is None or trader is None or not _is_of(trader, champion) or trader.last_bar is None or shadow.last_bar is None:
        return False
    known = _recorded(trader, champion.figures.get("live"))
    return (trader.is_alive or trader.last_bar != known) and (known is None or known < shadow.last_bar)


def _champion(seen: Seen, settings: Settings) -> Iterator[Step]:
    champion, last = seen.champion(), _last_on_account(seen)
    if champion is None:
        if last is not None and last.halted is None and not last.is_over and last.bars > 0:
            yield Flatten(last.name)  # type: ignore[arg-type]
        elif last is not None and last.is_alive:
            yield Wait(f"{last.name} to end")
        return
    if last is None or not _is_of(last, champion):
        yield from _succession(champion, last, seen, settings)
        return
    if _is_due(last, champion.figures.get("live"), seen):
        yield Record(champion.checksum, last, "live")
    elif seen.live_failed:
        yield (RollBack if seen.has_predecessor else Retire)(champion.checksum, seen.live_failed)
        return
    if last.is_alive:
        yield Wait(f"{last.name}, which trades")
    elif last.is_over:
        return
    elif last.exit_code in UNTRIED:
        yield _ended(last)
    elif last.since < RESTART_S:
        yield Wait(f"{RESTART_S:g} s since {last.name} was started")
    else:
        yield from _start(champion, last, seen, settings)


def _succession(champion: Entry, last: SeenTrader | None, seen: Seen, settings: Settings) -> Iterator[Step]:
    """The trader of another artifact ends, and the champion's begins in its place."""
    if last is not None and last.is_alive:
        yield Stop(last.name)  # type: ignore[arg-type]
    else:
        yield from _start(champion, last, seen, settings)


def _start(champion: Entry, last: SeenTrader | None, seen: Seen, settings: Settings) -> Iterator[Step]:
    """Its trader, on the account that is there; where that is gone or its replay over, on another, which opens where it stood."""
    account = seen.accounts[-1] if seen.accounts else None
    on = [one.name for one in seen.traders if isinstance(one.name, ChampionName)]
    if settings.is_local:
        is_fit = account is not None and account.is_alive and not (last is not None and last.is_over)
        if not is_fit:
            yield StartExchange(1 if account is None else account.number + 1, _opening(champion, last, seen))
            return
        assert account is not None
        if account.url is None:
            yield Wait(f"{exchange_name(account.number)} to answer")
            return
    else:
        account = Account(1, is_alive=True, url=None)
    before = sorted(name for name in on if name.account == account.number)
    if before and before[-1].artifact == short(champion.checksum):
        name, before = before[-1], before[:-1]
    else:
        name = ChampionName(account.number, len(before) + 1, short(champion.checksum))
    yield StartChampion(champion.checksum, name, account.url, before[-1] if before else None)


def _opening(champion: Entry, last: SeenTrader | None, seen: Seen) -> int:
    """When an account opens: behind the bars that were traded before."""
    known = [last.last_bar] if last is not None and last.last_bar is not None else []
    known += [figures["last_bar"] for kind, figures in champion.figures.items() if kind in ("shadow", "validation")]
    return max(known, default=seen.bars.cut) + 2 * seen.bars.bar_seconds


def _is_due(trader: SeenTrader, known: Mapping[str, Any] | None, seen: Seen) -> bool:
    """Whether enough new bars were traded to look at them, or the last ones."""
    recorded = _recorded(trader, known)
    if trader.last_bar is None or trader.marks < 2 or trader.last_bar == recorded:
        return False
    new = trader.marks if recorded is None else (trader.last_bar - recorded) // seen.bars.bar_seconds
    return not trader.is_alive or new >= max(FIRST_BARS, SHARE * trader.marks)


def _recorded(trader: SeenTrader, known: Mapping[str, Any] | None) -> int | None:
    """Up to which bar the registry knows what the trader shows."""
    return known["last_bar"] if known is not None and known.get("trader") == str(trader.name) else None


def _last_on_account(seen: Seen) -> SeenTrader | None:
    on = [one for one in seen.traders if isinstance(one.name, ChampionName)]
    return max(on, key=lambda one: one.name[:2], default=None)


def _is_of(trader: SeenTrader, entry: Entry) -> bool:
    return trader.name.artifact == short(entry.checksum)


def _ended(trader: SeenTrader) -> Report:
    why = {2: "something has to be mended", 3: "it refuses to go on", 4: f"it is halted: {trader.halted}"}
    text = (
        f"trader {trader.name} ended with exit code {trader.exit_code}, {why[trader.exit_code or 0]}; it is not started again"
    )
    return Report(f"{trader.name} {trader.deployment}", text)

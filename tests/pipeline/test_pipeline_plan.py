"""What is to be done next follows from what is there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from cappuccino.pipeline.places import ChampionName, ShadowName
from cappuccino.pipeline.plan import MOST_ATTEMPTS, Settings, plan
from cappuccino.pipeline.seen import Account, Bars, Seen, SeenTrader, Study
from cappuccino.pipeline.steps import (
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
    Stop,
    StopExchange,
    Validate,
    Wait,
)
from cappuccino.registry.gates import Gate
from cappuccino.registry.registry import Entry
from cappuccino.registry.states import State

HOUR = 3600
BARS = Bars(first=0, last=2_000 * HOUR, bar_seconds=HOUR, train_end=800 * HOUR, cut=1_000 * HOUR, can_grow=False)
SETTINGS = Settings(shadow_bars=240, is_local=True)
FAILING = (Gate("live_drawdown", holds=False, found="30.0%", asked="at most 20.0%"),)
OURS, THEIRS = "a" * 64, "b" * 64


def entry(state: State, checksum: str = OURS, study: str = "pipeline", **figures: Any) -> Entry:
    return Entry(checksum, f"pipeline/{study}/validation", study, 0, 0.0, state, {"causality": {}, **figures})


def study(number: int = 0, **changes: Any) -> Study:
    made = Study(f"pipeline{number or ''}", number, BARS.cut, 16, is_concluded=True, has_best=True)
    return dataclasses.replace(made, **changes)


def trader(name: ShadowName | ChampionName, **changes: Any) -> SeenTrader:
    made = SeenTrader(
        name, is_alive=True, exit_code=None, deployment=1, bars=0, marks=0, last_bar=None, is_over=False, halted=None, since=60
    )
    return dataclasses.replace(made, **changes)


def seen(**changes: Any) -> Seen:
    made = Seen(
        bars=BARS,
        studies=(study(),),
        entries=(),
        traders=(),
        accounts=(),
        has_predecessor=False,
        live_failed=(),
        is_busy=False,
        failed=frozenset(),
        reported=frozenset(),
        fetched=None,
    )
    return dataclasses.replace(made, **changes)


def steps(**changes: Any) -> list[Any]:
    return [step for step in plan(seen(**changes), SETTINGS) if not isinstance(step, Wait)]


SHADOW = ShadowName("a" * 12, 1)
DONE = {"is_alive": False, "exit_code": 0, "bars": 241, "marks": 241, "last_bar": 1_241 * HOUR}
SHOWN = {"trader": str(SHADOW), "last_bar": 1_241 * HOUR}
FIRST, SECOND = ChampionName(1, 1, "b" * 12), ChampionName(1, 2, "a" * 12)
UP = (Account(1, is_alive=True, url="http://127.0.0.1:1"),)


def test_the_road_of_a_study() -> None:
    assert [type(step) for step in steps(studies=(study(is_concluded=False),))] == [Search]
    assert [type(step) for step in steps()] == [Validate]
    unproved = dataclasses.replace(entry("candidate"), figures={})
    assert steps(entries=(unproved,)) == [Prove(OURS)]
    assert steps(entries=(entry("candidate"),)) == [Judge(OURS, "candidate")]
    assert steps(entries=(entry("validated"),)) == [Judge(OURS, "validated")]
    assert steps(entries=(entry("shadow"),)) == [StartShadow(OURS, SHADOW, BARS.cut + HOUR, 241)]
    running = trader(SHADOW, bars=100, marks=100, last_bar=1_100 * HOUR)
    assert steps(entries=(entry("shadow"),), traders=(running,)) == []
    ended = trader(SHADOW, **DONE)
    assert steps(entries=(entry("shadow"),), traders=(ended,)) == [Record(OURS, ended, "shadow")]
    assert steps(entries=(entry("shadow", shadow=SHOWN),), traders=(ended,)) == [Judge(OURS, "shadow")]
    crowned = entry("champion", shadow=SHOWN)
    assert steps(entries=(crowned,), traders=(ended,)) == [StartExchange(1, 1_243 * HOUR)]
    (start,) = steps(entries=(crowned,), traders=(ended,), accounts=UP)
    assert start == StartChampion(OURS, ChampionName(1, 1, "a" * 12), UP[0].url, None)


def test_a_study_that_found_nothing_is_told_of_once() -> None:
    nothing = study(has_best=False)
    (told,) = steps(studies=(nothing,))
    assert isinstance(told, Report)
    assert steps(studies=(nothing,), reported=frozenset({told.key})) == []


def test_what_takes_minutes_is_done_one_at_a_time_and_all_else_meanwhile() -> None:
    """A champion that fails does not wait for a study."""
    busy = {"studies": (study(is_concluded=False),), "is_busy": True}
    assert steps(**busy) == []
    on = {"entries": (entry("champion"),), "traders": (trader(SECOND),), "accounts": UP}
    assert steps(**busy, **on, live_failed=FAILING, has_predecessor=True) == [RollBack(OURS, FAILING)]


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_trader_that_needs_a_person_is_reported_and_not_started_again(code: int) -> None:
    gone = {"is_alive": False, "exit_code": code}
    for entries, traders in (
        ((entry("shadow"),), (trader(SHADOW, **gone),)),
        ((entry("champion"),), (trader(ChampionName(1, 1, "a" * 12), **gone),)),
    ):
        (told,) = steps(entries=entries, traders=traders, accounts=UP)
        assert isinstance(told, Report)
        assert f"exit code {code}" in told.text
        assert not [
            one
            for one in steps(entries=entries, traders=traders, accounts=UP, reported=frozenset({told.key}))
            if one != StopExchange(1)
        ]


@pytest.mark.parametrize("code", [None, 0, 1])
def test_a_champions_trader_that_was_killed_or_stopped_goes_on_as_itself(code: int | None) -> None:
    gone = trader(SECOND, is_alive=False, exit_code=code, bars=50)
    on = {"entries": (entry("champion"), entry("retired", THEIRS, "other")), "accounts": UP}
    traders = (trader(FIRST, is_alive=False, exit_code=0), gone)
    assert steps(**on, traders=traders) == [StartChampion(OURS, SECOND, UP[0].url, FIRST)]
    just = dataclasses.replace(gone, since=1.0)
    assert steps(**on, traders=(traders[0], just)) in ([], [StopExchange(1)])
    over = dataclasses.replace(gone, is_over=True)
    assert steps(**on, traders=(traders[0], over)) == [StopExchange(1)]


def test_a_shadow_that_was_killed_begins_anew_a_few_times() -> None:
    """Its exchange ended with it."""
    killed = trader(SHADOW, is_alive=False)
    (again,) = steps(entries=(entry("shadow"),), traders=(killed,))
    assert again.trader == ShadowName("a" * 12, 2)
    last = trader(ShadowName("a" * 12, MOST_ATTEMPTS), is_alive=False)
    (told,) = steps(entries=(entry("shadow"),), traders=(killed, last))
    assert isinstance(told, Report)


def test_a_new_champion_waits_for_the_old_ones_trader_and_then_takes_its_place() -> None:
    entries = (entry("champion"), entry("retired", THEIRS, "other"))
    assert steps(entries=entries, traders=(trader(FIRST),), accounts=UP) == [Stop(FIRST)]
    ended = trader(FIRST, is_alive=False, exit_code=0)
    assert steps(entries=entries, traders=(ended,), accounts=UP) == [StartChampion(OURS, SECOND, UP[0].url, FIRST)]


def test_a_champion_that_fails_is_rolled_back_or_without_a_predecessor_sold() -> None:
    on = {"traders": (trader(SECOND, bars=10),), "accounts": UP, "live_failed": FAILING}
    assert steps(**on, entries=(entry("champion"),), has_predecessor=True) == [RollBack(OURS, FAILING)]
    assert steps(**on, entries=(entry("champion"),)) == [Retire(OURS, FAILING)]
    on["live_failed"] = ()
    assert steps(**on, entries=(entry("retired"),)) == [Flatten(SECOND)]
    sold = trader(SECOND, bars=10, is_alive=False, exit_code=4, halted="everything was sold")
    assert steps(traders=(sold,), accounts=UP, entries=(entry("retired"),)) == [StopExchange(1)]


def test_new_bars_of_a_champion_are_looked_at_as_they_come_and_at_its_end() -> None:
    name = ChampionName(1, 1, "a" * 12)
    on = {"accounts": UP, "entries": (entry("champion", live={"trader": str(name), "last_bar": 1_300 * HOUR}),)}
    later = trader(name, bars=60, marks=60, last_bar=1_310 * HOUR)
    assert steps(**on, traders=(later,)) == []
    much = dataclasses.replace(later, last_bar=1_324 * HOUR)
    assert steps(**on, traders=(much,)) == [Record(OURS, much, "live")]
    ended = dataclasses.replace(later, is_alive=False, exit_code=0, is_over=True)
    assert steps(**on, traders=(ended,)) == [Record(OURS, ended, "live"), StopExchange(1)]


def test_a_shadow_is_compared_once_the_champion_has_traded_the_same_bars() -> None:
    mine = trader(SHADOW, **DONE)
    theirs = trader(FIRST, bars=100, marks=100, last_bar=1_200 * HOUR)
    known = {"trader": str(FIRST), "last_bar": 1_190 * HOUR}
    entries = (entry("shadow", shadow=SHOWN), entry("champion", THEIRS, "other", live=known))
    assert steps(entries=entries, traders=(mine, theirs), accounts=UP) == []
    entries = (entries[0], entry("champion", THEIRS, "other", live={**known, "last_bar": 1_250 * HOUR}))
    theirs = dataclasses.replace(theirs, last_bar=1_255 * HOUR)
    assert steps(entries=entries, traders=(mine, theirs), accounts=UP) == [Judge(OURS, "shadow")]


def test_an_account_that_is_gone_is_followed_by_another_where_it_stood() -> None:
    gone = trader(ChampionName(1, 1, "a" * 12), is_alive=False, bars=50, marks=50, last_bar=1_500 * HOUR)
    dead = (Account(1, is_alive=False, url=UP[0].url),)
    known = {"trader": str(gone.name), "last_bar": gone.last_bar}
    assert steps(entries=(entry("champion", live=known),), traders=(gone,), accounts=dead) == [StartExchange(2, 1_502 * HOUR)]


def test_bars_that_keep_coming_are_fetched_and_a_shadow_waits_for_enough() -> None:
    growing = BARS._replace(can_grow=True, last=BARS.cut + 100 * HOUR)
    assert steps(bars=growing, entries=(entry("shadow"),)) == [Fetch()]
    assert steps(bars=growing, entries=(entry("shadow"),), fetched=10.0) == []
    enough = growing._replace(last=BARS.cut + 300 * HOUR)
    assert [type(step) for step in steps(bars=enough, entries=(entry("shadow"),), fetched=10.0)] == [StartShadow]


def test_what_failed_is_left_out_until_it_may_be_tried_again() -> None:
    assert steps(failed=frozenset({"validate-pipeline"})) == []

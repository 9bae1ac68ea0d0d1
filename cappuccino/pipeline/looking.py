"""A look at what is there: storage, registry, traders' folders and locks. Changes nothing."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Sequence

from cappuccino.config.data import AlpacaData
from cappuccino.config.roots import PipelineConfig
from cappuccino.deployment import UNTRIED
from cappuccino.errors import InputError
from cappuccino.pipeline import launching
from cappuccino.pipeline.places import ChampionName, Places, exchange_name, short, study_name, trader_name
from cappuccino.pipeline.seen import Account, Bars, Seen, SeenTrader, Study
from cappuccino.registry.gates import Gate, failed, live_gates
from cappuccino.registry.registry import Deployment, Entry, Registry
from cappuccino.sources import load_bars
from cappuccino.trading.folder import JOURNAL_NAME, holder
from cappuccino.trading.journal_reading import read_progress

_ENDED = {"complete", "did nothing", "pruned", "failed"}
"""Ends of trials that count (`sweep.ends`)."""
TRAIN_SHARE = 0.70
_MARGIN_BARS = 26
"""Bars behind a study's cut that must be there where bars keep coming."""


def look_at_bars(config: PipelineConfig) -> Bars:
    """Of the data that is configured. Raises InputError where there is none, or it does not reach beyond the test span's beginning."""
    table = load_bars(config.data)
    stamps = table.timestamps
    split = config.data.split_seconds
    if split is None:
        train = round(TRAIN_SHARE * len(stamps))
        split = int(stamps[train]), int(stamps[(train + len(stamps) + 1) // 2])
    if not stamps[0] < split[1] <= stamps[-1]:
        raise InputError(f"data.valid_end is {config.data.valid_end}; there must be bars before it and behind it")
    can_grow = isinstance(config.data, AlpacaData)
    return Bars(int(stamps[0]), int(stamps[-1]), config.data.bar_seconds, split[0], split[1], can_grow)


class Looker:
    """Looks, and remembers what does not change between looks."""

    def __init__(self, config: PipelineConfig, places: Places, registry: Registry) -> None:
        self._config, self._places, self._registry = config, places, registry
        self._live: tuple[str, tuple[Gate, ...]] = ("", ())
        # What was left to a person is tried again once the command is given again: that says that it was looked at.
        self._before = max((one.id for one in registry.deployments()), default=0)

    def look(self, bars: Bars, *, is_busy: bool, failed_steps: frozenset[str], reported: frozenset[str]) -> Seen:
        """Raises InputError where storage or registry cannot be read."""
        entries = tuple(self._registry.entries())
        traders = tuple(self._traders(self._registry.deployments()))
        champion = next((entry for entry in entries if entry.state == "champion"), None)
        on = [one for one in traders if isinstance(one.name, ChampionName)]
        last = max(on, key=lambda one: one.name[:2], default=None)
        return Seen(
            bars=bars,
            studies=tuple(self._studies(bars, entries, is_busy=is_busy)),
            entries=entries,
            traders=traders,
            accounts=tuple(self._accounts()),
            has_predecessor=champion is not None and self._registry.predecessor() is not None,
            live_failed=() if champion is None or last is None else self._live_failed(champion, last),
            is_busy=is_busy,
            failed=failed_steps,
            reported=reported,
            fetched=_age(self._places.log("fetch")),
        )

    def _studies(self, bars: Bars, entries: Sequence[Entry], *, is_busy: bool) -> list[Study]:
        config, found = self._config, list[Study]()
        step = (
            None if config.retrain_days is None else round(config.retrain_days * 86_400 / bars.bar_seconds) * bars.bar_seconds
        )
        needed = (_MARGIN_BARS if bars.can_grow else config.shadow_bars + 3) * bars.bar_seconds
        cut = bars.cut
        while True:
            study = self._study(len(found), cut, is_busy=is_busy)
            found.append(study)
            is_validated = any(entry.study == study.name for entry in entries) or (study.is_concluded and not study.has_best)
            if step is None or not is_validated or bars.last < cut + step + needed:
                return found
            cut += step

    def _study(self, number: int, cut: int, *, is_busy: bool) -> Study:
        name = study_name(self._config.name, number, cut)
        trials = self._registry.trials(name)
        is_concluded = sum(trial.state in _ENDED for trial in trials) >= self._config.trials
        ended = None if is_concluded or is_busy else trials_ended(self._places.runs, name)
        has_best = any(trial.state == "complete" and trial.value is not None for trial in trials)
        return Study(name, number, cut, ended, is_concluded, has_best)

    def _traders(self, deployments: Sequence[Deployment]) -> list[SeenTrader]:
        last = {one.trader: one for one in deployments}
        names = {path.stem for path in (self._places.own / "launched").glob("*.lock")}
        return [self._trader(name, last.get(name)) for name in sorted(names | last.keys()) if trader_name(name) is not None]

    def _trader(self, text: str, last: Deployment | None) -> SeenTrader:
        name, lock, folder = trader_name(text), self._places.launched(text), self._places.traders / text
        assert name is not None
        is_alive = launching.holder(lock) is not None or holder(folder) is not None
        progress = read_progress(folder / JOURNAL_NAME)
        is_known = last is not None and not (last.id <= self._before and last.exit_code in UNTRIED)
        return SeenTrader(
            name=name,
            is_alive=is_alive,
            exit_code=last.exit_code if last is not None and is_known else None,
            deployment=None if last is None else last.id,
            bars=progress.bars,
            marks=progress.marks,
            last_bar=progress.last_bar,
            is_over=progress.is_over,
            halted=progress.halted,
            since=_age(lock) or 0.0,
        )

    def _live_failed(self, champion: Entry, trader: SeenTrader) -> tuple[Gate, ...]:
        """The gates that the champion's trader of now fails. What the last look has judged is not judged again."""
        known = champion.figures.get("live", {})
        if known.get("trader") != str(trader.name) or trader.name.artifact != short(champion.checksum):
            return ()
        judged = f"{trader.name} {known['last_bar']}"
        if self._live[0] != judged:
            self._live = judged, tuple(failed(live_gates(champion.figures, self._config.gates)))
        return self._live[1]

    def _accounts(self) -> list[Account]:
        found = []
        while (lock := self._places.launched(exchange_name(len(found) + 1))).exists():
            number = len(found) + 1
            found.append(Account(number, launching.holder(lock) is not None, url_of(self._places.log(exchange_name(number)))))
        return found


def trials_ended(runs: pathlib.Path, study: str) -> int | None:
    """How many trials of a study have ended by its storage; None where there is no such study. Raises InputError for one that
    cannot be read."""
    path = runs / "studies.db"
    if not path.is_file():
        return None
    import optuna

    from cappuccino.sweep.ends import counts
    from cappuccino.sweep.storage import failures_said, open_storage

    url = f"sqlite:///{path}"
    with failures_said(url):
        storage = open_storage(url)
        names = {one.study_name for one in storage.get_all_studies()}
        if study not in names:
            return None
        return sum(map(counts, optuna.load_study(study_name=study, storage=storage).get_trials(deepcopy=False)))


def url_of(log: pathlib.Path) -> str | None:
    """Where an exchange listens, by what it printed; None before that."""
    for line in log.read_text(errors="replace").splitlines() if log.is_file() else ():
        if line.startswith('{"url"'):
            return str(json.loads(line)["url"])
    return None


def _age(path: pathlib.Path) -> float | None:
    """Real seconds since a file was written."""
    return time.time() - path.stat().st_mtime if path.exists() else None

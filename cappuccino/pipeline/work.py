"""Looks, plans, and carries out, again and again, until nothing is left to do."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console

from cappuccino import deployment, process
from cappuccino.config.trading import LocalBrokerConfig
from cappuccino.errors import InputError
from cappuccino.pipeline import launching
from cappuccino.pipeline.looking import Looker, look_at_bars
from cappuccino.pipeline.places import Places, exchange_name, short, trader_name
from cappuccino.pipeline.plan import Settings, plan
from cappuccino.pipeline.seen import Bars, Seen
from cappuccino.pipeline.steps import (
    Child,
    Fetch,
    Flatten,
    Judge,
    Record,
    Report,
    Retire,
    RollBack,
    StartChampion,
    StartExchange,
    StartShadow,
    Step,
    Stop,
    StopExchange,
    Validate,
    Wait,
)
from cappuccino.pipeline.telling import Teller, teller
from cappuccino.pipeline.words import Given
from cappuccino.registry.gates import as_figures
from cappuccino.registry.promotion import judge, said
from cappuccino.registry.registry import Registry
from cappuccino.trading.folder import holder

TRIES = 3
"""Times that a step is begun in one run of the pipeline where it fails for a reason that may pass."""
AGAIN_S = 30.0
"""Seconds before it is begun again, each time twice as many."""
_STEP = "step"


class _Failure(NamedTuple):
    """times: so far. again: when (`time.monotonic`) it may be tried again; None if not."""

    times: int
    again: float | None
    said: str


class _Unfit(InputError):
    """An artifact that cannot be judged now: a machine that is busy decides slowly."""


class Pipeline:
    """One run of the pipeline. It may be killed at any moment: nothing that it remembers is needed by the next one."""

    def __init__(self, given: Given, places: Places, registry: Registry, tell: Teller) -> None:
        config = given.config
        self._given, self._config, self._places, self._registry, self._tell = given, config, places, registry, tell
        is_local = isinstance(config.broker, LocalBrokerConfig)
        self._settings = Settings(config.shadow_bars, is_local)
        self._looker = Looker(config, places, registry)
        self._bars: Bars | None = None
        self._step: tuple[Child, subprocess.Popen[bytes]] | None = None
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._failures: dict[str, _Failure] = {}
        self._asked: set[str] = set()

    def planned(self) -> list[Step]:
        """What would be done now."""
        return plan(self._look(), self._settings)

    def run(self) -> None:
        """Until nothing is left to do. Raises InputError where steps are left that fail."""
        while True:
            self._heed_children()
            seen = self._look()
            steps = plan(seen, self._settings)
            for step in steps:
                self._take(step)
            is_waiting = any(failure.again is not None for failure in self._failures.values())
            if not steps and not is_waiting:
                break
            time.sleep(self._config.poll_s)
        if self._failures:
            raise InputError("; ".join(f"step {name} failed: {one.said}" for name, one in self._failures.items()))
        self._tell.say("nothing     is left to do")

    def _look(self) -> Seen:
        if self._bars is None:
            self._bars = look_at_bars(self._config)
        is_busy = self._step is not None or launching.holder(self._places.launched(_STEP)) is not None
        now = time.monotonic()
        waits = {name for name, one in self._failures.items() if one.again is None or one.again > now}
        told = frozenset(self._tell.told)
        return self._looker.look(self._bars, is_busy=is_busy, failed_steps=frozenset(waits), reported=told)

    def _take(self, step: Step) -> None:
        if isinstance(step, Child) and self._step is not None:
            return
        try:
            self._carry_out(step)
        except InputError as error:
            self._fail(step.name, str(error), for_good=not isinstance(error, _Unfit))
        else:
            if not isinstance(step, Child):
                self._failures.pop(step.name, None)

    def _fail(self, name: str, text: str, *, for_good: bool) -> None:
        times = 1 + (self._failures[name].times if name in self._failures else 0)
        again = None if for_good or times >= TRIES else time.monotonic() + AGAIN_S * 2 ** (times - 1)
        self._failures[name] = _Failure(times, again, text)
        said = "it is not tried again until the pipeline is started again" if again is None else "it is tried again"
        self._tell.say(f"failed      {name}: {text}; {said}", step=name)

    def _carry_out(self, step: Step) -> None:
        places = self._places
        match step:
            case Wait():
                pass
            case Report(key, text):
                self._tell.report(key, f"report      {text}")
            case StartShadow():
                self._launch(str(step.trader), self._given.of_shadow(step, places), step)
            case StartChampion():
                self._launch(str(step.trader), self._given.of_champion(step, places), step)
            case StartExchange(account):
                self._launch(exchange_name(account), self._given.of_exchange(step, places), step)
            case Flatten(trader):
                words = ["trade", "flatten", f"trade.name={trader}", "reason=no champion", f"runs_dir={places.runs}"]
                self._launch(step.name, words, step)
            case Stop(trader):
                self._say_once(step)
                _end(holder(places.traders / str(trader)))
            case StopExchange(account):
                self._say_once(step)
                _end(launching.holder(places.launched(exchange_name(account))))
            case Record(checksum, trader, kind):
                figures = deployment.figures_of(places.traders / str(trader.name))
                self._registry.record(checksum, kind, {**figures, "trader": str(trader.name)})
                self._tell.log.info(str(step), decisions=figures["decisions"], drawdown=figures["drawdown"])
            case Judge(checksum, state):
                self._judge(checksum, state)
            case RollBack(checksum, gates):
                figures = as_figures(gates)
                _, new = self._registry.roll_back(said(gates), figures)
                self._tell.report(
                    f"{step.name} {time.time():.0f}", f"rolled back {checksum[:12]} to {new[:12]}: {said(gates)}", gates=figures
                )
            case Retire(checksum, gates):
                figures = as_figures(gates)
                self._registry.change(checksum, "retired", said(gates), figures)
                self._tell.report(
                    step.name, f"retired     {checksum[:12]}, which has no predecessor: {said(gates)}", gates=figures
                )
            case _:
                self._begin(step)

    def _say(self, step: Step) -> None:
        verb, _, rest = str(step).partition(" ")
        self._tell.say(f"{verb:<11} {rest}")

    def _say_once(self, step: Step) -> None:
        """Of what is asked for again at every look until it has come about."""
        if step.name not in self._asked:
            self._asked.add(step.name)
            self._say(step)

    def _judge(self, checksum: str, state: str) -> None:
        """Promoted or, with the gates that do not hold, retired: it is not judged again.

        Raises _Unfit for a candidate of which something is unknown, broken or slow that says nothing of what it is worth.
        """
        judged = judge(self._registry, checksum, self._config.gates)
        figures = as_figures(judged.gates)
        if state == "candidate" and judged.refused and not any(gate.is_statistical for gate in judged.refused):
            raise _Unfit(f"{checksum[:12]} stays {state}: {said(judged.refused)}")
        if judged.refused:
            text = f"refused     {checksum[:12]} stays {state} and is retired: {said(judged.refused)}"
            self._registry.change(checksum, "retired", said(judged.refused), figures)
            self._tell.report(f"refused {checksum}", text, gates=figures)
        else:
            self._registry.change(checksum, judged.after, "it passed the gates" if judged.gates else "it is validated", figures)
            self._tell.say(f"promoted    {checksum[:12]} from {state} to {judged.after}", gates=figures)

    def _launch(self, name: str, words: list[str], step: Step) -> None:
        child = launching.launch(words, self._places.launched(name), self._places.log(name))
        if child is not None:
            self._say(step)
            self._children[name] = child

    def _begin(self, step: Child) -> None:
        """A process of its own, which is waited for; one of an earlier pipeline that still runs is not disturbed."""
        assert self._bars is not None
        words = self._given.of_step(step, self._bars, self._places)
        if isinstance(step, Validate) and launching.holder(self._places.launched(_STEP)) is None:
            shutil.rmtree(self._places.runs / self._places.validation(step.study.name), ignore_errors=True)
        child = launching.launch(words, self._places.launched(_STEP), self._places.log(step.name))
        if child is not None:
            self._say(step)
            self._tell.log.info("command", command=f"cappuccino {' '.join(words)}", log=str(self._places.log(step.name)))
            self._step = step, child

    def _heed_children(self) -> None:
        """What has ended of what this pipeline started."""
        if self._step is not None:
            step, child = self._step
            code = child.poll()
            if code is not None:
                self._step = None
                self._heed_step(step, code)
        for name, child in list(self._children.items()):
            code = child.poll()
            if code is not None:
                del self._children[name]
                self._heed_trader(name, code)

    def _heed_step(self, step: Child, code: int) -> None:
        if isinstance(step, Fetch):
            self._bars = None
        self._failures.pop(step.name, None) if code == 0 else None
        if code != 0:
            self._fail(step.name, f"exit code {code}, {_last_line(self._places.log(step.name))}", for_good=code == 2)

    def _heed_trader(self, name: str, code: int) -> None:
        """A trader that ended before it could tell the registry is told of here; an exchange, and a sale, that failed."""
        last = _last_line(self._places.log(name))
        self._tell.log.info("ended", trader=name, exit_code=code, said=last)
        if code not in deployment.UNTRIED:
            return
        if trader_name(name) is None:
            self._fail(name if name.startswith("flatten") else f"start-{name}", f"exit code {code}, {last}", for_good=True)
            return
        known = [one for one in self._registry.deployments() if one.trader == name]
        if known and known[-1].ended is not None and known[-1].exit_code == code:
            return
        (mine,) = [entry.checksum for entry in self._registry.entries() if short(entry.checksum) in name]
        self._registry.end_deployment(self._registry.begin_deployment(mine, name), code)


def _end(owner: process.Process | None) -> None:
    """Ask a process to end: that one, and not a later one of its number."""
    if owner is not None and owner.pid and process.is_alive(owner):
        with contextlib.suppress(ProcessLookupError):
            os.kill(owner.pid, signal.SIGTERM)


def _last_line(log: pathlib.Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.is_file() else []
    return lines[-1] if lines else "it said nothing"


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """The pipeline's folder for this process. Raises InputError where another pipeline runs."""
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"a pipeline runs in {folder} already: one is enough for a folder of runs") from None
        yield


@contextlib.contextmanager
def opened(given: Given, console: Console) -> Iterator[Pipeline]:
    """The pipeline of a folder of runs, for this process alone."""
    places = Places(pathlib.Path(given.config.runs_dir))
    places.own.mkdir(parents=True, exist_ok=True)
    with (
        _alone(places.own),
        contextlib.closing(Registry(places.runs)) as registry,
        teller(places.own, console) as tell,
    ):
        yield Pipeline(given, places, registry, tell)

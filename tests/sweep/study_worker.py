"""A process that searches a study, for tests that share one or kill it: `study_worker.py MODE URL N_TRIALS [LANES]`.

MODE is `run`, or `die-at-each-write`: a process that dies at its first write, then one that dies at its second, and so on, until
one gets to the end; or `die-of-some`: processes that die of the trials that are DEADLY, until one gets to the end. The latter two
print how many died.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution, distribution_to_json
from optuna.trial import TrialState
from sqlalchemy import event

from cappuccino.sweep.identity import Identity
from cappuccino.sweep.study import SharedStudy, open_study

IDENTITY = Identity(
    data="bars",
    configuration={"agent": {"gamma": 0.9, "epochs": 1}, "seed": 1},
    space={"agent.lr": distribution_to_json(FloatDistribution(0.1, 1.0))},
    objective="score",
)
NAME = "search"
POINTS = [{"x": k / 10} for k in range(10)]
DEADLY = (0.1, 0.4)
"""Values of `x` in a grid of POINTS that kill the process which runs them."""


def open_at(url: str, n_trials: int, **changed: Any) -> SharedStudy:
    """The study that the tests use."""
    usual = {
        "sampler": optuna.samplers.RandomSampler(),
        "pruner": optuna.pruners.NopPruner(),
        "direction": "maximize",
        "identity": IDENTITY,
        "lease_seconds": 600.0,
    }
    return open_study(NAME, url, n_trials=n_trials, **(usual | changed))


def search(url: str, n_trials: int, lanes: int, *, rest_s: float = 0.0, deadly: Sequence[float] = (), **changed: Any) -> None:
    """Claim up to `lanes` trials at a time, renew each and tell it, until no more are to be had."""
    study = open_at(url, n_trials, **changed)
    running: list[tuple[optuna.Trial, int]] = []
    while True:
        while len(running) < lanes and (trial := study.claim()) is not None:
            trial.suggest_float("x", 0.0, 1.0)
            running.append((trial, 1))
            print("claimed", trial.number, flush=True)
        if not running:
            return
        time.sleep(rest_s)
        gone = study.renew([trial for trial, _ in running])
        assert gone == []
        if any(trial.params["x"] in deadly for trial, _ in running):
            os.kill(os.getpid(), signal.SIGKILL)
        for trial, left in running:
            if left == 0:
                state = TrialState.FAIL if trial.number % 5 == 4 else TrialState.COMPLETE
                value = trial.params["x"] if state == TrialState.COMPLETE else None
                assert study.tell(trial, value, state, {"told_by": os.getpid()})
        running = [(trial, left - 1) for trial, left in running if left > 0]


def die_at_write(count: int, log: str | None) -> None:
    """Have this process killed just before its write number `count`: to a database, or to the file `log`."""
    left = [count]

    def write() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and arguments[0] == log and arguments[1] == "a":
            write()

    def on_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split(None, 1)[0] in ("CREATE", "INSERT", "UPDATE"):
            write()

    if log is not None:
        sys.addaudithook(on_event)
    else:
        event.listen(sqlalchemy.Engine, "before_cursor_execute", on_statement)


def until_one_ends(live: Callable[[int], None]) -> None:
    """A process after the other, until one is not killed. live: its life, given how many died before."""
    died = 0
    while True:
        child = os.fork()
        if child == 0:
            live(died)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            print("died", died, flush=True)
            return
        if status != -signal.SIGKILL:
            sys.exit(f"a child ended with {status}")
        died += 1


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    mode, url, number, *rest = sys.argv[1:]
    n_trials, lanes = int(number), int(rest[0]) if rest else 3
    log = url.removeprefix("journal:///") if url.startswith("journal") else None

    def one_write_further(died: int) -> None:
        die_at_write(died + 1, log)
        search(url, n_trials, lanes)

    if mode == "run":
        search(url, n_trials, lanes, rest_s=0.03)
    elif mode == "die-at-each-write":
        until_one_ends(one_write_further)
    else:
        until_one_ends(lambda _: search(url, n_trials, lanes, deadly=DEADLY, points=POINTS[:n_trials]))

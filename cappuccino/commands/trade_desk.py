"""`cappuccino trade status|halt|flatten|resume|accept|review|history`: what a person does about a trader. Imports no JAX."""

from __future__ import annotations

import contextlib
import pathlib
import time

from rich.console import Console
from rich.live import Live

from cappuccino.commands import trade
from cappuccino.config.composition import load_trade_config
from cappuccino.config.roots import DeskConfig, TradeCommandConfig
from cappuccino.deployment import session_of
from cappuccino.errors import Halted, InputError, Refusal
from cappuccino.trading import accept
from cappuccino.trading.clock import RealClock
from cappuccino.trading.folder import CONFIG_NAME, JOURNAL_NAME, locked, running
from cappuccino.trading.history import write_history
from cappuccino.trading.journal import Journal
from cappuccino.trading.latch import KillSwitch
from cappuccino.trading.review import review
from cappuccino.trading.review_table import review_table, write_review
from cappuccino.trading.ruled import stops_in_force
from cappuccino.trading.status import status_of, status_table

REFRESH_S = 2.0
WAIT_S = 180.0
"""Seconds that a halt waits for the trader that runs to end."""


def run(config: DeskConfig) -> None:
    """Do what `config.action` says about the trader `config.trade.name`."""
    folder = pathlib.Path(config.runs_dir) / "traders" / config.trade.name
    if not (folder / JOURNAL_NAME).is_file():
        raise InputError(f"there is no trader in {folder}; trade.name names one that was started")
    console = Console()
    {
        "status": _status,
        "halt": _halt,
        "flatten": _flatten,
        "resume": _resume,
        "accept": _accept,
        "review": _review,
        "history": _history,
    }[config.action](config, folder, console)


def _status(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    if not config.live:
        console.print(status_table(status_of(folder)))
        return
    with Live(status_table(status_of(folder)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(REFRESH_S)
            live.update(status_table(status_of(folder)), refresh=True)


def _throw(config: DeskConfig, folder: pathlib.Path, *, flatten: bool) -> None:
    with contextlib.closing(Journal(folder / JOURNAL_NAME)) as journal:
        KillSwitch(journal, folder, RealClock()).throw(config.reason, "command", flatten=flatten)


def _await_end(folder: pathlib.Path, process: int) -> None:
    patience = time.monotonic() + WAIT_S
    while running(folder) == process:
        if time.monotonic() > patience:
            raise Refusal(
                f"the kill switch is thrown, but process {process} still runs after {WAIT_S:.0f} s: see trader.log in {folder}"
            )
        time.sleep(0.2)


def _halt(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    _throw(config, folder, flatten=False)
    process = running(folder)
    if process is None:
        console.print(f"halted      {folder}: no trader runs; open orders are canceled when it is started")
        return
    _await_end(folder, process)
    console.print(f"halted      {folder}: the trader has canceled its open orders and ended")


def _flatten(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    _throw(config, folder, flatten=True)
    process = running(folder)
    if process is not None:
        _await_end(folder, process)
    else:
        stored = _stored(folder)
        try:
            trade.start(stored, console)
        except Halted:
            console.print(f"flattened   {folder}")
    halt = status_of(folder).halt
    if halt is None or halt.flatten:
        raise Refusal(f"not everything could be sold: see trader.log in {folder}, then say `cappuccino trade flatten` again")
    console.print(f"            {halt.reason}")


def _resume(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    with contextlib.closing(Journal(folder / JOURNAL_NAME)) as journal:
        switch = KillSwitch(journal, folder, RealClock())
        halted, mark = switch.thrown() is not None, journal.last_mark()
        stopped = [] if mark is None else stops_in_force(mark.risk)
        if not halted and not stopped:
            console.print(f"resumed     {folder}: it was neither halted nor stopped by a risk rule")
            return
        switch.release(config.reason, "command")
    if halted:
        console.print(f"resumed     {folder}: start the trader again to go on")
    if stopped:
        console.print(
            f"resumed     {folder}: losses count anew from the next bar on; kept sold until then: {'; '.join(stopped)}"
        )


def _accept(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    stored = _stored(folder)
    with (
        locked(folder),
        contextlib.closing(Journal(folder / JOURNAL_NAME)) as journal,
        trade.venue_of(stored, console) as venue,
    ):
        found = accept.look(journal, venue.broker, venue.clock, stored.trade.fee_bps)
        console.print(found.table)
        if not found.differences:
            return
        if not config.confirm:
            raise Refusal("nothing was taken over; say confirm=true to take over what the table shows")
        accept.take_over(journal, found, venue.clock.now())
        console.print(f"accepted    {folder}: the journal goes on from the venue's figures")


def _history(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    rows = write_history(folder / JOURNAL_NAME, None if config.out is None else pathlib.Path(config.out))
    if config.out is not None:
        console.print(f"history     {config.out}: {rows} orders")


def _review(config: DeskConfig, folder: pathlib.Path, console: Console) -> None:
    rows = review(session_of(folder))
    console.print(review_table(rows))
    if config.out is not None:
        write_review(rows, pathlib.Path(config.out))
        console.print(f"review      {config.out}: {len(rows)} bars")


def _stored(folder: pathlib.Path) -> TradeCommandConfig:
    stored = load_trade_config(folder / CONFIG_NAME)
    if stored.broker.name == "local" and stored.broker.url is None:
        raise InputError(f"{folder} traded on a local exchange of its own, which ended with it; there is nothing to ask")
    return stored

"""How a trader stands, read from its folder without disturbing it."""

from __future__ import annotations

import datetime
import pathlib
from collections import Counter
from typing import Any, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cappuccino.trading.folder import JOURNAL_NAME, running
from cappuccino.trading.journal_reading import read_decisions, read_halts, read_marks, read_orders
from cappuccino.trading.records import FINAL, Halt
from cappuccino.trading.ruled import stops_in_force

RECENT_ORDERS, RECENT_DECISIONS = 8, 4


class Status(NamedTuple):
    """A trader's journal in short. process: None if it does not run. halt: None if it is not halted.

    equity, peak: at closes, in quote currency. open_orders: not known to have ended. states: of all orders, counted.
    """

    folder: pathlib.Path
    process: int | None
    halt: Halt | None
    marks: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    open_orders: list[dict[str, Any]]
    recent: list[dict[str, Any]]
    states: Counter[str]

    @property
    def state(self) -> str:
        """halted, running or stopped."""
        if self.halt is not None:
            return "halted"
        return "running" if self.process is not None else "stopped"


def status_of(folder: pathlib.Path) -> Status:
    """Read a trader's folder. Raises InputError without a journal there."""
    path = folder / JOURNAL_NAME
    orders, halts = read_orders(path), read_halts(path)
    last = halts[-1] if halts else None
    halt = None
    if last is not None and last["is_halted"]:
        halt = Halt(last["at"], True, last["reason"], last["source"], bool(last["flatten"]))
    return Status(
        folder,
        running(folder),
        halt,
        read_marks(path),
        read_decisions(path),
        [order for order in orders if order["state"] not in FINAL],
        orders[-RECENT_ORDERS:],
        Counter(order["state"] for order in orders),
    )


def status_table(status: Status) -> Group:
    """What `cappuccino trade status` shows, within 80 columns."""
    head = Table.grid(padding=(0, 2))
    process = "" if status.process is None else f" (process {status.process})"
    head.add_row("trader", f"{status.folder}")
    head.add_row("state", f"{status.state}{process}")
    if status.halt is not None:
        head.add_row("halted", f"{_time(status.halt.at)} by {status.halt.source}: {status.halt.reason}")
    if status.marks:
        first, last = status.marks[0], status.marks[-1]
        peak = max(mark["equity"] for mark in status.marks)
        head.add_row("last bar", f"{_time(last['bar'])}, marked {_time(last['at'])}")
        change = last["equity"] / first["equity"] - 1
        head.add_row("equity", f"${last['equity']:,.2f} ({change:+.2%} since {_time(first['bar'])})")
        head.add_row("drawdown", f"{1 - last['equity'] / peak:.2%} from ${peak:,.2f}")
        head.add_row("cash", f"${float(last['cash']):,.2f}")
        held = ", ".join(f"{float(quantity):.6g} {asset}" for asset, quantity in last["positions"].items())
        head.add_row("holds", held or "nothing")
        stopped = stops_in_force(last["risk"])
        if stopped:
            head.add_row("kept sold", "; ".join(stopped))
    counts = ", ".join(f"{number} {state}" for state, number in sorted(status.states.items()))
    head.add_row("orders", f"{sum(status.states.values())}: {counts}" if counts else "none yet")
    parts: list[Any] = [head]
    if status.open_orders:
        parts += [Text("\nopen orders", "bold"), _orders(status.open_orders)]
    if status.recent:
        parts += [Text("\nlast orders", "bold"), _orders(status.recent)]
    undecided = [decision for decision in status.decisions if decision["reason"]][-RECENT_DECISIONS:]
    if undecided:
        reasons = Table.grid(padding=(0, 2))
        for decision in undecided:
            reasons.add_row(_time(decision["bar"]), decision["reason"])
        parts += [Text("\nbars without a decision", "bold"), reasons]
    return Group(*parts)


def _orders(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    for name, justify in (("bar", "left"), ("", "left"), ("quantity", "right"), ("filled", "right"), ("price", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("state")
    for row in rows:
        price = "" if row["filled_price"] is None else f"{float(row['filled_price']):,.6g}"
        quantity, filled = (f"{float(row[name]):.6g}" for name in ("quantity", "filled_quantity"))
        table.add_row(_time(row["bar"]), f"{row['side']} {row['asset']}", quantity, filled, price, row["state"])
    return table


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")

"""The whole path in one command: train on a market with something to learn, backtest, export, and paper-trade a week.

    make demo

Each step is a command that you can run yourself; it is printed before it runs.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders

ROOT = pathlib.Path(__file__).parents[1]
WEEK = 7 * 24


def main() -> int:
    """Run the steps and print one table; the exit code of the first step that fails."""
    console = Console()
    _loopback_up()
    name = f"demo-{datetime.datetime.now():%Y-%m-%d_%H-%M-%S}"
    began = time.monotonic()
    seconds: dict[str, float] = {}
    for title, words in (
        ("train", ["train", "experiment=planted", f"name={name}"]),
        ("backtest", ["backtest", f"run={name}", "span=test"]),
        ("export", ["export", f"run={name}"]),
        (
            "paper trade",
            ["trade", f"artifact=runs/{name}/artifact", f"trade.name={name}", f"trade.bars={WEEK}", "trade.fee_bps=10"],
        ),
    ):
        console.rule(f"cappuccino {' '.join(words)}", style="dim")
        start = time.monotonic()
        program = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
        code = subprocess.run([sys.executable, "-c", program, *words], cwd=ROOT, env={**os.environ}).returncode
        if code:
            return code
        seconds[title] = time.monotonic() - start
    _summary(console, name, seconds, time.monotonic() - began)
    return 0


def _loopback_up() -> None:
    """In a fresh network namespace the loopback, over which trader and exchange talk, is there but down."""
    if socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect_ex(("127.0.0.1", 9)):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _summary(console: Console, name: str, seconds: dict[str, float], total: float) -> None:
    run, trader = ROOT / "runs" / name, ROOT / "runs" / "traders" / name
    summary = json.loads((run / "backtest-test.json").read_text())
    journal = trader / "journal.sqlite"
    marks, orders = read_marks(journal), read_orders(journal)
    decided = sum(decision["phase"] == "done" for decision in read_decisions(journal))
    filled = sum(order["state"] == "filled" for order in orders)
    table = Table(title="first light", title_justify="left", show_header=False)
    metrics = summary["metrics"]
    for strategy in ("agent", "equal weight rebalanced", "untrained network", "oracle"):
        growth = metrics[strategy]["mean_log_growth"]
        table.add_row(f"{strategy}, held-out bars", f"{100 * growth:+.4f} % log growth a bar after costs")
    table.add_row(
        "paper trading",
        f"{decided} decisions, {filled} of {len(orders)} orders filled, ${marks[0]['equity']:,.0f} to ${marks[-1]['equity']:,.0f}",
    )
    for title, value in seconds.items():
        table.add_row(f"time of {title}", f"{value:.0f} s")
    table.add_row("time in all", f"{total:.0f} s")
    table.add_row("report", str((run / "backtest-test.html").relative_to(ROOT)))
    table.add_row("trader's journal and log", str(trader.relative_to(ROOT)))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

"""A review as a person reads it, and as CSV."""

from __future__ import annotations

import csv
import datetime
import pathlib
from collections.abc import Sequence

from rich.console import Group
from rich.table import Table

from cappuccino.trading.review import CAUSES, ReviewedBar

MEANING = {
    "bars": "restated, late and missing bars",
    "risk": "risk rules",
    "sizing": "increments and buying power",
    "no_decision": "bars without a decision",
    "unfilled": "orders that did not fill, or in part",
    "price": "fill prices against the model's",
    "fees": "fees against the model's",
    "delays": "fills learnt of after their bar",
    "halt": "a flattening",
}


def review_table(rows: Sequence[ReviewedBar]) -> Group:
    """Sums over the session, in quote currency, and the bar that explains itself least; within 80 columns."""
    first, last = rows[0], rows[-1]
    head = Table.grid(padding=(0, 2))
    head.add_row("bars", f"{len(rows)}, {_time(first.bar)} to {_time(last.bar)}")
    head.add_row("orders", f"{sum(row.orders for row in rows)} filled")
    head.add_row("account", f"${last.actual:,.2f}")
    head.add_row("backtest", f"${last.backtest:,.2f}, not interrupted")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("cause of the difference")
    table.add_column("sum, $", justify="right")
    table.add_column("worst bar", justify="right")
    table.add_column("")
    for cause in CAUSES:
        amounts = [row.causes[cause] for row in rows]
        if any(abs(amount) >= 0.005 for amount in amounts):
            table.add_row(cause, f"{sum(amounts):+,.2f}", f"{max(amounts, key=abs):+,.2f}", MEANING[cause])
    for name, meaning in (("carried", "what earlier differences changed in holdings"), ("unexplained", "none of these")):
        amounts = [getattr(row, name) for row in rows]
        table.add_row(name, f"{sum(amounts):+,.2f}", f"{max(amounts, key=abs):+,.2f}", meaning)
    total = last.actual - last.backtest
    table.add_row("total", f"{total:+,.2f}", "", "account less backtest")
    return Group(head, "", table)


def write_review(rows: Sequence[ReviewedBar], out: pathlib.Path) -> None:
    """A line for each bar; times are ISO, UTC, amounts in quote currency."""
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("bar", "orders", "actual", "model", "backtest", *CAUSES, "carried", "unexplained"))
        for row in rows:
            figures = (row.actual, row.model, row.backtest, *row.causes.values(), row.carried, row.unexplained)
            at = datetime.datetime.fromtimestamp(row.bar, datetime.UTC).isoformat()
            writer.writerow((at, row.orders, *(f"{figure:.6f}" for figure in figures)))


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M")

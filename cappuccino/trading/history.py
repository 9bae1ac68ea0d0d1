"""A trader's orders as CSV."""

from __future__ import annotations

import csv
import datetime
import pathlib
import sys
from decimal import Decimal

from cappuccino.trading.journal_reading import read_orders

COLUMNS = ("sent", "bar", "asset", "side", "quantity", "filled", "price", "value", "state", "order", "error")


def write_history(journal: pathlib.Path, out: pathlib.Path | None) -> int:
    """Write all orders, oldest first, to a file, or to standard output; how many. Times are ISO, UTC; value is before fees."""
    rows = read_orders(journal)
    lines = []
    for row in rows:
        price = row["filled_price"]
        value = "" if price is None else f"{Decimal(row['filled_quantity']) * Decimal(price):.2f}"
        lines.append(
            (
                "" if row["sent_at"] is None else _iso(row["sent_at"]),
                _iso(row["bar"]),
                row["asset"],
                row["side"],
                row["quantity"],
                row["filled_quantity"],
                price or "",
                value,
                row["state"],
                row["client_order_id"],
                row["error"] or "",
            )
        )
    if out is None:
        csv.writer(sys.stdout).writerows([COLUMNS, *lines])
    else:
        with out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *lines])
    return len(rows)


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")

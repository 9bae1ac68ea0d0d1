"""A plan as a table on the terminal, for a dry run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table


def print_plan(
    title: str,
    assets: Sequence[str],
    closes: Float[np.ndarray, "A"],
    weights: Float[np.ndarray, "A"],
    targets: Float[np.ndarray, "A"],
    sells: Float[np.ndarray, "A"],
    buys: Float[np.ndarray, "A"],
) -> None:
    """Print one line for each asset and one for cash; quantities in base units, worth in quote currency."""
    table = Table(title=title)
    for name in ("asset", "close", "weight", "target", "order", "quantity", "worth"):
        table.add_column(name, justify="left" if name in ("asset", "order") else "right")
    for index, asset in enumerate(assets):
        quantity = sells[index] + buys[index]
        side = "sell" if sells[index] > 0 else "buy" if buys[index] > 0 else "-"
        size = (f"{quantity:.9f}", f"{quantity * closes[index]:,.2f}") if quantity > 0 else ("", "")
        table.add_row(asset, f"{closes[index]:,.6g}", f"{weights[index]:.2%}", f"{targets[index]:.2%}", side, *size)
    table.add_row("cash", "", f"{1 - weights.sum():.2%}", f"{1 - targets.sum():.2%}", "", "", "")
    Console().print(table)

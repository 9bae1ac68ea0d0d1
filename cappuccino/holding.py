"""What buying once and holding means: the same for the baselines of a backtest and those beside a trader. Imports nothing."""

from __future__ import annotations

BUYING_BARS = 2
"""Bars at the start in which the cash left is spent: one order for all of it fills only to 1 / (1 + the venue's buying-power
margin)."""

CASH = "cash"
EQUAL_HELD = "equal weight held"


def held_asset(assets: tuple[str, ...]) -> str:
    """The asset that is held alone: BTC where the market has it, its first asset otherwise."""
    return "BTC" if "BTC" in assets else assets[0]


def held_name(assets: tuple[str, ...]) -> str:
    """Name of the single-asset baseline."""
    return f"{held_asset(assets)} held"

"""OHLCV bars: the table, its sources and what can be said of their quality."""

from cappuccino.bars.table import BarTable, Origin

__all__ = ["BarTable", "Origin"]

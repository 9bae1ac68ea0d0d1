"""A trader in a process of its own: python run_trader.py URL FOLDER ROWS BARS, on `walk(ROWS)`'s exchange at URL."""

from __future__ import annotations

import pathlib
import sys

from trading_scenarios import manifest_of, trader, walk

if __name__ == "__main__":
    url, folder, rows, bars = sys.argv[1:]
    trader(url, pathlib.Path(folder), manifest_of(walk(int(rows))), bars=int(bars)).run()

"""A trader in a process of its own: python run_trader.py URL FOLDER ROWS BARS, on `walk(ROWS)`'s exchange at URL."""

from __future__ import annotations

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from loopback import walk
from trading_scenarios import manifest_of, trader

if __name__ == "__main__":
    url, folder, rows, bars = sys.argv[1:]
    trader(url, pathlib.Path(folder), manifest_of(walk(int(rows))), bars=int(bars)).run()

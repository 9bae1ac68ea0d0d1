"""A market without anything to find: is nothing what is found? `known_markets.py` says how it is asked."""

from __future__ import annotations

import sys

from known_markets import main

if __name__ == "__main__":
    sys.exit(main("martingale", sys.argv[1:]))

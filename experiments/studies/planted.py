"""A market with something to find: is it found? `known_markets.py` says how it is asked."""

from __future__ import annotations

import sys

from known_markets import main

if __name__ == "__main__":
    sys.exit(main("planted", sys.argv[1:]))

"""`python train.py ...` is `cappuccino train ...`."""

import sys

from cappuccino.cli import train_main

if __name__ == "__main__":
    sys.exit(train_main())

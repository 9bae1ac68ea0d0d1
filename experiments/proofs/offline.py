"""`make demo` in an empty network namespace: nothing is fetched, and nothing but the loopback is there to be opened.

Needs Linux's unshare and the right to make a namespace; installation has to be done before (`make setup`).
"""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def main() -> int:
    """The exit code of `make demo` in a network namespace of its own."""
    code = subprocess.run(["unshare", "-rn", "make", "demo"], cwd=ROOT).returncode
    print(f"make demo in an empty network namespace: {'passed' if code == 0 else f'failed with {code}'}")
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Orders under everything that a venue, a wire and a process can do to them: many examples of tests/trading/test_state_machine.py.

    python experiments/proofs/order_states.py [--examples 20000] [--seed 0]

Hypothesis draws sequences of bars, failing calls, partial fills, resting and stuck orders, races, stale reads, orders that turn up
hours late, halts, crashes in the middle of any call, and restarts. The same seed draws the same sequences. The exit code is 0 if in
all of them an intent had one order at most, nothing was sent while halted, and journal and venue agreed in the end.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEST = ROOT / "tests" / "trading" / "test_state_machine.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            str(TEST),
            f"--hypothesis-seed={options.seed}",
            "-p",
            "no:cacheprovider",
            "--timeout=0",
        ],
        env={**os.environ, "STATE_MACHINE_EXAMPLES": str(options.examples), "TYPECHECK": "off"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        print(done.stdout[-8000:] + done.stderr[-2000:])
    verdict = "holds" if done.returncode == 0 else "DIFFERS"
    print(f"{options.examples:,} examples, seed {options.seed}, {time.monotonic() - begun:.0f} s: {verdict}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())

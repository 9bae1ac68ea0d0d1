"""Markets of which it is known what there is to find: nothing in a martingale, something in a planted one. Is that what is found?

`martingale.py` and `planted.py` beside this run it: [--first 100] [--markets 20] [--env-steps N] [--seeds 3].

Three assets, 20,000 bars, combinatorial purged cross-validation (4, 1), the fee of experiment=planted. The rule of the verdict is that
of conf/verdict/default.yaml. Everything was chosen on markets 0 to 19; those reported are 100 to 119.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from cappuccino.assemble import load_market
from cappuccino.config import compose
from cappuccino.evaluation.folds import folds_of
from cappuccino.training.device import cpu_devices, select_device
from cappuccino.validation.crossed import run_folds, tasks_of
from cappuccino.validation.trained import train_all
from cappuccino.validation.verdict import Verdict, judge

BARS = 20_000
MOST_WRONG = 1
WORDS = (
    "name=study",
    "experiment=planted",
    f"data.bars={BARS}",
    "data.train_end=null",
    "data.valid_end=null",
    "validation.groups=4",
    "validation.test_groups=1",
)


def judged(kind: str, number: int, env_steps: int, seeds: int, console: Console) -> Verdict:
    """The verdict on one market."""
    words = [*WORDS, f"data.kind={kind}", f"data.seed={number}", f"training.env_steps={env_steps}", f"seeds={seeds}"]
    config = compose("validate", words)
    data = load_market(config.data, tuple(config.features.names), config.network.lookback)
    folds = folds_of(config.validation, data.spec, config.network.lookback, config.env.episode_bars, BARS)
    own = range(config.seed, config.seed + seeds)
    trained = train_all(tasks_of(config, data, folds.folds, own), data, console)
    return judge(run_folds(config, data, folds, trained, own), config.verdict, np.zeros(0))


def main(kind: str, argv: Sequence[str]) -> int:
    """0 if at most MOST_WRONG markets are judged wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--markets", type=int, default=20)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(argv)
    select_device("auto", cpu_devices(None))
    quiet = Console(quiet=True)
    expected, right, begun = kind == "planted", 0, time.monotonic()
    for number in range(given.first, given.first + given.markets):
        verdict = judged(kind, number, given.env_steps, given.seeds, quiet)
        right += verdict.found == expected
        active = verdict.active
        print(
            f"  market {number}: growth beyond {verdict.benchmark} {1e4 * active.estimate:+.3f} ({1e4 * active.low:+.3f} to "
            f"{1e4 * active.high:+.3f}) of 1e-4 a bar, deflated Sharpe {verdict.deflated:.3f}: "
            f"{'found' if verdict.found else 'nothing found'}",
            flush=True,
        )
    good = right >= given.markets - MOST_WRONG
    print(
        f"{kind}: {'found' if expected else 'nothing found'} in {right} of {given.markets}, at least "
        f"{given.markets - MOST_WRONG}: {'reached' if good else 'FALLS SHORT'}; {time.monotonic() - begun:.0f} s"
    )
    return 0 if good else 1

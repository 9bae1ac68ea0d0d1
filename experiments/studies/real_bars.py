"""Seven coins, hourly, October 2020 to April 2024: is there anything for PPO or the analytic gradient to find after costs?

    python experiments/studies/real_bars.py [--bars FOLDER] [--env-steps N] [--seeds 3]

Combinatorial purged cross-validation (6, 2), three seeds, both agents, at fees of 25 and 15 bps and at none; half-spread and slippage as
they are. All six configurations count as tried. The rule of the verdict is that of conf/verdict/default.yaml.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console

from cappuccino.assemble import load_market
from cappuccino.config import compose
from cappuccino.config.roots import ValidateConfig
from cappuccino.evaluation.folds import folds_of
from cappuccino.evaluation.metrics import bars_a_year
from cappuccino.training.device import cpu_devices, select_device
from cappuccino.validation.crossed import Crossed, run_folds, tasks_of
from cappuccino.validation.table import print_figures
from cappuccino.validation.trained import train_all
from cappuccino.validation.verdict import hedged_ratio, judge, sentence

ROOT = pathlib.Path(__file__).resolve().parents[2]
BARS = ROOT.parent / "shared/data/binance_1h"
FEES = (25, 15, 0)
AGENTS = {"ppo": (), "apg": ("training.patience=4",)}


class Validated(NamedTuple):
    """What came of one configuration."""

    config: ValidateConfig
    crossed: Crossed


def configured(agent: str, fee: int, bars: pathlib.Path, env_steps: int, seeds: int) -> ValidateConfig:
    words = ["data=files", f"data.path={bars}", "data.train_end=null", "data.valid_end=null", "name=study"]
    words += [
        f"agent={agent}",
        *AGENTS[agent],
        f"costs.taker_fee_bps={fee}",
        f"training.env_steps={env_steps}",
        f"seeds={seeds}",
    ]
    return compose("validate", words)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=pathlib.Path, default=BARS)
    parser.add_argument("--env-steps", type=int, default=1_000_000)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(argv)
    begun = time.monotonic()
    console = Console(width=120)
    console.print(f"device      {select_device('auto', cpu_devices(None))}")
    found: dict[str, Validated] = {}
    for agent in AGENTS:
        configs = {fee: configured(agent, fee, given.bars, given.env_steps, given.seeds) for fee in FEES}
        first = configs[FEES[0]]
        data = load_market(first.data, tuple(first.features.names), first.network.lookback)
        stop = len(data.spec.timestamps)
        folds = folds_of(first.validation, data.spec, first.network.lookback, first.env.episode_bars, stop)
        seeds = range(first.seed, first.seed + given.seeds)
        tasks = {
            (fee, *key): task._replace(name=f"{agent} at {fee} bps, {task.name}")
            for fee, config in configs.items()
            for key, task in tasks_of(config, data, folds.folds, seeds).items()
        }
        at = time.monotonic()
        trained = train_all(tasks, data, console)
        steps = sum(one.env_steps for one in trained.values())
        console.print(
            f"{agent}: {len(trained)} trainings, {steps:,} env steps, at least {min(one.env_steps for one in trained.values()):,} each, "
            f"{time.monotonic() - at:.0f} s"
        )
        for fee, config in configs.items():
            own = {key[1:]: one for key, one in trained.items() if key[0] == fee}
            found[f"{agent}, {fee} bps"] = Validated(config, run_folds(config, data, folds, own, seeds))
    tried = np.array([hedged_ratio(one.crossed) for one in found.values()])
    for name, (config, crossed) in found.items():
        verdict = judge(crossed, config.verdict, tried)
        said = sentence(verdict, crossed, config.verdict, bars_a_year(crossed.agent[0][0].bar_seconds))
        console.print(f"\n{name}", style="bold")
        print_figures(crossed, console)
        console.print(said, highlight=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    console.print(f"\n{time.monotonic() - begun:.0f} s in all, {peak:.2f} GiB at most")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

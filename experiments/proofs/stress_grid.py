"""A year of hourly bars under 1,000 settings of cost and delay: seconds when compiled and before, and memory.

    python experiments/proofs/stress_grid.py [--bars 8760] [--repeats 5]

Seven assets, the default network untrained, the settings of `conf/stress/default.yaml`, as many devices as there are cores. Beside it
the same settings without the delays, and with delays that are all zero, in turn with it.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

import jax
import numpy as np

from cappuccino.assemble import load_market, training_of
from cappuccino.config.composition import compose, conf_dir
from cappuccino.config.stress import StressConfig
from cappuccino.evaluation.backtest import policy_strategy
from cappuccino.evaluation.cost_grid import equity_by_costs, mean_log_growth
from cappuccino.evaluation.stress import settings_of
from cappuccino.mesh import mesh_of

ASSETS = "data.assets=[BTC,ETH,SOL,XRP,LTC,LINK,DOGE]"
BAR = 10.0
"""Seconds, compiled before."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=8760)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)

    config = compose("train", [f"data.bars={options.bars + 1500}", ASSETS])
    lookback = config.network.lookback
    training = training_of(config, load_market(config.data, tuple(config.features.names), lookback))
    strategy = policy_strategy(training.policy(training.weights), lookback)
    market, spec, params = training.data.market, training.data.spec, training.params.env
    rows = spec.decision_rows(0, len(spec.timestamps) - 1, lookback)[: options.bars]
    settings = settings_of(shipped())
    number = len(settings.taker_fee)
    ways = {
        "delays 0 to 3": settings,
        "delays all 0": settings._replace(delay=np.zeros(number, int)),
        "no delays": settings._replace(delay=None),
    }
    devices = jax.devices()
    print(
        f"{len(rows):,} bars of {len(spec.assets)} assets, {number:,} settings, {len(devices)} devices: {devices[0].device_kind}"
    )

    def seconds(name: str) -> tuple[float, np.ndarray]:
        begun = time.perf_counter()
        equity = np.asarray(equity_by_costs(strategy, market, rows, params, ways[name], mesh_of()))
        return time.perf_counter() - begun, equity

    first = {name: seconds(name) for name in ways}
    again = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name in ways:
            again[name].append(seconds(name)[0])
    print(f"{'':16}{'first, s':>10}{'median, s':>11}{'all, s':>8}")
    for name in ways:
        print(f"{name:16}{first[name][0]:10.2f}{np.median(again[name]):11.2f}   {' '.join(f'{s:.2f}' for s in again[name])}")

    growth = {name: mean_log_growth(equity, rows, float(params.capital)) for name, (_, equity) in first.items()}
    apart = float(np.abs(growth["delays all 0"] - growth["no delays"]).max())
    print(f"delays all 0 and none differ by {apart:.1e} of mean log growth per bar")
    for delay in np.unique(settings.delay):
        some = growth["delays 0 to 3"][settings.delay == delay]
        print(f"delay {delay}: mean log growth per bar {some.min():.2e} to {some.max():.2e}")
    # Of this process on Linux, in KiB.
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    good = float(np.median(again["delays 0 to 3"])) < BAR and apart < 1e-6
    print(f"{'holds' if good else 'FAILS'}: in under {BAR:g} s, and no delay is a delay of 0")
    return 0 if good else 1


def shipped() -> StressConfig:
    """The values of `conf/stress/default.yaml`."""
    import yaml

    values = yaml.safe_load((conf_dir() / "stress" / "default.yaml").read_text())
    del values["defaults"]
    return StressConfig(**values)


if __name__ == "__main__":
    sys.exit(main())

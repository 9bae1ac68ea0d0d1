"""An exported policy decides what the trainer decides, and a process without JAX loads it quickly and in little memory.

python experiments/proofs/artifact.py [--env-steps 500000]
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from cappuccino.artifact.export import largest_difference
from cappuccino.artifact.runtime import load_artifact
from cappuccino.assemble import env_params, load_market, network_shape
from cappuccino.evaluation.backtest import backtest_span, policy_strategy
from cappuccino.market import windows
from cappuccino.training.run import Run

ROOT = pathlib.Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "binance_1h"
PROGRAM = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
OBSERVATIONS = 10_000
TOLERANCE = 1e-5

STAGES = {
    "runtime alone": (100, 1.0, ""),
    "with features": (
        200,
        2.5,
        """
from cappuccino.features.registry import FeatureSet
from cappuccino.bars.table import BarTable, Origin
rng = np.random.default_rng(0)
T, A = manifest.warmup + manifest.lookback, len(manifest.assets)
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (T, A)), axis=0))
opening = np.vstack([close[:1], close[:-1]])
bars = BarTable(manifest.assets, manifest.bar_seconds, 3600 * np.arange(T), opening, np.maximum(opening, close) * 1.001,
    np.minimum(opening, close) * 0.999, close, rng.lognormal(5, 1, (T, A)), np.ones((T, A), bool), np.zeros(T, int),
    Origin("proof", "proof", "USD"))
window = FeatureSet(manifest.features, manifest.bar_seconds).compute(bars)[-manifest.lookback:]
""",
    ),
    "with the Alpaca broker": (250, 5.0, None),
}
CHILD = """
import sys, time
began = {began}
import numpy as np
from cappuccino.artifact.runtime import load_artifact
artifact = load_artifact({path!r})
manifest = artifact.manifest
window = np.zeros((manifest.lookback, len(manifest.assets), len(manifest.features)))
{body}
targets = artifact.decide(window, np.zeros(len(manifest.assets)))
seconds = time.time() - began
import json
# Not getrusage: what it calls the peak includes that of the parent, from before the program was loaded.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(dict(seconds=seconds, megabytes=peak / 1024,
    jax=sorted(name for name in sys.modules if name.split('.')[0] in ('jax', 'jaxlib', 'flax')))))
"""
BROKER = "from cappuccino.broker.alpaca import AlpacaBroker\nAlpacaBroker('local', 'local', trading_url='http://127.0.0.1:9')\n"


def main(argv: list[str]) -> int:
    """0 if all figures are within their bounds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env-steps", type=int, default=500_000)
    parser.add_argument("--networks", nargs="*", default=["mlp", "per_asset", "conv", "transformer"])
    parser.add_argument("--fastest", action="store_true", help="judge the fastest start, not the median: on a busy machine")
    arguments = parser.parse_args(argv)
    good = True
    for network in arguments.networks:
        with tempfile.TemporaryDirectory() as runs:
            _cappuccino(
                "train",
                "data=files",
                f"data.path={SHARED}",
                "data.train_end=2023-01-01",
                "data.valid_end=2023-09-01",
                f"network={network}",
                f"training.env_steps={arguments.env_steps}",
                f"runs_dir={runs}",
                "name=run",
            )
            _cappuccino("export", "run=run", f"runs_dir={runs}")
            good &= _same_decisions(Run.find("run", runs), network)
            if network == arguments.networks[0]:
                good &= _cheap(pathlib.Path(runs) / "run" / "artifact", min if arguments.fastest else statistics.median)
    return 0 if good else 1


def _cappuccino(*words: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def _same_decisions(run: Run, network: str) -> bool:
    """Recorded observations: windows of the test and validation span with the weights that the policy had there."""
    own, best = run.config, run.best()
    data = load_market(own.data, tuple(own.features.names), own.network.lookback)
    policy = run.policy(best, network_shape(own.network, data.spec))
    params = env_params(own.costs, own.risk, own.env, data.spec.assets)
    paths = [
        backtest_span(policy_strategy(policy, own.network.lookback), data.market, data.spec, span, own.network.lookback, params)
        for span in (data.spans.valid, data.spans.test)
    ]
    rows = np.concatenate([path.rows for path in paths])[:OBSERVATIONS]
    weights = np.concatenate([path.weights[:-1] for path in paths])[:OBSERVATIONS]
    seen = np.asarray(windows(data.market.features, jnp.asarray(rows, jnp.int32), own.network.lookback))
    gap = largest_difference([policy], load_artifact(run.folder / "artifact"), seen, np.clip(weights, 0, 1))
    print(
        f"{network:<10} {len(rows):,} recorded observations: ONNX and trainer differ by at most {gap:.1e}, allowed {TOLERANCE:.0e}"
    )
    return gap <= TOLERANCE and len(rows) == OBSERVATIONS


def _cheap(artifact: pathlib.Path, of: Callable[[list[float]], float]) -> bool:
    """Seconds from the start of the process to its first decision, and its peak memory, of five starts each."""
    good = True
    features = STAGES["with features"][2]
    for name, (megabytes, seconds, body) in STAGES.items():
        program = features + BROKER if body is None else body
        found = [json.loads(_child(artifact, program)) for _ in range(5)]
        took, used = (of([float(one[key]) for one in found]) for key in ("seconds", "megabytes"))
        fine = took < seconds and used < megabytes and not any(one["jax"] for one in found)
        good &= fine
        print(
            f"{name:<23} {used:4.0f} MB of {megabytes}, {took:.2f} s of {seconds} to the first decision, JAX modules loaded: "
            f"{len(found[0]['jax']) or 'none'}: {'reached' if fine else 'FALLS SHORT'}"
        )
    return good


def _child(artifact: pathlib.Path, body: str) -> str:
    # The clock starts before the process does.
    import time

    program = CHILD.format(began=time.time(), path=str(artifact), body=body)
    return subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env={**os.environ}
    ).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

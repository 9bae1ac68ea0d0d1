"""A trader left alone for a season: one process, a stepped clock, an exchange at which everything goes wrong now and then.

    python experiments/proofs/soak.py [--days 90] [--seed 0]

The exchange answers, fills and serves bars by the random fault plan of conf/faults/random.yaml. In the middle somebody adds five
dollars to the account. What must hold at the end:

    memory      the median resident memory of the last day is within 2 % of the second day's (from 10 days on), and never above 250 MB
    latency     from bars parsed to orders planned takes less than 20 ms at the 99th percentile
    review      at every bar the unexplained part of the difference to the backtest is at most 0.1 % of the sum of the absolute causes
                and one cent an order
    planted     but where the five dollars came: there they stand as unexplained
    decided     at nine of ten bars, at least, something was decided: faults cost some
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
from trader_kills import MARKET, ROOT, make_artifact

PLANTED = 5.0
HOURS = 24
MAX_MB, MAX_GROWTH, MAX_LATENCY_S = 250.0, 0.02, 0.02
LEAD_BARS = 720
"""Bars before the first decision: the features' warm-up and what their drift is judged on."""


def market(days: int) -> list[str]:
    return [f"data.bars={LEAD_BARS + HOURS * days + 2}" if word.startswith("data.bars=") else word for word in MARKET]


def worker(url: str, folder: str, artifact: str, bars: int, plant_at: int) -> None:
    """Trade, and write a line of JSON for each bar to standard output."""
    from cappuccino.artifact.manifest import checksum
    from cappuccino.artifact.runtime import load_artifact
    from cappuccino.broker.alpaca import AlpacaBroker
    from cappuccino.broker.exchange.process import ExchangeControl
    from cappuccino.config import compose
    from cappuccino.trading.clock import ExchangeClock
    from cappuccino.trading.log import Log
    from cappuccino.trading.settings import TraderSettings
    from cappuccino.trading.trader import Trader
    from cappuccino.trading.watch import BarReport, Unwatched, Watch

    class Recorder(Unwatched):
        handled = 0

        def bar(self, report: BarReport) -> None:
            self.handled += 1
            if self.handled == plant_at:
                ExchangeControl(url).adjust(cash=str(PLANTED))
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
            line = {"bar": report.bar, "mb": pages * resource.getpagesize() / 2**20, "latency_s": report.latency_s}
            print(json.dumps({**line, "reason": report.reason, "planted": self.handled == plant_at}), flush=True)

    @contextlib.contextmanager
    def watched(log: Log) -> Iterator[Watch]:
        del log
        yield Recorder()

    loaded, clock = load_artifact(artifact), ExchangeClock(url, "stepped")
    limits = compose("trade", [f"artifact={artifact}"]).risk.limits
    settings = TraderSettings(
        folder=pathlib.Path(folder),
        capital=Decimal(100_000),
        max_hole_bars=24,
        bars=bars,
        allow_outside=loaded.manifest.features,
        foreign="adopt",
        limits=limits,
    )
    # Time stands still between two questions, so there is nothing to sleep for.
    broker = AlpacaBroker("local", "local", trading_url=url, sleep=lambda _: None, now=clock.now)
    Trader(loaded.manifest, checksum(loaded.manifest), loaded.decide, broker, clock, settings, watched).run()


def soak(folder: pathlib.Path, days: int, seed: int) -> tuple[list[dict[str, Any]], Counter[str], pathlib.Path]:
    """What the trader said of each bar, the faults that there were, and its artifact."""
    from cappuccino.broker.exchange.config import ExchangeConfig
    from cappuccino.broker.exchange.process import ExchangeControl, start_exchange
    from cappuccino.config import compose
    from cappuccino.sources import load_bars

    artifact = make_artifact(folder, market(days))
    bars = load_bars(compose("train", market(days)).data)
    faults = compose("exchange", ["faults=random", f"faults.seed={seed}"]).faults.plan
    number = HOURS * days
    with start_exchange(bars, LEAD_BARS - 1, ExchangeConfig(faults=faults)) as exchange:
        words = [exchange.url, str(folder / "trader"), str(artifact), str(number), str(number // 2)]
        ran = subprocess.run([sys.executable, __file__, "--worker", *words], cwd=ROOT, capture_output=True, text=True)
        if ran.returncode != 0:
            raise SystemExit(f"the trader ended with {ran.returncode}:\n{ran.stdout[-500:]}\n{ran.stderr[-3000:]}")
        met = Counter(ExchangeControl(exchange.url).faults())
    return [json.loads(line) for line in ran.stdout.splitlines()], met, artifact


def reviewed(folder: pathlib.Path, artifact: pathlib.Path) -> Any:
    from cappuccino.artifact.runtime import load_artifact
    from cappuccino.trading.review import review
    from cappuccino.trading.session import load_session

    loaded = load_artifact(artifact)
    return review(load_session(folder, loaded.manifest, loaded.decide, max_hole_bars=24, venue_fee=0.0025))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, holds = time.monotonic(), True

    def said(name: str, text: str, good: bool) -> None:
        nonlocal holds
        holds &= good
        print(f"{name:<10}{text}: {'holds' if good else 'FALLS SHORT'}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bars, met, artifact = soak(folder, options.days, options.seed)
        rows = reviewed(folder / "trader", artifact)
    decided = [bar for bar in bars if bar["reason"] is None]
    print(f"{len(bars)} bars in {time.monotonic() - begun:.0f} s; {len(decided)} with a decision")
    print(f"faults: {', '.join(f'{count} {fault}' for fault, count in sorted(met.items()))}")
    why = Counter(" ".join(str(bar["reason"]).split()[:6]) for bar in bars if bar["reason"] is not None)
    for reason, count in why.most_common(8):
        print(f"  {count} bars without a decision: {reason} ...")
    said("decided", f"{len(decided) / len(bars):.1%} of bars", len(decided) >= 0.9 * len(bars))

    by_day = [statistics.median(bar["mb"] for bar in bars[k : k + HOURS]) for k in range(0, len(bars), HOURS)]
    growth, most = by_day[-1] / by_day[1] - 1, max(bar["mb"] for bar in bars)
    said(
        "memory",
        f"second day {by_day[1]:.1f} MB, last {by_day[-1]:.1f} MB ({growth:+.2%}), at most {most:.1f} MB",
        most < MAX_MB and (abs(growth) <= MAX_GROWTH or options.days < 10),
    )
    latency = np.percentile([bar["latency_s"] for bar in decided], [50, 99, 100]) * 1e3
    said(
        "latency",
        f"median {latency[0]:.1f} ms, 99 % {latency[1]:.1f} ms, longest {latency[2]:.1f} ms",
        latency[1] < 1e3 * MAX_LATENCY_S,
    )

    planted_at = next(bar["bar"] for bar in bars if bar["planted"])
    over = []
    for row in rows:
        bound = 0.001 * sum(map(abs, row.causes.values())) + 0.01 * row.orders
        if abs(row.unexplained) > bound:
            over.append((row, bound))
    others = [(row, bound) for row, bound in over if not planted_at <= row.bar <= planted_at + 2 * 3600]
    said("review", f"{len(rows)} bars, {len(others)} with more unexplained than allowed", not others)
    for row, bound in others[:5]:
        print(f"  bar {row.bar}: {row.unexplained:+.4f} dollars, at most {bound:.4f}; causes {row.causes}")
    found = sum(row.unexplained for row, _ in over if planted_at <= row.bar <= planted_at + 2 * 3600)
    said(
        "planted",
        f"{found:+.2f} dollars stand as unexplained at the bar where {PLANTED} were added",
        abs(found - PLANTED) < 0.05,
    )
    return 0 if holds else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:5], *map(int, sys.argv[5:7]))
    else:
        sys.exit(main())

"""Backtest and paper trading agree: the trader's journal, replayed through the environment, order by order and bar by bar.

The trader runs over real bars against the local exchange through alpaca-py. Its journaled target weights are then replayed through
the training environment, in float64, and held against what the trader did: the same orders and skips, quantities within one
increment, equity at every bar. To show that the comparison can fail, the environment is changed in one place at a time.

    python experiments/proofs/parity.py [--bars 500] [--env-steps 500000]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from unittest import mock

os.environ["JAX_ENABLE_X64"] = "1"

import jax.numpy as jnp
import numpy as np

import cappuccino.env.account
from cappuccino.artifact.manifest import Manifest, checksum
from cappuccino.artifact.runtime import load_artifact
from cappuccino.bars import BarTable
from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.process import start_exchange
from cappuccino.config.composition import data_from, group_from
from cappuccino.config.costs import CostsConfig
from cappuccino.env import Costs, EnvParams, RewardWeights
from cappuccino.evaluation.backtest import Record, backtest, table_strategy
from cappuccino.market import Market
from cappuccino.plan import NOTIONAL_HEADROOM, OrderRules
from cappuccino.sources import exchange_config, load_bars, opening_row
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.journal_reading import read_decisions, read_marks, read_orders
from cappuccino.trading.trader import Trader, TraderSettings

ROOT = pathlib.Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "binance_1h"
TOLERANCE = {100_000.0: 1e-5, 1_000.0: 1e-4}
"""Largest relative difference of equity at any bar, by capital in dollars."""
THRESHOLD = 1e-6
"""Orders that one side has and the other lacks are excused only within this relative distance of the minimum."""

Decide = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass
class Session:
    """What the trader did: (N, A) by decision and asset, and its equity at the close behind each decision, (N,)."""

    rows: np.ndarray
    targets: np.ndarray
    sold: np.ndarray
    bought: np.ndarray
    equity: np.ndarray


TRAINED = {
    "per_asset": (),
    "mlp": ("network=mlp",),
    "conv": ("network=conv",),
    "transformer": ("network=transformer",),
    "banded": ("agent.band=0.02",),
    "champion": ("validation=holdout", "seeds=3", "stress=none"),
}
"""What the trained policies are trained with; `restless` takes the manifest of the first, the champion comes from `validate`."""


def restless(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Target weights that depend on the observation alone and move everything at every bar."""
    del weights
    seed = int.from_bytes(hashlib.sha256(np.ascontiguousarray(window).tobytes()).digest()[:8])
    assets = window.shape[1]
    return np.random.default_rng(seed).dirichlet(np.full(assets + 1, 0.5))[:assets]


def trade(
    manifest: Manifest, decide: Decide, bars: BarTable, start: int, count: int, capital: float, costs: CostsConfig
) -> Session:
    """Let the trader trade `count` bars from the close of row `start`."""
    exchange = exchange_config(costs, bars.assets, capital)
    with tempfile.TemporaryDirectory() as name, start_exchange(bars, start, exchange) as process:
        folder = pathlib.Path(name)
        settings = TraderSettings(
            folder=folder,
            capital=Decimal(str(capital)),
            max_hole_bars=24,
            bars=count + 1,
            allow_outside=manifest.features,
        )
        broker = AlpacaBroker("local", "local", trading_url=process.url)
        Trader(manifest, checksum(manifest), decide, broker, ExchangeClock(process.url, "stepped"), settings).run()
        return _session(folder / "journal.sqlite", bars, manifest)


def _session(journal: pathlib.Path, bars: BarTable, manifest: Manifest) -> Session:
    row_of = {int(timestamp): row for row, timestamp in enumerate(bars.timestamps)}
    decisions = read_decisions(journal)
    skipped = [(decision["bar"], decision["reason"]) for decision in decisions[:-1] if decision["phase"] == "none"]
    if skipped:
        raise SystemExit(f"the trader decided nothing at {len(skipped)} bars, first: {skipped[0]}")
    # The last decision's orders fill, but nobody marks them: it is left out.
    decisions = decisions[:-1]
    bar_index = {decision["bar"]: k for k, decision in enumerate(decisions)}
    sold, bought = np.zeros((2, len(decisions), len(bars.assets)))
    for order in read_orders(journal):
        if order["bar"] in bar_index:
            if order["state"] != "filled":
                raise SystemExit(f"an order did not fill: {order}")
            table = sold if order["side"] == "sell" else bought
            table[bar_index[order["bar"]], manifest.assets.index(order["asset"])] = float(order["filled_quantity"])
    marks = {mark["bar"]: mark["equity"] for mark in read_marks(journal)}
    return Session(
        rows=np.array([row_of[decision["bar"]] for decision in decisions]),
        targets=np.array([decision["targets"] for decision in decisions]),
        sold=sold,
        bought=bought,
        equity=np.array([marks[int(bars.timestamps[row_of[decision["bar"]] + 1])] for decision in decisions]),
    )


def replay(session: Session, bars: BarTable, costs: CostsConfig, capital: float) -> Record:
    """The journaled targets through the environment, from cash, in float64."""
    market = Market(
        open=jnp.asarray(bars.open),
        close=jnp.asarray(bars.close),
        features=jnp.zeros((len(bars), len(bars.assets), 1)),
        tradable=jnp.asarray(bars.mask),
    )
    rules = OrderRules(
        jnp.asarray(costs.min_notional), jnp.asarray(costs.increments_of(bars.assets)), jnp.asarray(costs.buying_power_margin)
    )
    params = EnvParams(
        costs=Costs(jnp.asarray(costs.taker_fee), jnp.asarray(costs.half_spread), jnp.asarray(costs.slippage), rules),
        reward=RewardWeights(*jnp.zeros(5)),
        capital=jnp.asarray(capital),
        drawdown_limit=jnp.asarray(1.0),
    )
    record = backtest(table_strategy(session.targets), market, session.rows, params, np.zeros(len(bars.assets)))
    return Record(*(np.asarray(column) for column in record))  # pyright: ignore[reportArgumentType]


@dataclasses.dataclass
class Comparison:
    """How far journal and replay are apart."""

    orders: int
    only_one: list[str]
    steps: float
    equity: float

    def agrees(self, capital: float) -> bool:
        return not self.only_one and self.steps <= 1 and self.equity <= TOLERANCE[capital]


def compare(session: Session, record: Record, bars: BarTable, costs: CostsConfig) -> Comparison:
    """Orders that only one side has, but for those within THRESHOLD of the minimum notional (printed); the largest difference of
    a quantity in increments; the largest relative difference of equity.
    """
    closes = bars.close[session.rows]
    steps = np.array(costs.increments_of(bars.assets))
    only_one, apart = [], 0.0
    for side, ours, theirs in (("sell", session.sold, record.sold), ("buy", session.bought, record.bought)):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        for row, column in np.argwhere((ours > 0) != (theirs > 0)):
            notional = max(ours[row, column], theirs[row, column]) * closes[row, column]
            text = f"{side} {bars.assets[column]} at row {session.rows[row]}: {notional:.8f} dollars"
            if abs(notional / (NOTIONAL_HEADROOM * costs.min_notional) - 1) <= THRESHOLD:
                print(f"  at the threshold, excused: {text}")
            else:
                only_one.append(text)
        both = (ours > 0) & (theirs > 0)
        # Whole increments on both sides: 20,000 coins are 2e13 increments, of which float64 resolves the 250th part.
        apart = max(apart, float(np.max(np.abs(np.rint(ours / steps) - np.rint(theirs / steps))[both], initial=0)))
    equity = float(np.max(np.abs(np.asarray(record.equity) / session.equity - 1)))
    return Comparison(int((session.sold > 0).sum() + (session.bought > 0).sum()), only_one, apart, equity)


@contextlib.contextmanager
def other_sizing_price() -> Iterator[None]:
    """The environment plans at a price 1 bp above the close."""
    own = cappuccino.env.account.plan_orders

    def shifted(weights: Any, holdings: Any, cash: Any, price: Any, *rest: Any, **named: Any) -> Any:
        return own(weights, holdings, cash, price * 1.0001, *rest, **named)

    with mock.patch.object(cappuccino.env.account, "plan_orders", shifted):
        import jax

        jax.clear_caches()
        yield
    jax.clear_caches()


def main(argv: list[str]) -> int:
    """Every pair of policy and capital, then the changes that must be noticed; 0 if all is as it has to be."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", type=int, default=500)
    parser.add_argument("--env-steps", type=int, default=500_000)
    parser.add_argument("--start", default="2023-10-01")
    parser.add_argument("--policies", nargs="*", default=[*TRAINED, "restless"])
    arguments = parser.parse_args(argv)
    if not SHARED.is_dir():
        print(f"no real bars at {SHARED}", file=sys.stderr)
        return 2
    good = True
    for name in arguments.policies:
        with tempfile.TemporaryDirectory() as runs:
            artifact = load_artifact(_train(runs, name, arguments.env_steps))
        manifest, decide = artifact.manifest, restless if name == "restless" else artifact.decide
        data = data_from(manifest.config["data"])
        bars = load_bars(data).select(manifest.assets)
        costs = group_from(CostsConfig, manifest.config["costs"])
        start = opening_row(bars, data, int(np.datetime64(arguments.start, "s").astype(int)))
        for capital in TOLERANCE:
            session = trade(manifest, decide, bars, start, arguments.bars, capital, costs)
            found = compare(session, replay(session, bars, costs, capital), bars, costs)
            sides = ((session.sold > 0).any(axis=0) & (session.bought > 0).any(axis=0)).sum()
            good &= found.agrees(capital)
            print(
                f"{name:<11} ${capital:>9,.0f}: {len(session.rows)} bars, {found.orders:,} orders, {sides} of {len(bars.assets)} "
                f"assets both bought and sold; orders that only one side has: {len(found.only_one)}; quantities apart by at most "
                f"{found.steps:g} increments; equity by at most {found.equity:.1e} of {TOLERANCE[capital]:.0e}: "
                f"{'agree' if found.agrees(capital) else 'DISAGREE'}"
            )
            for text in found.only_one[:5]:
                print(f"  only one side has: {text}")
            if name == "restless":
                good &= found.orders >= 2 * arguments.bars
                good &= sides == len(bars.assets)
                good &= _notices(session, bars, costs, capital)
    return 0 if good else 1


def _notices(session: Session, bars: BarTable, costs: CostsConfig, capital: float) -> bool:
    """Whether each single change of the environment makes the comparison fail."""
    noticed = True
    changes = {
        "minimum notional 10 -> 500": (dataclasses.replace(costs, min_notional=500.0), contextlib.nullcontext()),
        "margin 0.04 -> 0.05": (dataclasses.replace(costs, buying_power_margin=0.05), contextlib.nullcontext()),
        "sizing price + 1 bp": (costs, other_sizing_price()),
    }
    for name, (changed, context) in changes.items():
        with context:
            found = compare(session, replay(session, bars, changed, capital), bars, costs)
        failed = not found.agrees(capital)
        noticed &= failed
        print(
            f"  changed in the environment, {name}: {len(found.only_one)} orders differ, {found.steps:,.0f} increments, equity "
            f"{found.equity:.1e}: {'noticed' if failed else 'NOT NOTICED'}"
        )
    return noticed


def _train(runs: str, name: str, env_steps: int) -> pathlib.Path:
    out = pathlib.Path(runs) / "parity" / "artifact"
    environment = {**os.environ, "JAX_ENABLE_X64": "0"}
    words = [
        f"data.path={SHARED}",
        "data=files",
        "data.train_end=2023-01-01",
        "data.valid_end=2023-09-01",
        f"training.env_steps={env_steps}",
        f"runs_dir={runs}",
        "name=parity",
        *TRAINED.get(name, ()),
    ]
    commands = (
        [["validate", *words]] if name == "champion" else [["train", *words], ["export", "run=parity", f"runs_dir={runs}"]]
    )
    program = "import sys; from cappuccino.cli import main; sys.exit(main(sys.argv[1:]))"
    for command in commands:
        subprocess.run(
            [sys.executable, "-c", program, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
        )
    return out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

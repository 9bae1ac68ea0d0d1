"""Whoever knows nothing scores below every trained policy: doing nothing, trading at random, and networks before their first update.

The score is that of a search (`objective=active`): the lower bound of the ratio of mean to deviation of log growth beyond equal
weights', minus infinity for who keeps out of the market and for who does just what equal weights do. It is taken on the test span
of experiment=planted, which neither training nor the choice of a checkpoint reads, after costs.

One market in three versions, each with a drift (`data.drift`) with which equal weights, over the bars held out, grow by just the rate
of MARKETS. All seeds train as lanes of one program. Random trades are drawn for each seed with the turnover of its trained policy.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from rich.console import Console

from cappuccino.assemble import Data, env_params, holdout_rows, load_market
from cappuccino.config import TrainConfig, compose
from cappuccino.env import EnvParams, starts_at
from cappuccino.evaluation.backtest import Record, Strategy, backtest, policy_strategy, span_rows, table_strategy, to_path
from cappuccino.evaluation.baselines import CASH, RANDOM, baselines, random_strategy
from cappuccino.evaluation.comparison import UNTRAINED
from cappuccino.evaluation.metrics import bars_a_year
from cappuccino.sweep.objective import objective_of
from cappuccino.training.device import cpu_devices, select_device
from cappuccino.training.lanes import validation_of
from cappuccino.validation.trained import Task, Trained, train_all

MARKETS = {"rising": 1.0, "falling": -0.6, "flat": 0.0}
"""Growth of equal weights over the bars held out, a share a year."""
WORDS = ("name=floors", "experiment=planted")
TRAINED, PASSIVE = "trained", "equal weights without costs"
MARGIN = 1e-4
"""Of the account of PASSIVE, a fraction of the price: none at all, and the rounding of a buy would have it refused."""


class HeldOut:
    """The bars held out of a market, with the costs that a configuration has."""

    def __init__(self, config: TrainConfig, data: Data) -> None:
        self.data = data
        self.rows: Int[np.ndarray, "N"] = span_rows(data.spec, data.spans.test, config.network.lookback)
        self.params: EnvParams = env_params(config.costs, config.risk, config.env, data.spec.assets)
        self.cash = np.zeros(len(data.spec.assets), np.float32)

    def run(self, strategy: Strategy) -> Record:
        """What a strategy does from cash."""
        return backtest(strategy, self.data.market, self.rows, self.params, self.cash)

    def passive(self) -> Record:
        """Equal weights, from the first bar on and anew at every close, where nothing costs anything."""
        equal = np.full((len(self.rows), len(self.cash)), 1 / len(self.cash), np.float32)
        free = jax.tree.map(jnp.zeros_like, self.params.costs)
        rules = free.rules._replace(buying_power_margin=jnp.full_like(free.rules.buying_power_margin, MARGIN))
        params = self.params._replace(costs=free._replace(rules=rules))
        return backtest(table_strategy(equal), self.data.market, self.rows, params, equal[0])

    def random(self, record: Record, seed: int) -> Strategy:
        """Random trades with the turnover of a record."""
        path = to_path(record, self.data.spec, self.rows, float(self.params.capital))
        return random_strategy(path, self.data.spec, np.float32, rng=np.random.default_rng(seed))

    def figures(self, record: Record) -> dict[str, float]:
        """The figures that a search has of a policy."""
        found = validation_of(record, self.data.market, starts_at(self.rows), self.params.capital)
        return {name: float(value) for name, value in found._asdict().items()}

    def equal_growth(self) -> float:
        """Mean log growth per bar of equal weights, without costs."""
        close: Float[Array, "T A"] = self.data.market.close
        return float(np.mean(np.log(np.mean(np.asarray(close[self.rows + 1] / close[self.rows], np.float64), axis=1))))


def load(words: Sequence[str]) -> tuple[TrainConfig, HeldOut]:
    config = compose("train", [*WORDS, *words])
    data = load_market(config.data, tuple(config.features.names), config.network.lookback)
    return config, HeldOut(config, data)


def train(words: Sequence[str], data: Data, seeds: int) -> list[Trained]:
    """A policy for each seed, all trained in one program."""
    configs = [compose("train", [*WORDS, *words, f"seed={seed}"]) for seed in range(seeds)]
    rows = holdout_rows(data, configs[0].network.lookback, configs[0].env.episode_bars)
    tasks = {config.seed: Task(config, rows, f"seed {config.seed}") for config in configs}
    return list(train_all(tasks, data, Console(quiet=True)).values())


def scores_of(held_out: HeldOut, trained: Sequence[Trained], lookback: int) -> dict[str, list[float]]:
    """By name: the scores on the bars held out, of each seed where seeds differ. Prints a line for each seed."""

    def score(figures: Mapping[str, float]) -> float:
        return objective_of("active", figures, "maximize")

    alone = {CASH: held_out.run(baselines(held_out.data.market, held_out.data.spec)[CASH]), PASSIVE: held_out.passive()}
    found = {name: [score(held_out.figures(record))] for name, record in alone.items()}
    print(f"  {'':6} {TRAINED:>10} {RANDOM:>15} {UNTRAINED:>19}   turnover a bar, %: trained, random, untrained")
    for seed, one in enumerate(trained):
        record = held_out.run(policy_strategy(one.policy, lookback))
        figures = {
            TRAINED: held_out.figures(record),
            RANDOM: held_out.figures(held_out.run(held_out.random(record, seed))),
            UNTRAINED: held_out.figures(held_out.run(policy_strategy(one.untrained, lookback))),
        }
        for name, some in figures.items():
            found.setdefault(name, []).append(score(some))
        last = {name: values[-1] for name, values in found.items()}
        print(
            f"  seed {seed} {last[TRAINED]:>+10.4f} {last[RANDOM]:>+15.4f} {last[UNTRAINED]:>+19.4f}   "
            + ", ".join(f"{100 * some['turnover']:.2f}" for some in figures.values())
        )
    return found


def judge(found: Mapping[str, Sequence[float]]) -> bool:
    """Print by how much the best of each floor is below the worst trained policy, and whether all are."""
    worst = min(found[TRAINED])
    floors = {name: values for name, values in found.items() if name != TRAINED}
    below = all(floor < one for values in floors.values() for floor in values for one in found[TRAINED])
    without = found[CASH] == found[PASSIVE] == [-math.inf]
    said = ", ".join(f"{name} {max(values):+.4f}" for name, values in floors.items())
    print(f"  lowest {TRAINED} {worst:+.4f}; highest of the others: {said}")
    margin = worst - max(value for values in floors.values() for value in values)
    print(f"  every floor below every trained policy, by {margin:.4f}: {'holds' if below else 'DOES NOT HOLD'}")
    print(
        f"  minus infinity for who keeps out and who has no active variance: {'holds' if without else 'DOES NOT HOLD'}",
        flush=True,
    )
    return below and without


def main(argv: Sequence[str]) -> int:
    """0 if every floor is below every trained policy in every market."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--env-steps", type=int, default=2_000_000)
    parser.add_argument("--data-seed", type=int, default=400)
    parser.add_argument("--markets", nargs="*", choices=list(MARKETS), default=list(MARKETS))
    given = parser.parse_args(argv)
    select_device("auto", cpu_devices(None))
    same = (f"data.seed={given.data_seed}", f"training.env_steps={given.env_steps}")
    config, driftless = load(same)
    good = True
    for name in given.markets:
        drift = math.log1p(MARKETS[name]) / bars_a_year(config.data.bar_seconds) - driftless.equal_growth()
        words = (*same, f"data.drift={drift}")
        _, held_out = load(words)
        year = round(100 * math.expm1(held_out.equal_growth() * bars_a_year(config.data.bar_seconds)), 1)
        trained = train(words, held_out.data, given.seeds)
        print(
            f"{name}: equal weights {year + 0:+.1f} % a year over {len(held_out.rows):,} bars held out; "
            f"{trained[0].env_steps:,} env steps a seed"
        )
        good &= judge(scores_of(held_out, trained, config.network.lookback))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

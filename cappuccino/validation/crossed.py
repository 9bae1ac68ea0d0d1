"""What a configuration does out of sample: trained on every fold with every seed, run over the bars that fold leaves out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from cappuccino.assemble import Data, Rows, env_params
from cappuccino.config.roots import LearningConfig
from cappuccino.env import EnvParams, starts_at
from cappuccino.evaluation.backtest import Path, Record, Strategy, backtest, policy_strategy, to_path
from cappuccino.evaluation.baselines import EQUAL_REBALANCED, RANDOM, baselines, held_name, random_strategy
from cappuccino.evaluation.comparison import RULED, UNTRAINED
from cappuccino.evaluation.folds import Fold, Folds, fold_rows, normaliser_rows, selection_rows, train_starts
from cappuccino.evaluation.metrics import Benchmarks
from cappuccino.market import MarketSpec
from cappuccino.validation.trained import Task, Trained


class Crossed(NamedTuple):
    """Out-of-sample paths, each over all the bars that the folds test between them, in order of time.

    agent: by seed and path. baselines: by name and path, each over the rows of the agent's and with its episodes.
    """

    agent: tuple[tuple[Path, ...], ...]
    baselines: dict[str, tuple[Path, ...]]

    def benchmarks(self) -> list[Benchmarks]:
        """By path: what the figures of `measure` are relative to."""
        held = self.baselines[held_name(self.agent[0][0].assets)]
        return [Benchmarks(*pair) for pair in zip(self.baselines[EQUAL_REBALANCED], held, strict=True)]

    @property
    def rows(self) -> Int[np.ndarray, "N"]:
        """Market rows at which every path decides."""
        return self.agent[0][0].rows

    def returns(self) -> Float[np.ndarray, "N"]:
        """Simple return per bar after costs, the mean over paths and seeds: of capital spread evenly over them anew every bar."""
        return np.mean([path.returns for paths in self.agent for path in paths], axis=0)

    def growth(self) -> Float[np.ndarray, "N"]:
        """Log growth per bar after costs, the mean over paths and seeds."""
        return np.mean([np.log1p(path.returns) for paths in self.agent for path in paths], axis=0)

    def baseline_growth(self, name: str) -> Float[np.ndarray, "N"]:
        """Log growth per bar of a baseline, the mean over paths."""
        return np.mean([np.log1p(path.returns) for path in self.baselines[name]], axis=0)


def tasks_of(config: LearningConfig, data: Data, folds: Sequence[Fold], seeds: Sequence[int]) -> dict[tuple[int, int], Task]:
    """What is to be trained, by the number of the fold and the seed: rows are filled up to common lengths, so that all share a program.

    A fold's checkpoint will be the one that is best on its selection bars, which are no test bars.
    """
    rows = training_rows_of(config, data, folds)
    return {
        (number, seed): Task(dataclasses.replace(config, seed=seed), rows[number], f"{fold.name}, seed {seed},")
        for number, fold in enumerate(folds)
        for seed in seeds
    }


def run_folds(
    config: LearningConfig, data: Data, folds: Folds, trained: Mapping[tuple[int, int], Trained], seeds: Sequence[int]
) -> Crossed:
    """What policies, by fold and seed, do on the test blocks of their folds, from cash each, under the configuration's costs.

    Baselines run over the same blocks; the untrained network is that of the first seed, and its turnover the random one's.
    """
    params = env_params(config.costs, config.risk, config.env, data.spec.assets)
    lookback = config.network.lookback
    tested = Tested.of(data.spec, folds, lookback)

    def ran(strategy: Strategy, fold: int, *, ruled: bool = True) -> Path:
        return tested.run(strategy, fold, data, params if ruled else params._replace(risk=None))

    numbers = range(len(folds.folds))
    agent = _agent(config, data, tested, trained, seeds)
    others = {name: [one] * len(numbers) for name, one in baselines(data.market, data.spec).items()}
    others[RANDOM] = [
        random_strategy(agent[0][fold], data.spec, data.market.close.dtype, rng=np.random.default_rng([seeds[0], fold]))
        for fold in numbers
    ]
    others[UNTRAINED] = [policy_strategy(trained[fold, seeds[0]].untrained, lookback) for fold in numbers]
    return Crossed(
        agent=tuple(tested.paths(by_fold) for by_fold in agent),
        baselines={
            name: tested.paths([ran(one, fold, ruled=name in RULED) for fold, one in enumerate(by_fold)])
            for name, by_fold in others.items()
        },
    )


def growth_at_fees(
    config: LearningConfig,
    data: Data,
    folds: Folds,
    trained: Mapping[tuple[int, int], Trained],
    seeds: Sequence[int],
    factor: float,
) -> float:
    """Log growth per bar of the policies of `run_folds`, the mean over paths, seeds and bars, at so many times the fees."""
    dearer = dataclasses.replace(
        config, costs=dataclasses.replace(config.costs, taker_fee_bps=factor * config.costs.taker_fee_bps)
    )
    tested = Tested.of(data.spec, folds, config.network.lookback)
    paths = [path for by_fold in _agent(dearer, data, tested, trained, seeds) for path in tested.paths(by_fold)]
    return float(np.mean([np.log1p(path.returns).mean() for path in paths]))


def _agent(
    config: LearningConfig, data: Data, tested: Tested, trained: Mapping[tuple[int, int], Trained], seeds: Sequence[int]
) -> list[list[Path]]:
    """The policies over the test blocks of their folds, by seed and fold."""
    params, lookback = env_params(config.costs, config.risk, config.env, data.spec.assets), config.network.lookback
    numbers = range(len(tested.rows))
    return [
        [tested.run(policy_strategy(trained[fold, seed].policy, lookback), fold, data, params) for fold in numbers]
        for seed in seeds
    ]


def training_rows_of(config: LearningConfig, data: Data, folds: Sequence[Fold]) -> list[Rows]:
    """The rows of each fold's training, filled up to common lengths so that the folds share a program."""
    spec, lookback = data.spec, config.network.lookback
    starts = [train_starts(spec, fold, lookback, config.env.episode_bars) for fold in folds]
    valid = [selection_rows(spec, fold, lookback) for fold in folds]
    most = [max(map(len, some)) for some in (starts, valid)]
    return [
        Rows(normaliser_rows(spec, fold), starts_at(begin, most[0]), starts_at(decide, most[1]))
        for fold, begin, decide in zip(folds, starts, valid, strict=True)
    ]


@dataclasses.dataclass(frozen=True, eq=False)
class Tested:
    """What each fold's policy is tested on, and how the folds' paths are put together.

    rows: by fold, filled up with copies of the last so that all backtests of a strategy are one program; the first `number` count.
    group: of the bars of the market, -1 for those that nobody tests.
    """

    folds: Folds
    rows: list[Int[np.ndarray, "N"]]
    number: list[int]
    group: Int[np.ndarray, "T"]

    @classmethod
    def of(cls, spec: MarketSpec, folds: Folds, lookback: int) -> Tested:
        found = [fold_rows(spec, fold, lookback) for fold in folds.folds]
        most = max(map(len, found))
        group = np.full(len(spec.timestamps), -1)
        for number, span in enumerate(folds.groups):
            group[span.start : span.stop] = number
        padded = [np.pad(rows, (0, most - len(rows)), mode="edge") for rows in found]
        return cls(folds, padded, [len(rows) for rows in found], group)

    def run(self, strategy: Strategy, fold: int, data: Data, params: EnvParams) -> Path:
        """A strategy over the test blocks of a fold."""
        return self.path(self.record(strategy, fold, data, params), fold, data, params)

    def record(self, strategy: Strategy, fold: int, data: Data, params: EnvParams) -> Record:
        """What a strategy does at the rows of a fold."""
        cash = np.zeros(len(data.spec.assets), data.market.close.dtype)
        return backtest(strategy, data.market, self.rows[fold], params, cash)

    def path(self, record: Record, fold: int, data: Data, params: EnvParams) -> Path:
        """A record of a fold, as far as it counts."""
        rows, number = self.rows[fold], self.number[fold]
        counted = jax.tree.map(lambda part: part[:number], record)
        return to_path(counted, data.spec, rows[:number], float(params.capital))

    def paths(self, by_fold: Sequence[Path]) -> tuple[Path, ...]:
        """The out-of-sample paths: the return of each group's bars from the fold that tests it on that path."""
        groups = [self.group[path.rows + 1] for path in by_fold]
        return tuple(
            joined([(by_fold[fold], np.flatnonzero(groups[fold] == number)) for number, fold in enumerate(path)])
            for path in self.folds.paths
        )


def joined(parts: Sequence[tuple[Path, Int[np.ndarray, "_"]]]) -> Path:
    """One path of some steps of each of several, growth chained on and money scaled with it; an episode begins with each part.

    Between parts there is no trade: the account of one lived on elsewhere, that of the next may have come from elsewhere.
    """
    first, capital = parts[0][0], float(parts[0][0].equity[0])

    def steps(values: Callable[[Path], np.ndarray]) -> np.ndarray:
        return np.concatenate([values(path)[chosen] for path, chosen in parts])

    growth = steps(lambda path: path.equity[1:] / path.equity[:-1])
    equity = capital * np.concatenate([[1.0], np.cumprod(growth)])
    scale = equity[:-1] / steps(lambda path: path.equity[:-1])
    start = first.timestamps[parts[0][1][:1]]
    begins = np.concatenate([path.begins[chosen] | (np.arange(len(chosen)) == 0) for path, chosen in parts])
    return dataclasses.replace(
        first,
        timestamps=np.concatenate([start, steps(lambda path: path.timestamps[1:])]),
        rows=steps(lambda path: path.rows),
        begins=begins,
        equity=equity,
        weights=np.concatenate([np.zeros_like(first.weights[:1]), steps(lambda path: path.weights[1:])]),
        targets=steps(lambda path: path.targets),
        sold=steps(lambda path: path.sold),
        bought=steps(lambda path: path.bought),
        notional=steps(lambda path: path.notional) * scale,
        fees=steps(lambda path: path.fees) * scale,
        slippage=steps(lambda path: path.slippage) * scale,
        refused=steps(lambda path: path.refused),
    )

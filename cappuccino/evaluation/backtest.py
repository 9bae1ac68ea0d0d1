"""Backtests: deterministic accounts over a span of bars, market features encoded once, then a scan over the bars.

The account's step is the environment's own (`cappuccino.env.trade`), so a backtest and a training rollout cannot differ.
No drawdown limit ends a backtest: what an account lost, it lost.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from cappuccino.env import EnvParams, mark, open_account, trade
from cappuccino.env.environment import bar_at
from cappuccino.env.ruled import opened_risk, under_rules
from cappuccino.errors import InputError
from cappuccino.evaluation.splits import Span
from cappuccino.market import Market, MarketSpec, windows

ENCODE_ROWS = 512
"""Rows whose windows are encoded at once: bounds the memory of a backtest whatever its length."""


@runtime_checkable
class Rule(Protocol):
    """How a strategy decides: hashable and free of arrays, so that equal rules share one compiled program."""

    def prepare(self, arrays: Any, market: Market, rows: Int[Array, "N"]) -> Any:
        """Everything that does not depend on the account, as a pytree whose leaves have N first."""
        ...

    def decide(self, arrays: Any, inputs: Any, weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        """Target weights from one row of what was prepared and the accounts' current asset weights."""
        ...


class Strategy(NamedTuple):
    """A rule (static) and its arrays (a traced pytree): what a backtest runs."""

    rule: Rule
    arrays: Any


class Record(NamedTuple):
    """What accounts did, on the device, one entry a step. Money in quote currency, quantities in base units.

    equity, weights: at the close that ends the step. targets: decided at the close before. notional, fees, slippage,
    refused: as in `cappuccino.env.Trades`. Of a single account (`backtest`) the last axis is left out.
    """

    equity: Float[Array, "N *R"]
    weights: Float[Array, "N A *R"]
    targets: Float[Array, "N A *R"]
    sold: Float[Array, "N A *R"]
    bought: Float[Array, "N A *R"]
    notional: Float[Array, "N *R"]
    fees: Float[Array, "N *R"]
    slippage: Float[Array, "N *R"]
    refused: Float[Array, "N *R"]


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """One account over a span, on the host. N steps; entry 0 of the N + 1 is the start.

    timestamps: opening time (Unix seconds) of the bar at whose close entry k is marked. rows: market row at whose close
    step k decides. begins: step k opens an episode, from cash. equity: quote currency; where an episode begins its growth
    is chained on, so equity never jumps. notional, fees, slippage: scaled with the chained equity, at mid price. weights,
    targets: shares of equity. sold, bought: base units of the episode's own account, which starts with the capital.
    refused: orders planned that did not fill, a count.
    """

    assets: tuple[str, ...]
    bar_seconds: int
    timestamps: Int[np.ndarray, "N1"]
    rows: Int[np.ndarray, "N"]
    begins: Bool[np.ndarray, "N"]
    equity: Float[np.ndarray, "N1"]
    weights: Float[np.ndarray, "N1 A"]
    targets: Float[np.ndarray, "N A"]
    sold: Float[np.ndarray, "N A"]
    bought: Float[np.ndarray, "N A"]
    notional: Float[np.ndarray, "N"]
    fees: Float[np.ndarray, "N"]
    slippage: Float[np.ndarray, "N"]
    refused: Float[np.ndarray, "N"]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def returns(self) -> Float[np.ndarray, "N"]:
        """Simple return of every step, after costs, a pure number per bar."""
        return self.equity[1:] / self.equity[:-1] - 1


@dataclasses.dataclass(frozen=True)
class PolicyRule:
    """Decides as a trained network does: the mean of its Gaussian over logits, no noise, in the policy's own dtype."""

    graph: Any
    lookback: int

    def prepare(self, arrays: Any, market: Market, rows: Int[Array, "N"]) -> Any:
        policy = nnx.merge(self.graph, arrays)
        size = min(ENCODE_ROWS, len(rows))
        chunks = -(-len(rows) // size)
        # Filled up with the rows that would follow, so that the last block is a stretch too; what they give is cut off.
        filled = jnp.concatenate([rows, rows[-1] + 1 + jnp.arange(chunks * size - len(rows), dtype=rows.dtype)])
        padded = filled.reshape(chunks, size)
        features = policy.normalise(market.features.astype(_dtype(arrays)))

        def one_by_one(some: Int[Array, "n"]) -> Any:
            encoded = policy.encode(windows(features, some, self.lookback))
            return jax.tree.map(lambda leaf: leaf[:, 0], encoded)

        def stretch(some: Int[Array, "n"]) -> Any:
            return policy.encode(windows(features, some[-1], self.lookback + size - 1))

        def encode(some: Int[Array, "n"]) -> Any:
            return jax.lax.cond(some[-1] - some[0] == size - 1, stretch, one_by_one, some)

        encoded = jax.lax.map(encode, padded)
        return jax.tree.map(lambda leaf: leaf.reshape(chunks * size, *leaf.shape[2:])[: len(rows)], encoded)

    def decide(self, arrays: Any, inputs: Any, weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        observed = weights.T.astype(_dtype(arrays))
        policy = nnx.merge(self.graph, arrays)
        return policy.targets(policy.logits(inputs, observed), observed).T


def _dtype(arrays: Any) -> Any:
    return jax.tree.leaves(arrays)[0].dtype


@dataclasses.dataclass(frozen=True)
class TableRule:
    """Replays targets fixed beforehand, whatever the account does."""

    def prepare(self, arrays: Float[Array, "N A"], market: Market, rows: Int[Array, "N"]) -> Float[Array, "N A"]:
        del market, rows
        return arrays

    def decide(self, arrays: Any, inputs: Float[Array, "A"], weights: Float[Array, "A R"]) -> Float[Array, "A R"]:
        del arrays
        return jnp.broadcast_to(inputs[:, None], weights.shape)


def policy_strategy(policy: nnx.Module, lookback: int) -> Strategy:
    """A policy with `encode`, `logits` and `targets` (see `cappuccino.agents.networks.Policy`) as a strategy."""
    graph, state = nnx.split(policy)
    return Strategy(PolicyRule(graph, lookback), state)


def table_strategy(weights: Float[Array | np.ndarray, "N A"]) -> Strategy:
    """Target weights by step: row k of the table is the target of the k-th step.

    Raises InputError if a weight is negative or not finite, or the weights of a step exceed one.
    """
    table = np.asarray(weights)
    bad = ~((table >= 0).all(axis=1) & (table.sum(axis=1) <= 1 + 1e-6))
    if bad.any():
        step = int(np.argmax(bad))
        raise InputError(f"target weights of step {step} are {table[step].tolist()}; they must be >= 0 with a sum of at most 1")
    return Strategy(TableRule(), jnp.asarray(weights))


LONGEST_DELAY = 3
"""Bars by which an order may be late: as many targets are kept on their way to the venue."""


def replay(
    rule: Rule,
    arrays: Any,
    market: Market,
    rows: Int[Array, "N"],
    params: EnvParams,
    initial_weights: Float[Array, "A R"],
    delay: Int[Array, "R"] | None = None,
) -> Record:
    """The paths of R accounts, a pure function of arrays: jit it with `rule` static, vmap it over arrays or markets.

    `delay`, 0 to LONGEST_DELAY bars for each account, is how much later than decided targets reach the venue: those decided at
    the close of t, from the account as it is then, are planned at the close of t + delay and filled at the open after it. Until
    the first of an episode arrives nothing is ordered; what is still on its way as an episode ends is lost.

    Fee, half-spread and slippage are the same for all accounts, (), or one for each, (R,). Where rows[k] is not rows[k-1] + 1
    an episode begins: the accounts are opened anew with the capital, already in the initial weights. `rows` must not hold the
    last row of a segment, so neighbouring rows always share a segment. Risk rules act on targets as they are planned. Works in the
    dtype of market.close. Increments may have the shape (), (A,) or (A, 1, ...).
    """
    dtype = market.close.dtype
    costs = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params.costs)
    costs = costs._replace(rules=costs.rules._replace(increment=costs.rules.increment.reshape(-1, 1)))
    start = jnp.asarray(initial_weights, dtype)
    capital = jnp.asarray(params.capital, dtype)
    limits = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params.risk)

    def opened(row: Int[Array, ""]) -> Any:
        bar = bar_at(market, row)
        account = open_account(start, bar.close, capital)
        return account, opened_risk(account, bar, limits)

    def step(carry: Any, xs: Any) -> tuple[Any, Record]:
        (before, late), (row, age, inputs) = carry, xs
        account, risk = jax.tree.map(lambda new, old: jnp.where(age == 0, new, old), opened(row), before)
        targets = rule.decide(arrays, inputs, mark(account, market.close[row][:, None])).astype(dtype)
        bar, arrived = bar_at(market, row), targets
        if delay is not None:
            for bars, earlier in enumerate(late, start=1):
                arrived = jnp.where(delay == bars, earlier, arrived)
            bar = bar._replace(tradable=bar.tradable & (delay <= age))
            late = (targets, *late[:-1])
        allowed, risk = under_rules(arrived, risk, account, bar, limits)
        account, trades = trade(account, allowed, bar, costs)
        return ((account, risk), late), Record(
            equity=account.equity,
            weights=mark(account, bar.next_close),
            targets=targets,
            sold=trades.sold,
            bought=trades.bought,
            notional=trades.notional,
            fees=trades.fees,
            slippage=trades.slippage,
            refused=trades.refused,
        )

    begins, step_number = episode_begins(rows), jnp.arange(len(rows))
    age = step_number - jax.lax.cummax(jnp.where(begins, step_number, 0))
    late = () if delay is None else (jnp.zeros_like(start),) * LONGEST_DELAY
    return jax.lax.scan(step, (opened(rows[0]), late), (rows, age, rule.prepare(arrays, market, rows)))[1]


def replay_one(
    rule: Rule, arrays: Any, market: Market, rows: Int[Array, "N"], params: EnvParams, initial_weights: Float[Array, "A"]
) -> Record:
    """`replay` of a single account, without its axis."""
    record = replay(rule, arrays, market, rows, params, initial_weights[:, None])
    return jax.tree.map(lambda leaf: leaf[..., 0], record)


def episode_begins(rows: Int[Array, "N"]) -> Bool[Array, "N"]:
    """Whether an episode begins with each row: it does not follow on the row before."""
    return jnp.concatenate([jnp.ones(1, bool), jnp.diff(rows) != 1])


_compiled = functools.partial(jax.jit, static_argnames="rule")(replay_one)


def backtest(
    strategy: Strategy,
    market: Market,
    rows: Int[np.ndarray, "N"],
    params: EnvParams,
    initial_weights: Float[Array | np.ndarray, "A"],
) -> Record:
    """Run a strategy over rows of a market; step k decides at the close of rows[k] and is marked at that of rows[k] + 1.

    One program is compiled for every rule and shape; market, parameters and the strategy's arrays are its arguments.
    """
    return _compiled(strategy.rule, strategy.arrays, market, jnp.asarray(rows, int), params, jnp.asarray(initial_weights))


def span_rows(spec: MarketSpec, span: Span, lookback: int) -> Int[np.ndarray, "N"]:
    """Rows of a span at which one can decide and whose step is marked inside the span and the segment.

    Raises InputError if there are none.
    """
    rows = spec.episode_rows(span.start, span.stop, lookback, 1)
    if len(rows) == 0:
        raise InputError(
            f"the {span.name} span, rows {span.start} to {span.stop}, holds no bar to decide at: each segment needs "
            f"{spec.warmup} bars of warm-up, {lookback} of look-back and one to be marked at; give it more bars"
        )
    return rows


def backtest_span(strategy: Strategy, market: Market, spec: MarketSpec, span: Span, lookback: int, params: EnvParams) -> Path:
    """Run a strategy over a span, from its first row with a valid window of `lookback` rows to its last.

    Every segment is an episode of its own that starts from cash; growth is chained, and bars without a decision in between
    (a hole in the data, the warm-up behind it) leave no entry. Raises InputError for a span without a decision row.
    """
    rows = span_rows(spec, span, lookback)
    record = backtest(strategy, market, rows, params, np.zeros(len(spec.assets), market.close.dtype))
    return to_path(record, spec, rows, float(params.capital))


def to_path(record: Record, spec: MarketSpec, rows: Int[np.ndarray, "N"], capital: float) -> Path:
    """The host's view of a record that started from cash, episodes chained."""
    host = {name: np.asarray(value) for name, value in record._asdict().items()}
    begins = np.diff(rows, prepend=rows[0] - 2) != 1
    own = host["equity"].astype(np.float64)
    before = np.where(begins, capital, np.concatenate([[capital], own[:-1]]))
    equity = capital * np.concatenate([[1.0], np.cumprod(own / before)])
    scale = equity[:-1] / before
    return Path(
        assets=spec.assets,
        bar_seconds=spec.bar_seconds,
        timestamps=np.concatenate([spec.timestamps[rows[:1]], spec.timestamps[rows + 1]]),
        rows=rows,
        begins=begins,
        equity=equity,
        weights=np.concatenate([np.zeros_like(host["weights"][:1]), host["weights"]]),
        targets=host["targets"],
        sold=host["sold"],
        bought=host["bought"],
        notional=host["notional"] * scale,
        fees=host["fees"] * scale,
        slippage=host["slippage"] * scale,
        refused=host["refused"],
    )

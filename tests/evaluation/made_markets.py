"""Made-up markets with holes, parameters and policies for the evaluation's tests, and the backtest in plain Python float64."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cappuccino.agents.networks import NetworkShape, Policy, make_policy
from cappuccino.bars import Origin
from cappuccino.env import Costs, EnvParams, RewardWeights
from cappuccino.evaluation.backtest import Path
from cappuccino.features.normaliser import Normaliser
from cappuccino.market import Market, MarketSpec
from cappuccino.plan import OrderRules

START = 1_577_836_800
"""2020-01-01 00:00 UTC."""

WARMUP, LOOKBACK, FEATURES = 3, 4, 2


def made_market(
    lengths: tuple[int, ...] = (60,),
    *,
    assets: tuple[str, ...] = ("ETH", "BTC", "LTC"),
    bar_seconds: int = 3600,
    move: float = 0.02,
    holes: float = 0.0,
    dtype: Any = np.float32,
    seed: int = 0,
) -> tuple[Market, MarketSpec]:
    """Random walks in segments of these lengths, 40 bars of hole between them; `holes` is the share of missing bars."""
    rng = np.random.default_rng(seed)
    bars, columns = sum(lengths), len(assets)
    segment = np.repeat(np.arange(len(lengths)), lengths)
    tradable = rng.random((bars, columns)) >= holes
    log_gap, log_move = (rng.normal(0, size, (bars, columns)) for size in (move / 10, move))
    close = 100 * np.exp(np.cumsum(np.where(tradable, log_gap + log_move, 0), axis=0))
    opening = np.where(tradable, close / np.exp(log_move), close)
    features = rng.normal(0, 1, (bars, columns, FEATURES))
    first = np.searchsorted(segment, segment)
    valid = np.arange(bars) - first >= WARMUP
    features[~valid] = np.nan
    market = Market(
        *(jnp.asarray(values, dtype) for values in (opening, close, features)),
        tradable=jnp.asarray(tradable),
    )
    spec = MarketSpec(
        assets=assets,
        feature_names=tuple(f"f{i}" for i in range(FEATURES)),
        bar_seconds=bar_seconds,
        warmup=WARMUP,
        timestamps=START + bar_seconds * (np.arange(bars) + 40 * segment),
        segment=segment,
        valid=valid,
        origin=Origin("synthetic", "made", "USD"),
        fingerprint="0" * 64,
    )
    return market, spec


def made_params(
    *,
    fee: float = 0.0025,
    half_spread: float = 0.0002,
    slippage: float = 0.0001,
    min_notional: float = 10.0,
    increment: Any = 0.0,
    margin: float = 0.04,
    capital: float = 10_000.0,
    dtype: Any = np.float32,
) -> EnvParams:
    """Parameters of an account, rewards left at zero."""
    rules = OrderRules(*(jnp.asarray(value, dtype) for value in (min_notional, increment, margin)))
    costs = Costs(*(jnp.asarray(value, dtype) for value in (fee, half_spread, slippage)), rules)
    nothing = jnp.zeros((), dtype)
    return EnvParams(costs, RewardWeights(*[nothing] * 5), jnp.asarray(capital, dtype), jnp.asarray(0.5, dtype))


@functools.cache
def made_policy(assets: int = 3, *, seed: int = 0, kind: str = "mlp", loudness: float = 100.0) -> Policy:
    """An untrained policy whose logits are made `loudness` times as large, so that its targets move."""
    shape = NetworkShape(kind, LOOKBACK, assets, FEATURES, (8,), (8,))
    policy = make_policy(shape, Normaliser(np.zeros(FEATURES), np.ones(FEATURES), 5.0), key=jax.random.key(seed))
    last = policy.actor.output if kind == "mlp" else policy.actor.each
    last.kernel[...] = loudness * last.kernel[...]
    return policy


def made_path(equity: Any, *, bar_seconds: int = 86_400, start: int = START, **fields: Any) -> Path:
    """A path with this equity and, unless given, no asset held and nothing traded."""
    equity = np.asarray(equity, float)
    steps = len(equity) - 1
    values = {name: np.zeros(steps) for name in ("notional", "fees", "slippage", "refused")}
    values |= {name: np.zeros((steps, 1)) for name in ("targets", "sold", "bought")}
    values |= {"weights": np.zeros((steps + 1, 1)), "rows": np.arange(steps), "begins": np.arange(steps) == 0}
    values |= {"timestamps": start + bar_seconds * np.arange(steps + 1)}
    return Path(assets=("BTC",), bar_seconds=bar_seconds, equity=equity, **(values | fields))


def slow_backtest(targets: Any, market: Market, rows: Any, params: EnvParams, initial: Any) -> dict[str, np.ndarray]:
    """One account bar by bar in Python floats; a row that does not follow on the one before opens it anew."""
    opening, close, tradable = (np.asarray(x).tolist() for x in (market.open, market.close, market.tradable))
    fee, worse = float(params.costs.taker_fee), float(params.costs.half_spread) + float(params.costs.slippage)
    minimum, margin = 1.02 * float(params.costs.rules.min_notional), float(params.costs.rules.buying_power_margin)
    count = len(close[0])
    step_of = np.broadcast_to(np.asarray(params.costs.rules.increment, float).reshape(-1), count).tolist()
    capital = float(params.capital)

    def whole(quantity: float, a: int) -> float:
        if step_of[a] == 0:
            return quantity
        ratio = quantity / step_of[a]
        return math.floor(ratio + min(ratio * 1e-6, 0.5)) * step_of[a]

    names = ("equity", "weights", "sold", "bought", "notional", "fees", "slippage", "refused")
    out: dict[str, list[Any]] = {name: [] for name in names}
    cash, coins, previous = 0.0, [0.0] * count, None
    for row, target in zip(np.asarray(rows).tolist(), np.asarray(targets).tolist(), strict=True):
        now, nxt, fill = close[row], close[row + 1], opening[row + 1]
        if previous is None or row != previous + 1:
            coins = [float(initial[a]) * capital / now[a] for a in range(count)]
            cash = (1 - float(sum(initial))) * capital
        previous = row
        equity = cash + sum(coins[a] * now[a] for a in range(count))
        sold, bought, wanted, refused, fees = [0.0] * count, [0.0] * count, [0.0] * count, 0, 0.0
        for a in range(count):
            difference = target[a] * equity / now[a] - coins[a]
            if difference < 0 and tradable[row][a]:
                quantity = min(whole(-difference, a), coins[a])
                if quantity * now[a] >= minimum:
                    if tradable[row + 1][a]:
                        sold[a] = quantity
                    else:
                        refused += 1
            if difference > 0 and tradable[row][a]:
                quantity = whole(difference, a)
                wanted[a] = quantity if quantity * now[a] >= minimum else 0.0
        for a in range(count):
            coins[a] -= sold[a]
            cash += sold[a] * fill[a] * (1 - worse) * (1 - fee)
            fees += sold[a] * fill[a] * (1 - worse) * fee
        need = sum(wanted[a] * now[a] for a in range(count)) * (1 + margin)
        scale = min(1.0, cash / need) if need > 0 else 1.0
        for a in range(count):
            quantity = whole(wanted[a] * scale, a)
            if quantity == 0 or quantity * now[a] < minimum:
                continue
            price = fill[a] * (1 + worse)
            if not tradable[row + 1][a] or quantity * price > cash:
                refused += 1
                continue
            bought[a] = quantity
            cash -= quantity * price
            coins[a] += quantity * (1 - fee)
            fees += quantity * fill[a] * fee
        after = cash + sum(coins[a] * nxt[a] for a in range(count))
        traded = sum((sold[a] + bought[a]) * fill[a] for a in range(count))
        values = (after, [coins[a] * nxt[a] / after for a in range(count)], sold, bought, traded, fees, traded * worse, refused)
        for name, value in zip(names, values, strict=True):
            out[name].append(value)
    return {name: np.array(values, float) for name, values in out.items()}

"""Random markets, costs and actions for the environment's tests, and the one compiled rollout that they all run."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from cappuccino.env import REWARDS, Costs, Environment, EnvParams, EnvState, RewardWeights, open_account
from cappuccino.market import Market
from cappuccino.plan import OrderRules

ASSETS, CLOCKS, ACCOUNTS, STEPS, BARS = 3, 3, 4, 8, 24


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Everything a rollout reads, as NumPy float64 on the host. Targets are (K, A, G, R), initial and fresh (A, G, R)."""

    open: np.ndarray
    close: np.ndarray
    tradable: np.ndarray
    ticks: np.ndarray
    initial: np.ndarray
    targets: np.ndarray
    fresh: np.ndarray
    increment: np.ndarray
    taker_fee: float = 0.0025
    half_spread: float = 0.0002
    slippage: float = 0.0001
    min_notional: float = 0.0
    margin: float = 0.04
    capital: float = 1e4
    limit: float = 1.0
    scale: float = 1.0
    turnover: float = 0.0
    drawdown: float = 0.0
    concentration: float = 0.0
    sharpe_rate: float = 0.02

    def but(self, **changes: Any) -> Scenario:
        """The same scenario with some fields replaced."""
        return dataclasses.replace(self, **changes)


def draw_weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Portfolios, assets first: a third all in one asset or in cash, a third with some assets left out, a third anywhere."""
    shares = rng.exponential(size=(ASSETS + 1, *shape))
    kind = rng.integers(3, size=shape)
    shares = np.where((kind == 1) & (rng.random(shares.shape) < 0.5), 0.0, shares) + 1e-300
    corner = np.arange(ASSETS + 1).reshape(-1, *[1] * len(shape)) == rng.integers(ASSETS + 1, size=shape)
    shares = np.where(kind == 0, corner, shares)
    weights = (shares / shares.sum(axis=0))[:-1]
    return np.where(weights < 1e-200, 0.0, weights)


def draw_scenario(
    seed: int, *, gap: float = 0.01, move: float = 0.01, masked: float = 0.0, increments: bool = False, **fields: Any
) -> Scenario:
    """A scenario from a seed. gap and move: standard deviations of log returns from close to open and from open to close.

    masked: share of bars that are missing. increments: steps between 1e-9 and 1, one asset without.
    """
    rng = np.random.default_rng(seed)
    start = 10 ** rng.uniform(-1, 4, ASSETS)
    gaps, moves = (rng.normal(0, size, (BARS, ASSETS)) for size in (gap, move))
    tradable = rng.random((BARS, ASSETS)) >= masked
    path = np.cumsum(np.where(tradable, gaps + moves, 0.0), axis=0)
    close = start * np.exp(path)
    opening = np.where(tradable, close / np.exp(moves), close)
    # an increment is worth at most about a hundred, so that most orders survive the cut
    increment = np.minimum(10.0 ** rng.integers(-9, 1, ASSETS), 10.0 ** np.floor(np.log10(100 / start)))
    increment[rng.integers(ASSETS)] = 0.0
    return Scenario(
        open=opening,
        close=close,
        tradable=tradable,
        ticks=rng.integers(0, BARS - STEPS, CLOCKS),
        initial=draw_weights(rng, CLOCKS, ACCOUNTS),
        targets=np.moveaxis(draw_weights(rng, STEPS, CLOCKS, ACCOUNTS), 1, 0),
        fresh=draw_weights(rng, CLOCKS, ACCOUNTS),
        increment=increment if increments else np.zeros(ASSETS),
        **fields,
    )


def scenarios(**fixed: Any) -> st.SearchStrategy[Scenario]:
    """Scenarios of every kind; arguments of `draw_scenario` given here are held, the others vary."""
    free: dict[str, st.SearchStrategy[Any]] = {
        "seed": st.integers(0, 2**32 - 1),
        "gap": st.sampled_from([0.0, 0.005, 0.03, 0.2]),
        "move": st.sampled_from([0.002, 0.02, 0.2]),
        "masked": st.sampled_from([0.0, 0.3]),
        "increments": st.booleans(),
        "taker_fee": st.sampled_from([0.0, 0.00251, 0.0973]),
        "half_spread": st.sampled_from([0.0002, 0.02]),
        "slippage": st.sampled_from([0.0, 0.0001]),
        "min_notional": st.sampled_from([0.0, 10.0, 2000.0]),
        "margin": st.sampled_from([0.0, 0.04]),
        "limit": st.sampled_from([0.0213, 0.1037, 1.0]),
    }
    return st.builds(draw_scenario, **(free | {name: st.just(value) for name, value in fixed.items()}))


def on_device(scene: Scenario, dtype: Any) -> tuple[Market, EnvParams]:
    """The scenario's market and parameters as arrays of `dtype`."""
    market = Market(
        open=jnp.asarray(scene.open, dtype),
        close=jnp.asarray(scene.close, dtype),
        features=jnp.zeros((*scene.open.shape, 1), dtype),
        tradable=jnp.asarray(scene.tradable),
    )
    value = functools.partial(jnp.asarray, dtype=dtype)
    rules = OrderRules(value(scene.min_notional), value(scene.increment[:, None, None]), value(scene.margin))
    costs = Costs(value(scene.taker_fee), value(scene.half_spread), value(scene.slippage), rules)
    parts = (scene.scale, scene.turnover, scene.drawdown, scene.concentration, scene.sharpe_rate)
    return market, EnvParams(costs, RewardWeights(*map(value, parts)), value(scene.capital), value(scene.limit))


@functools.partial(jax.jit, static_argnames="env")
def compiled_rollout(env: Environment, tick, initial, targets, fresh, market: Market, params: EnvParams):
    """Step through the targets: the states after each step, the steps, and the weights observed before each."""
    account = open_account(initial, jnp.moveaxis(market.close[tick], -1, 0)[..., None], params.capital)
    state = EnvState(tick, jnp.zeros((), jnp.int32), account, REWARDS[env.reward].init(account.equity))

    def body(state, weights):
        observed = env.weights(state, market)
        state, step = env.step(state, weights, fresh, market, params)
        return state, (state, step, observed)

    return jax.lax.scan(body, state, targets)[1]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """A compiled rollout's record in NumPy float64, under the names that `env_reference.slow_rollout` uses."""

    record: dict[str, np.ndarray]
    observed: np.ndarray
    tick: np.ndarray
    age: np.ndarray

    def __getattr__(self, name: str) -> np.ndarray:
        return self.record[name]


def run(scene: Scenario, *, reward: str = "log_growth", double: bool = True) -> Rollout:
    """Run the compiled environment over a scenario in float64, or in float32."""
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        market, params = on_device(scene, dtype)
        shape = scene.targets.shape
        env = Environment(shape[2], shape[3], shape[0], reward)
        arrays = (jnp.asarray(x, dtype) for x in (scene.initial, scene.targets, scene.fresh))
        out = compiled_rollout(env, jnp.asarray(scene.ticks, jnp.int32), *arrays, market, params)
        state, step, observed = jax.tree.map(np.asarray, out)
    record = step._asdict() | step.trades._asdict() | state.account._asdict()
    del record["trades"]
    assert step.reward.dtype == dtype
    record = {name: np.asarray(value, np.float64) for name, value in record.items()}
    record["terminated"] = step.terminated
    return Rollout(record, observed.astype(np.float64), state.tick, state.age)

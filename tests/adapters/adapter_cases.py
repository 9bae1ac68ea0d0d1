"""A small random market with costs, and the environments over it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from cappuccino.adapters.accounts import MarketAccounts
from cappuccino.adapters.gymnasium_envs import LOGIT_BOUND, MarketEnv, MarketVectorEnv
from cappuccino.env import Costs, Environment, EnvParams, RewardWeights
from cappuccino.features.normaliser import Normaliser
from cappuccino.market import Market
from cappuccino.plan import OrderRules

ASSETS, FEATURES, BARS, WARMUP, LOOKBACK, EPISODE = 3, 2, 50, 4, 3, 6
CLOCKS, ACCOUNTS = 2, 3


@dataclasses.dataclass(frozen=True)
class Case:
    """What the environments are made of."""

    market: Market
    starts: np.ndarray
    params: EnvParams
    env: Environment
    normaliser: Normaliser

    def single(self, *, logit_bound: float = LOGIT_BOUND, **changes: Any) -> MarketEnv:
        return MarketEnv(self.sized(1, 1).accounts(**changes), logit_bound=logit_bound)

    def vector(self, *, logit_bound: float = LOGIT_BOUND, **changes: Any) -> MarketVectorEnv:
        return MarketVectorEnv(self.accounts(**changes), logit_bound=logit_bound)

    def accounts(self, **changes: Any) -> MarketAccounts:
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | {"lookback": LOOKBACK}
        return MarketAccounts(**(parts | changes))

    def sized(self, clocks: int, accounts: int) -> Case:
        return dataclasses.replace(self, env=dataclasses.replace(self.env, clocks=clocks, accounts=accounts))


def draw_case(
    seed: int = 0,
    *,
    move: float = 0.03,
    masked: float = 0.0,
    limit: float = 1.0,
    increment: float = 0.0,
    taker_fee: float = 0.0025,
    reward: str = "log_growth",
) -> Case:
    """A case from a seed: closes move and gap by `move`, a share `masked` of the bars is missing."""
    rng = np.random.default_rng(seed)
    tradable = rng.random((BARS, ASSETS)) >= masked
    moves, gaps = rng.normal(0, move, (2, BARS, ASSETS))
    close = 10 ** rng.uniform(0, 3, ASSETS) * np.exp(np.cumsum(np.where(tradable, moves + gaps, 0), axis=0))
    features = rng.normal(1, 2, (BARS, ASSETS, FEATURES)).astype(np.float32)
    features[:WARMUP] = np.nan
    market = Market(
        open=jnp.asarray(np.where(tradable, close / np.exp(moves), close), jnp.float32),
        close=jnp.asarray(close, jnp.float32),
        features=jnp.asarray(features),
        tradable=jnp.asarray(tradable),
    )
    value = jnp.float32
    rules = OrderRules(value(1), jnp.full((ASSETS, 1, 1), increment, jnp.float32), value(0.04))
    params = EnvParams(
        costs=Costs(value(taker_fee), value(0.0002), value(0.0001), rules),
        reward=RewardWeights(value(100), value(0.1), value(0.2), value(0.01), value(0.02)),
        capital=value(10_000),
        drawdown_limit=value(limit),
    )
    starts = np.arange(WARMUP + LOOKBACK - 1, BARS - EPISODE)
    normaliser = Normaliser(mean=np.ones(FEATURES), std=np.full(FEATURES, 1.5), clip=2.5)
    return Case(market, starts, params, Environment(CLOCKS, ACCOUNTS, EPISODE, reward), normaliser)


def cases(**fixed: Any) -> st.SearchStrategy[Case]:
    """Cases of every kind; arguments of `draw_case` given here are held, the others vary."""
    free: dict[str, st.SearchStrategy[Any]] = {
        "seed": st.integers(0, 2**32 - 1),
        "move": st.sampled_from([0.003, 0.03, 0.2]),
        "masked": st.sampled_from([0.0, 0.3]),
        "limit": st.sampled_from([0.0213, 0.1037, 1.0]),
        "increment": st.sampled_from([0.0, 0.01]),
        "taker_fee": st.sampled_from([0.0, 0.0025]),
    }
    return st.builds(draw_case, **(free | {name: st.just(value) for name, value in fixed.items()}))


def draw_actions(seed: int, steps: int, accounts: int) -> np.ndarray:
    """Logits (steps, accounts, A + 1): a third evenly within the bounds, a third nearly equal weights, a third on the bounds."""
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-LOGIT_BOUND, LOGIT_BOUND, (steps, accounts, ASSETS + 1))
    kind = rng.integers(3, size=(steps, accounts, 1))
    logits = np.where(kind == 1, logits / 20, np.where(kind == 2, np.sign(logits) * LOGIT_BOUND, logits))
    return logits.astype(np.float32)


def of(infos: dict[str, Any], account: int) -> dict[str, Any]:
    """One account's info out of a vector environment's, the final ones left out."""
    names = [name for name in infos if not name.startswith(("_", "final"))]
    return {name: infos[name][account] for name in names if infos[f"_{name}"][account]}

"""Accounts of the market behind a loop on the host: one compiled call a step, NumPy on this side of it.

What every adapter shares and no library's name is in. Accounts are numbered by clock: account r of clock g is n = g R + r of
N = G R. An observation is the window of normalised features of the account's clock and the account's asset weights.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int, PRNGKeyArray

from cappuccino.agents.networks import target_weights
from cappuccino.env import Environment, EnvParams, EnvState, Starts, starts_at
from cappuccino.errors import InputError
from cappuccino.features.normaliser import Normaliser, normalise
from cappuccino.market import Market, windows

_ROUNDING = 1e-6
"""By how much weights given in float32 may sum to more than one."""


class Opened(NamedTuple):
    """Accounts at the beginning of an episode. observation (N, D). initial: the asset weights that they were opened with."""

    observation: Float32[np.ndarray, "N D"]
    initial: Float32[np.ndarray, "N A"]


class Record(NamedTuple):
    """What one step did to each account, before any was opened again.

    equity at its end and fees in quote currency; log growth of equity; turnover: notional over equity before; refused: orders
    that did not fill, a count.
    """

    equity: Float[np.ndarray | Array, "N"]
    log_growth: Float[np.ndarray | Array, "N"]
    turnover: Float[np.ndarray | Array, "N"]
    fees: Float[np.ndarray | Array, "N"]
    refused: Float[np.ndarray | Array, "N"]


class Stepped(NamedTuple):
    """One step of all accounts.

    final: observation at its end, of accounts as they ended. following: the same, with those that terminated opened again; the
    same array where none did.
    truncated: whether it was the episode's last bar, for all at once.
    """

    final: Float32[np.ndarray, "N D"]
    following: Float32[np.ndarray, "N D"]
    reward: Float[np.ndarray, "N"]
    terminated: Bool[np.ndarray, "N"]
    truncated: bool
    record: Record


class _Seen(NamedTuple):
    """An observation in its two parts: a window is shared by its clock's accounts, and leaves the device once."""

    windows: Float[Array, "G W"]
    weights: Float[Array, "N A"]


def _by_account(table: Float[Array, "A G R"]) -> Float[Array, "N A"]:
    return table.reshape(table.shape[0], -1).T


def _by_clock(table: Float[Array, "N A"], env: Environment) -> Float[Array, "A G R"]:
    return table.T.reshape(-1, env.clocks, env.accounts)


def _see(state: EnvState, market: Market, features: Float[Array, "T A F"], env: Environment, lookback: int) -> _Seen:
    window = windows(features, state.tick, lookback)
    return _Seen(window.reshape(env.clocks, -1), _by_account(env.weights(state, market)))


@functools.partial(jax.jit, static_argnames=("env", "assets"))
def _draw(starts: Starts, key: PRNGKeyArray, *, env: Environment, assets: int) -> tuple[Int[Array, "G"], Float[Array, "A G R"]]:
    return env.draw(starts, assets, jnp.float32, key=key)


@functools.partial(jax.jit, static_argnames=("env", "lookback"))
def _open(
    tick: Int[Array, "G"],
    age: Int[Array, ""],
    weights: Float[Array, "A G R"],
    market: Market,
    features: Float[Array, "T A F"],
    params: EnvParams,
    *,
    env: Environment,
    lookback: int,
) -> tuple[EnvState, _Seen]:
    state = env.open(tick, weights, market, params)._replace(age=age)
    return state, _see(state, market, features, env, lookback)


@functools.partial(jax.jit, static_argnames=("env", "lookback"))
def _step(
    state: EnvState,
    logits: Float[Array, "N K"],
    fresh: Float[Array, "A G R"],
    market: Market,
    features: Float[Array, "T A F"],
    params: EnvParams,
    *,
    env: Environment,
    lookback: int,
) -> tuple[EnvState, _Seen, Float[Array, "N A"], tuple[Float[Array, "N"], Bool[Array, "N"]], Record]:
    """The state, the observation, the weights of accounts as they ended, (reward, terminated), and the record."""
    weights = _by_clock(target_weights(logits), env)
    # The same step with no limit is the accounts before any was opened again; compiled, what the two share is computed once.
    unlimited = params._replace(drawdown_limit=jnp.full_like(params.drawdown_limit, jnp.inf))
    ended, _ = env.step(state, weights, fresh, market, unlimited)
    following, out = env.step(state, weights, fresh, market, params)
    record = Record(
        equity=ended.account.equity.reshape(-1),
        log_growth=out.log_growth.reshape(-1),
        turnover=(out.trades.notional / state.account.equity).reshape(-1),
        fees=out.trades.fees.reshape(-1),
        refused=out.trades.refused.reshape(-1),
    )
    return (
        following,
        _see(following, market, features, env, lookback),
        _by_account(env.weights(ended, market)),
        (out.reward.reshape(-1), out.terminated.reshape(-1)),
        record,
    )


class MarketAccounts:
    """All accounts of an environment, stepped together; what is random comes from the generator passed in.

    market: float32, T bars, A assets, F features. starts: rows at which an episode may begin (`MarketSpec.start_rows`).
    env: clocks, accounts, bars per episode, reward. lookback: rows in a window, L. Compiled once for an environment, a
    look-back and the market's shape, however many objects are made: market and parameters are arguments.

    Raises InputError for a market of another dtype, a normaliser of another number of features, a look-back below 1, and start
    rows from which an episode reads rows that the market does not have or whose features are not finite.
    """

    def __init__(
        self,
        market: Market,
        starts: Int[np.ndarray, "S"] | Int[Array, "S"],
        params: EnvParams,
        env: Environment,
        normaliser: Normaliser,
        *,
        lookback: int,
    ):
        if market.close.dtype != jnp.float32:
            raise InputError(f"the market's dtype is {market.close.dtype}; an adapter takes float32")
        if np.shape(normaliser.mean) != market.features.shape[2:]:
            raise InputError(
                f"the normaliser is for features {np.shape(normaliser.mean)}, the market's {market.features.shape[2:]}"
            )
        if lookback < 1:
            raise InputError(f"lookback is {lookback}; it must be at least 1")
        self._starts = _checked_starts(np.asarray(starts), np.asarray(market.features), lookback, env.episode_bars)
        self.market, self.params, self.env, self.lookback = market, params, env, lookback
        self.clip = float(normaliser.clip)
        scale = Normaliser(*(jnp.asarray(value, jnp.float32) for value in normaliser))
        self._features = normalise(market.features, scale, xp=jnp)
        self._state: EnvState | None = None
        self._fresh: Float[Array, "A G R"] | None = None

    @property
    def assets(self) -> int:
        return self.market.close.shape[1]

    @property
    def number(self) -> int:
        return self.env.clocks * self.env.accounts

    @property
    def window_size(self) -> int:
        """L A F, the length of an observation's first part."""
        return self.lookback * self.assets * self.market.features.shape[2]

    @property
    def rows(self) -> Int[np.ndarray, "N"]:
        """The bar at whose close each account stands."""
        state, _ = self._running()
        return np.repeat(np.asarray(state.tick, np.int64), self.env.accounts)

    def begin(
        self,
        rng: np.random.Generator,
        *,
        rows: Int[np.ndarray, "G"] | None = None,
        weights: Float[np.ndarray, "N A"] | None = None,
    ) -> Opened:
        """New episodes on all clocks: at the given start rows and in the given asset weights, each random where it is None.

        Takes as much from the generator in any case. Raises InputError for a row that is none of the start rows, and for
        weights that are negative, not finite or more than one in sum.
        """
        ticks, drawn = self._draw(rng)
        if rows is not None:
            ticks = jnp.asarray(self._checked_rows(np.asarray(rows)))
        return self._opened(rng, ticks, jnp.zeros((), jnp.int32), drawn if weights is None else self._given(weights))

    def restart(self, rng: np.random.Generator, weights: Float[np.ndarray, "N A"]) -> Opened:
        """Open all accounts again where their clocks stand, in the given asset weights. Raises InputError as `begin` does."""
        state, _ = self._running()
        return self._opened(rng, state.tick, state.age, self._given(weights))

    def step(self, logits: Float32[np.ndarray, "N K"]) -> Stepped:
        """One bar: trade towards softmax(logits), K = A + 1 with cash last. Accounts at the drawdown limit are opened again."""
        state, fresh = self._running()
        state, seen, ended, outcome, record = _step(
            state, logits, fresh, self.market, self._features, self.params, env=self.env, lookback=self.lookback
        )
        self._state = state
        seen, ended, outcome, record, age = jax.device_get((seen, ended, outcome, record, state.age))
        reward, terminated = outcome
        following = _flat(seen)
        return Stepped(
            final=_flat(seen._replace(weights=ended)) if terminated.any() else following,
            following=following,
            reward=reward,
            terminated=terminated,
            truncated=bool(age >= self.env.episode_bars),
            record=record,
        )

    def renew(self, rng: np.random.Generator) -> Float32[np.ndarray, "N A"]:
        """Draw new weights for restarts; returns those with which the last step opened accounts again."""
        _, used = self._running()
        _, self._fresh = self._draw(rng)
        return _to_host(used)

    def _running(self) -> tuple[EnvState, Float[Array, "A G R"]]:
        assert self._state is not None, "no episode has begun"
        assert self._fresh is not None
        return self._state, self._fresh

    def _draw(self, rng: np.random.Generator) -> tuple[Int[Array, "G"], Float[Array, "A G R"]]:
        key = jax.random.key(int(rng.integers(2**32)))
        return _draw(self._starts, key, env=self.env, assets=self.assets)

    def _opened(
        self, rng: np.random.Generator, ticks: Int[Array, "G"], age: Int[Array, ""], weights: Float[Array, "A G R"]
    ) -> Opened:
        self._state, seen = _open(
            ticks, age, weights, self.market, self._features, self.params, env=self.env, lookback=self.lookback
        )
        _, self._fresh = self._draw(rng)
        return Opened(_flat(jax.device_get(seen)), _to_host(weights))

    def _checked_rows(self, rows: np.ndarray) -> Int[np.ndarray, "G"]:
        if rows.shape != (self.env.clocks,) or not np.isin(rows, self._starts.rows).all():
            raise InputError(f"rows to begin at are {rows.tolist()}; it takes {self.env.clocks}, each one of the start rows")
        return rows.astype(np.int32)

    def _given(self, weights: np.ndarray) -> Float[Array, "A G R"]:
        shape = (self.number, self.assets)
        if weights.shape != shape:
            raise InputError(f"weights to begin with have shape {weights.shape}; they must have {shape}")
        if not ((weights >= 0).all() and (weights.sum(axis=1) <= 1 + _ROUNDING).all()):
            raise InputError(f"weights to begin with are {weights.tolist()}; they must be at least 0 with a sum of at most 1")
        return _by_clock(jnp.asarray(weights, jnp.float32), self.env)


def _to_host(weights: Float[Array, "A G R"]) -> Float32[np.ndarray, "N A"]:
    return np.asarray(weights).reshape(weights.shape[0], -1).T.copy()


def _flat(seen: _Seen) -> Float32[np.ndarray, "N D"]:
    """Window and weights of each account side by side, in memory of its own."""
    accounts = len(seen.weights) // len(seen.windows)
    return np.concatenate([np.repeat(seen.windows, accounts, axis=0), seen.weights], axis=1)


def _checked_starts(
    starts: Int[np.ndarray, "S"], features: Float[np.ndarray, "T A F"], lookback: int, episode_bars: int
) -> Starts:
    """Start rows on the device, where an episode from each reads only rows that exist and have features."""
    if len(starts) == 0:
        raise InputError("there is no start row; at least one is needed")
    first, last = starts - lookback + 1, starts + episode_bars
    outside = (first < 0) | (last >= len(features))
    if outside.any():
        row = int(starts[outside][0])
        raise InputError(
            f"an episode from start row {row} reads rows {row - lookback + 1} to {row + episode_bars}; the market has rows 0 to "
            f"{len(features) - 1}"
        )
    unknown = np.concatenate([[0], np.cumsum(~np.isfinite(features).all(axis=(1, 2)))])
    bare = unknown[last + 1] > unknown[first]
    if bare.any():
        row = int(starts[bare][0])
        raise InputError(
            f"an episode from start row {row} reads features that are not finite, between rows {row - lookback + 1} and "
            f"{row + episode_bars}; take the rows from MarketSpec.start_rows"
        )
    return starts_at(starts)

"""The environment: G clocks with R accounts on each, stepped together inside one compiled program.

Observation: the window of market features at the clock's tick (shared by its R accounts) and the account's asset weights.
Action: target weights of the assets, (A, G, R), non-negative with a sum of at most one; the rest is cash.
Reward: by name (`cappuccino.env.rewards`), less penalties, times a scale; a pure number per bar.
Termination: the drawdown from the peak reaches the limit (ruin is its extreme). The account restarts in place, with
fresh capital and weights; the value behind it is zero. Truncation: the episode's last bar, for all clocks at once, as they
begin together; whoever drives the environment then calls `begin` again and bootstraps the value.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cappuccino.env.account import Account, Bar, Costs, Trades, mark, open_account, trade
from cappuccino.env.rewards import REWARDS, Outcome, RewardWeights, penalty
from cappuccino.env.ruled import opened_risk, under_rules
from cappuccino.errors import InputError
from cappuccino.market import Market
from cappuccino.risk import Limits, RiskState


class EnvParams(NamedTuple):
    """Traced parameters: costs, reward weights, capital of a fresh account (quote currency), drawdown that ends it (share).

    risk: limits of the risk rules that stand between targets and orders; None for no rules.
    """

    costs: Costs
    reward: RewardWeights
    capital: Float[Array, ""]
    drawdown_limit: Float[Array, ""]
    risk: Limits | None = None


class Starts(NamedTuple):
    """Rows at which an episode may begin: the first `number` of `rows`. What follows only fills up a table of several lanes."""

    rows: Int[Array, "S"]
    number: Int[Array, ""]


def starts_at(rows: Int[np.ndarray, "N"], size: int | None = None) -> Starts:
    """Start rows, filled up to `size` with copies of the last."""
    filled = np.pad(rows, (0, (size or len(rows)) - len(rows)), mode="edge")
    return Starts(jnp.asarray(filled, jnp.int32), jnp.asarray(len(rows), jnp.int32))


class EnvState(NamedTuple):
    """tick: the bar at whose close each clock stands. age: bars since the episode began, the same for all clocks.

    risk: what the risk rules remember; None without rules.
    """

    tick: Int[Array, "G"]
    age: Int[Array, ""]
    account: Account
    reward: Any
    risk: RiskState | None = None


class Step(NamedTuple):
    """One step's reward and whether it ended the account; log growth of equity, and the trades, for the record."""

    reward: Float[Array, "G R"]
    terminated: Bool[Array, "G R"]
    log_growth: Float[Array, "G R"]
    trades: Trades


def bar_at(market: Market, tick: Int[Array, "*G"]) -> Bar:
    """What the step from bar `tick` reads, assets first, with an axis of one for the accounts of each clock."""

    def assets_first(table: Array, row: Int[Array, "*G"]) -> Array:
        return jnp.moveaxis(table[row], -1, 0)[..., None]

    return Bar(
        close=assets_first(market.close, tick),
        tradable=assets_first(market.tradable, tick),
        next_open=assets_first(market.open, tick + 1),
        next_close=assets_first(market.close, tick + 1),
        next_tradable=assets_first(market.tradable, tick + 1),
        day=None if market.day is None else market.day[tick][..., None],
    )


@dataclasses.dataclass(frozen=True)
class Environment:
    """The environment's shape: clocks G, accounts per clock R, bars per episode, the reward's name. Changing it recompiles."""

    clocks: int
    accounts: int
    episode_bars: int
    reward: str = "log_growth"

    def __post_init__(self) -> None:
        for name in ("clocks", "accounts", "episode_bars"):
            if getattr(self, name) < 1:
                raise InputError(f"env.{name} is {getattr(self, name)}; it must be at least 1")
        if self.reward not in REWARDS:
            raise InputError(f"env.reward.name is {self.reward!r}; it must be one of {', '.join(REWARDS)}")

    def random_weights(self, assets: int, dtype: Any, *, key: PRNGKeyArray) -> Float[Array, "A G R"]:
        """Weights drawn evenly from all portfolios of the assets and cash (Dirichlet with all parameters one)."""
        shares = jax.random.exponential(key, (assets + 1, self.clocks, self.accounts), dtype)
        return shares[:-1] / jnp.sum(shares, axis=0)

    def draw(
        self, starts: Starts, assets: int, dtype: Any, *, key: PRNGKeyArray
    ) -> tuple[Int[Array, "G"], Float[Array, "A G R"]]:
        """What new episodes begin with: a random row of `starts` for every clock, random weights for every account."""
        key_tick, key_weights = jax.random.split(key)
        tick = starts.rows[jax.random.randint(key_tick, (self.clocks,), 0, starts.number)]
        return tick, self.random_weights(assets, dtype, key=key_weights)

    def open(self, tick: Int[Array, "G"], weights: Float[Array, "A G R"], market: Market, params: EnvParams) -> EnvState:
        """New episodes on the given rows, with fresh accounts already in the given weights."""
        bar = bar_at(market, tick)
        account = open_account(weights, bar.close, params.capital)
        risk = opened_risk(account, bar, params.risk)
        return EnvState(tick, jnp.zeros((), jnp.int32), account, REWARDS[self.reward].init(account.equity), risk)

    def begin(self, market: Market, starts: Starts, params: EnvParams, *, key: PRNGKeyArray) -> EnvState:
        """New episodes: every clock on a random row of `starts`, every account with random weights."""
        tick, weights = self.draw(starts, market.close.shape[1], market.close.dtype, key=key)
        return self.open(tick, weights, market, params)

    def weights(self, state: EnvState, market: Market) -> Float[Array, "A G R"]:
        """The account's part of the observation: asset weights at the close of the tick."""
        return mark(state.account, jnp.moveaxis(market.close[state.tick], -1, 0)[..., None])

    def step(
        self,
        state: EnvState,
        weights: Float[Array, "A G R"],
        fresh: Float[Array, "A G R"],
        market: Market,
        params: EnvParams,
    ) -> tuple[EnvState, Step]:
        """Trade towards `weights` over one bar. An account that terminates restarts with the weights `fresh`.

        `fresh` is drawn once a rollout and not here: random numbers for every account and step would cost more than the step.
        """
        bar = bar_at(market, state.tick)
        before = state.account
        weights, risk = under_rules(weights, state.risk, before, bar, params.risk)
        after, trades = trade(before, weights, bar, params.costs)

        growth = after.equity / before.equity
        drawdown_before, drawdown_after = (1 - account.equity / account.peak for account in (before, after))
        outcome = Outcome(
            growth=growth,
            market_growth=jnp.mean(bar.next_close / bar.close, axis=0),
            turnover=trades.notional / before.equity,
            deepening=jnp.maximum(drawdown_after - drawdown_before, 0),
            weights=mark(after, bar.next_close),
        )
        rule = REWARDS[self.reward]
        reward, reward_state = rule.step(state.reward, outcome, params.reward)
        reward = params.reward.scale * (reward - penalty(outcome, params.reward))

        terminated = drawdown_after >= params.drawdown_limit
        restarted = open_account(fresh, bar.next_close, params.capital)
        # The close at which an account restarts is the next that the rules see.
        fresh_risk = opened_risk(restarted, bar._replace(close=bar.next_close), params.risk)
        account, reward_state, risk = jax.tree.map(
            lambda new, old: jnp.where(terminated, new, old),
            (restarted, rule.init(restarted.equity), fresh_risk),
            (after, reward_state, risk),
        )
        return EnvState(state.tick + 1, state.age + 1, account, reward_state, risk), Step(
            reward=reward, terminated=terminated, log_growth=jnp.log(growth), trades=trades
        )

"""The environment's step as a parallel loop in Numba: the opponent of `env_step`, written as fast as we know how.

The same semantics as `Environment.step` with the reward `log_growth` and all three penalties. Blocks of accounts of one clock
run in parallel; a block's state stays in the first-level cache for all the steps of a call; the loops over a block's accounts are
short, branch-free and of constant length, so that LLVM vectorises them. Both cuts of a bar's change are one; what does not
depend on the account (a bar that is missing, penalties of weight zero) is decided outside those loops. The only liberty over the
order of operations is that a product may be fused into a sum, which XLA takes too.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numba import njit, prange

from cappuccino.env import EnvParams, EnvState
from cappuccino.market import Market
from cappuccino.plan import NOTIONAL_HEADROOM, ROUNDING_SLACK

MOST = 64
"""Accounts in a block, at most."""


@dataclasses.dataclass(frozen=True)
class NumbaEnv:
    """State and parameters on the host, as the loop reads them; the loop moves the state in place. Money in quote currency.

    tick (G,): int32. cash, equity, peak (G, R), holdings (A, G, R): the dtype of the market's prices. numbers: the scalars.
    """

    tick: np.ndarray
    cash: np.ndarray
    holdings: np.ndarray
    equity: np.ndarray
    peak: np.ndarray
    open: np.ndarray
    close: np.ndarray
    tradable: np.ndarray
    increment: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(cls, state: EnvState, market: Market, params: EnvParams) -> NumbaEnv:
        """A copy of the environment's state."""
        close = np.array(market.close)
        assets, dtype = close.shape[1], close.dtype
        costs, reward = params.costs, params.reward
        numbers = [
            *(0, 1, ROUNDING_SLACK, 0.5, NOTIONAL_HEADROOM * costs.rules.min_notional, costs.half_spread + costs.slippage),
            *(costs.taker_fee, 1 + costs.rules.buying_power_margin),
            *(reward.scale, reward.turnover, reward.drawdown, reward.concentration, params.capital, params.drawdown_limit),
        ]
        return cls(
            tick=np.array(state.tick),
            cash=np.array(state.account.cash),
            holdings=np.array(state.account.holdings),
            equity=np.array(state.account.equity),
            peak=np.array(state.account.peak),
            open=np.array(market.open),
            close=close,
            tradable=np.array(market.tradable),
            increment=np.array(np.broadcast_to(np.asarray(costs.rules.increment).ravel(), assets)),
            numbers=np.array([np.asarray(number) for number in numbers], dtype),
        )

    def step(
        self, weights: np.ndarray, fresh: np.ndarray, reward: np.ndarray, terminated: np.ndarray, growth: np.ndarray
    ) -> None:
        """All steps of `weights` (K, A, G, R) in one call. Fills reward, terminated (bool) and log growth, (K, G, R)."""
        _kernel(len(self.increment), _block(reward.shape[2]))(
            *(self.tick, self.cash, self.holdings, self.equity, self.peak, weights, fresh),
            *(self.open, self.close, self.tradable, self.increment, self.numbers),
            *(reward, terminated, growth),
        )
        self.tick[...] += len(weights)


@njit(inline="always")
def _cut(quantity: Any, increment: Any, divisor: Any, cuts: Any, slack: Any, half: Any) -> Any:
    steps = quantity / divisor
    more = steps * slack
    whole = np.floor(steps + (more if more < half else half))
    return whole * increment if cuts else quantity


def _block(accounts: int) -> int:
    """The largest number of accounts, MOST at most, of which all blocks of a clock can be."""
    return max(size for size in range(1, min(accounts, MOST) + 1) if accounts % size == 0)


@functools.cache
def _kernel(assets: int, size: int) -> Any:
    """The loop for a number of assets and of accounts in a block, constants that LLVM unrolls and vectorises over.

    Literals would be float64: all numbers come in an array.
    """

    @njit(parallel=True, error_model="numpy", fastmath={"contract", "nsz"})
    def steps(
        tick,
        cash,
        holdings,
        equity,
        peak,
        weights,
        fresh,
        opens,
        closes,
        tradables,
        increments,
        numbers,
        reward,
        ended,
        growth,
    ):
        count, clocks, accounts = reward.shape
        blocks = accounts // size
        for block in prange(clocks * blocks):
            g = block // blocks
            first = (block - g * blocks) * size
            here = slice(first, first + size)
            zero, one, slack, half, least, friction, fee = (
                numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
            )  # fmt: skip
            margin, scale, w_turnover, w_drawdown, w_concentration, capital, limit = (
                numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
            )  # fmt: skip
            w = np.empty((2 * assets + 4) * size, numbers.dtype)
            h = np.empty(assets * size, numbers.dtype)
            c, e, top = (np.empty(size, numbers.dtype), np.empty(size, numbers.dtype), np.empty(size, numbers.dtype))
            # where in w: sells and wanted buys of each asset, then one line of accounts each
            SELL, BUY, X, SOLD, NEW, BOUGHT = (
                0, assets * size, 2 * assets * size, (2 * assets + 1) * size, (2 * assets + 2) * size, (2 * assets + 3) * size,
            )  # fmt: skip
            for j in range(size):
                c[j], e[j], top[j] = cash[g, first + j], equity[g, first + j], peak[g, first + j]
            for a in range(assets):
                for j in range(size):
                    h[a * size + j] = holdings[a, g, first + j]

            for k in range(count):
                t = tick[g] + k
                # equity at the close of t, in X
                for j in range(size):
                    w[X + j] = zero
                    w[SOLD + j] = zero
                    w[NEW + j] = zero  # first the cost of the wanted buys
                for a in range(assets):
                    price = closes[t, a]
                    for j in range(size):
                        w[X + j] += h[a * size + j] * price
                for j in range(size):
                    w[X + j] += c[j]
                # the plan, and the sells that fill
                for a in range(assets):
                    price, opening, increment = closes[t, a], opens[t + 1, a], increments[a]
                    cuts = increment > zero
                    divisor = increment if cuts else one
                    target = weights[k, a, g, here]
                    if tradables[t, a]:
                        fills = tradables[t + 1, a]
                        for j in range(size):
                            held = h[a * size + j]
                            change = target[j] * w[X + j] / price - held
                            quantity = _cut(change if change > zero else -change, increment, divisor, cuts, slack, half)
                            sell = quantity if quantity < held else held
                            sell = sell if fills and change < zero and sell * price >= least and sell > zero else zero
                            buy = quantity if change > zero and quantity * price >= least and quantity > zero else zero
                            w[SELL + a * size + j] = sell
                            w[BUY + a * size + j] = buy
                            w[SOLD + j] += sell * opening
                            w[NEW + j] += buy * price
                    else:
                        for j in range(size):
                            w[SELL + a * size + j] = zero
                            w[BUY + a * size + j] = zero
                # proceeds into cash, and the factor that fits the buys to it, in X
                for j in range(size):
                    proceeds = w[SOLD + j] - w[SOLD + j] * friction
                    now = c[j] + (proceeds - proceeds * fee)
                    cost = w[NEW + j] * margin
                    factor = now / (cost if cost > zero else one)
                    factor = factor if factor < one else one
                    c[j] = now
                    w[X + j] = factor if cost > zero else one
                    w[NEW + j] = zero  # from here on value of the holdings at the next close
                    w[BOUGHT + j] = zero
                # buys in the order of the assets
                for a in range(assets):
                    price, opening, following, increment = closes[t, a], opens[t + 1, a], closes[t + 1, a], increments[a]
                    cuts = increment > zero
                    divisor = increment if cuts else one
                    if tradables[t, a] and tradables[t + 1, a]:
                        for j in range(size):
                            quantity = _cut(w[BUY + a * size + j] * w[X + j], increment, divisor, cuts, slack, half)
                            value = quantity * opening
                            cost = value + value * friction
                            now = c[j]
                            fills = quantity * price >= least and quantity > zero and cost <= now
                            left = now - cost
                            left = left if left > zero else zero
                            c[j] = left if fills else now
                            buy = quantity if fills else zero
                            held = h[a * size + j] - w[SELL + a * size + j] + (buy - buy * fee)
                            h[a * size + j] = held
                            w[NEW + j] += held * following
                            w[BOUGHT + j] += buy * opening
                    else:
                        for j in range(size):
                            held = h[a * size + j] - w[SELL + a * size + j]
                            h[a * size + j] = held
                            w[NEW + j] += held * following
                # equity at the close of t + 1, in NEW; log growth; penalties; reward
                for j in range(size):
                    w[NEW + j] += c[j]
                    w[X + j] = w[NEW + j] / e[j]
                to_growth, to_reward, to_ended = growth[k, g, here], reward[k, g, here], ended[k, g, here]
                for j in range(size):
                    to_growth[j] = np.log(w[X + j])
                for j in range(size):
                    w[X + j] = zero
                if w_concentration != zero:
                    for a in range(assets):
                        following = closes[t + 1, a]
                        for j in range(size):
                            share = h[a * size + j] * following / w[NEW + j]
                            w[X + j] += share * share
                any_ended = False
                for j in range(size):
                    before, after, highest = e[j], w[NEW + j], top[j]
                    drawdown = one - before / highest
                    highest = highest if highest > after else after
                    deeper = one - after / highest
                    ends = deeper >= limit
                    deepening = deeper - drawdown
                    deepening = deepening if deepening > zero else zero
                    penalty = (
                        w_turnover * ((w[SOLD + j] + w[BOUGHT + j]) / before)
                        + w_drawdown * deepening
                        + w_concentration * w[X + j]
                    )
                    to_reward[j] = scale * (to_growth[j] - penalty)
                    to_ended[j] = ends
                    any_ended |= ends
                    e[j] = after
                    top[j] = highest
                if any_ended:
                    for j in range(size):
                        if to_ended[j]:
                            invested = zero
                            for a in range(assets):
                                share = fresh[a, g, first + j]
                                invested += share
                                h[a * size + j] = share * capital / closes[t + 1, a]
                            rest = (one - invested) * capital
                            c[j] = rest if rest > zero else zero
                            e[j] = capital
                            top[j] = capital

            for j in range(size):
                cash[g, first + j], equity[g, first + j], peak[g, first + j] = c[j], e[j], top[j]
            for a in range(assets):
                for j in range(size):
                    holdings[a, g, first + j] = h[a * size + j]

    return steps

"""The environment's step as a parallel loop in Numba: the opponent of `env_step`, written as fast as we know how.

The same semantics as `Environment.step` with the reward `log_growth` and all three penalties. Blocks of accounts of one clock
run in parallel; a block's state stays in the first-level cache for all the steps of a call; the loops over a block's accounts are
short, branch-free and over one scratch array, so that LLVM vectorises them. Both cuts of a bar's change are one; what does not
depend on the account (a bar that is missing, penalties of weight zero) is decided outside those loops. The only liberty over the
order of operations is that a product may be fused into a sum, which XLA takes too.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from cappuccino.env import EnvParams, EnvState
from cappuccino.market import Market
from cappuccino.plan import NOTIONAL_HEADROOM, ROUNDING_SLACK

BLOCK = 64


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
    scratch: np.ndarray

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
            scratch=np.empty((numba.get_num_threads(), (3 * assets + 7) * BLOCK), dtype),
        )

    def step(
        self, weights: np.ndarray, fresh: np.ndarray, reward: np.ndarray, terminated: np.ndarray, growth: np.ndarray
    ) -> None:
        """All steps of `weights` (K, A, G, R) in one call. Fills reward, terminated (bool) and log growth, (K, G, R)."""
        _kernel(len(self.increment))(
            *(self.tick, self.cash, self.holdings, self.equity, self.peak, weights, fresh),
            *(self.open, self.close, self.tradable, self.increment, self.numbers, self.scratch),
            *(reward, terminated, growth),
        )
        self.tick[...] += len(weights)


@njit(inline="always")
def _cut(quantity: Any, increment: Any, divisor: Any, cuts: Any, slack: Any, half: Any) -> Any:
    steps = quantity / divisor
    more = steps * slack
    whole = np.floor(steps + (more if more < half else half))
    return whole * increment if cuts else quantity


@functools.cache
def _kernel(assets: int) -> Any:
    """The loop for a number of assets, which it unrolls over. Literals would be float64: all numbers come in an array."""

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
        scratch,
        reward,
        ended,
        growth,
    ):
        count, clocks, accounts = reward.shape
        blocks = (accounts + BLOCK - 1) // BLOCK
        for block in prange(clocks * blocks):
            g = block // blocks
            first = (block - g * blocks) * BLOCK
            n = min(BLOCK, accounts - first)
            here = slice(first, first + n)
            zero, one, slack, half, least, friction, fee = (
                numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6],
            )  # fmt: skip
            margin, scale, w_turnover, w_drawdown, w_concentration, capital, limit = (
                numbers[7], numbers[8], numbers[9], numbers[10], numbers[11], numbers[12], numbers[13],
            )  # fmt: skip
            w = scratch[numba.get_thread_id()]
            # where in the scratch array: sells, wanted buys and holdings of each asset, then one line of accounts each
            SELL, BUY, HOLD = 0, assets * BLOCK, 2 * assets * BLOCK
            CASH, EQUITY, PEAK = 3 * assets * BLOCK, (3 * assets + 1) * BLOCK, (3 * assets + 2) * BLOCK
            X, SOLD, NEW, BOUGHT = (
                (3 * assets + 3) * BLOCK,
                (3 * assets + 4) * BLOCK,
                (3 * assets + 5) * BLOCK,
                (3 * assets + 6) * BLOCK,
            )
            for j in range(n):
                w[CASH + j], w[EQUITY + j], w[PEAK + j] = cash[g, first + j], equity[g, first + j], peak[g, first + j]
            for a in range(assets):
                for j in range(n):
                    w[HOLD + a * BLOCK + j] = holdings[a, g, first + j]

            for k in range(count):
                t = tick[g] + k
                # equity at the close of t, in X
                for j in range(n):
                    w[X + j] = zero
                    w[SOLD + j] = zero
                    w[NEW + j] = zero  # first the cost of the wanted buys
                for a in range(assets):
                    price = closes[t, a]
                    for j in range(n):
                        w[X + j] += w[HOLD + a * BLOCK + j] * price
                for j in range(n):
                    w[X + j] += w[CASH + j]
                # the plan, and the sells that fill
                for a in range(assets):
                    price, opening, increment = closes[t, a], opens[t + 1, a], increments[a]
                    cuts = increment > zero
                    divisor = increment if cuts else one
                    target = weights[k, a, g, here]
                    if tradables[t, a]:
                        fills = tradables[t + 1, a]
                        for j in range(n):
                            held = w[HOLD + a * BLOCK + j]
                            change = target[j] * w[X + j] / price - held
                            quantity = _cut(change if change > zero else -change, increment, divisor, cuts, slack, half)
                            sell = quantity if quantity < held else held
                            sell = sell if fills and change < zero and sell * price >= least and sell > zero else zero
                            buy = quantity if change > zero and quantity * price >= least and quantity > zero else zero
                            w[SELL + a * BLOCK + j] = sell
                            w[BUY + a * BLOCK + j] = buy
                            w[SOLD + j] += sell * opening
                            w[NEW + j] += buy * price
                    else:
                        for j in range(n):
                            w[SELL + a * BLOCK + j] = zero
                            w[BUY + a * BLOCK + j] = zero
                # proceeds into cash, and the factor that fits the buys to it, in X
                for j in range(n):
                    proceeds = w[SOLD + j] - w[SOLD + j] * friction
                    now = w[CASH + j] + (proceeds - proceeds * fee)
                    cost = w[NEW + j] * margin
                    factor = now / (cost if cost > zero else one)
                    factor = factor if factor < one else one
                    w[CASH + j] = now
                    w[X + j] = factor if cost > zero else one
                    w[NEW + j] = zero  # from here on value of the holdings at the next close
                    w[BOUGHT + j] = zero
                # buys in the order of the assets
                for a in range(assets):
                    price, opening, following, increment = closes[t, a], opens[t + 1, a], closes[t + 1, a], increments[a]
                    cuts = increment > zero
                    divisor = increment if cuts else one
                    if tradables[t, a] and tradables[t + 1, a]:
                        for j in range(n):
                            quantity = _cut(w[BUY + a * BLOCK + j] * w[X + j], increment, divisor, cuts, slack, half)
                            value = quantity * opening
                            cost = value + value * friction
                            now = w[CASH + j]
                            fills = quantity * price >= least and quantity > zero and cost <= now
                            left = now - cost
                            left = left if left > zero else zero
                            w[CASH + j] = left if fills else now
                            buy = quantity if fills else zero
                            held = w[HOLD + a * BLOCK + j] - w[SELL + a * BLOCK + j] + (buy - buy * fee)
                            w[HOLD + a * BLOCK + j] = held
                            w[NEW + j] += held * following
                            w[BOUGHT + j] += buy * opening
                    else:
                        for j in range(n):
                            held = w[HOLD + a * BLOCK + j] - w[SELL + a * BLOCK + j]
                            w[HOLD + a * BLOCK + j] = held
                            w[NEW + j] += held * following
                # equity at the close of t + 1, in NEW; log growth; penalties; reward
                for j in range(n):
                    w[NEW + j] += w[CASH + j]
                    w[X + j] = w[NEW + j] / w[EQUITY + j]
                to_growth, to_reward, to_ended = growth[k, g, here], reward[k, g, here], ended[k, g, here]
                for j in range(n):
                    to_growth[j] = np.log(w[X + j])
                for j in range(n):
                    w[X + j] = zero
                if w_concentration != zero:
                    for a in range(assets):
                        following = closes[t + 1, a]
                        for j in range(n):
                            share = w[HOLD + a * BLOCK + j] * following / w[NEW + j]
                            w[X + j] += share * share
                any_ended = False
                for j in range(n):
                    before, after, top = w[EQUITY + j], w[NEW + j], w[PEAK + j]
                    drawdown = one - before / top
                    top = top if top > after else after
                    deeper = one - after / top
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
                    w[EQUITY + j] = after
                    w[PEAK + j] = top
                if any_ended:
                    for j in range(n):
                        if to_ended[j]:
                            invested = zero
                            for a in range(assets):
                                share = fresh[a, g, first + j]
                                invested += share
                                w[HOLD + a * BLOCK + j] = share * capital / closes[t + 1, a]
                            rest = (one - invested) * capital
                            w[CASH + j] = rest if rest > zero else zero
                            w[EQUITY + j] = capital
                            w[PEAK + j] = capital

            for j in range(n):
                cash[g, first + j], equity[g, first + j], peak[g, first + j] = w[CASH + j], w[EQUITY + j], w[PEAK + j]
            for a in range(assets):
                for j in range(n):
                    holdings[a, g, first + j] = w[HOLD + a * BLOCK + j]

    return steps

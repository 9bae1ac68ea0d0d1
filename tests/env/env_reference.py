"""The environment in plain Python float64: one account and one asset at a time, in the order in which things happen.

The slow twin of `cappuccino.plan` and `cappuccino.env`, written from the rules in words; nothing here is vectorised.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from env_scenarios import Scenario


@dataclasses.dataclass
class SlowAccount:
    """Money and coins of one simulated trader, and what its reward remembers."""

    cash: float
    holdings: list[float]
    equity: float
    peak: float
    moment_1: float = 0.0
    moment_2: float = 1e-4


@dataclasses.dataclass
class SlowStep:
    """What one account did over one bar."""

    sold: list[float]
    bought: list[float]
    notional: float
    fees: float
    slippage: float
    refused: int
    growth: float
    reward: float = 0.0
    terminated: bool = False


def cut(quantity: float, increment: float) -> float:
    """Whole steps of the increment; to the last may be missing a millionth of the quantity, and never more than half a step."""
    if increment == 0:
        return quantity
    steps = quantity / increment
    return math.floor(steps + min(steps / 1e6, 0.5)) * increment


def judge(quantity: float, price: float, tradable: bool, min_notional: float) -> float:
    """The quantity if an order for it may be sent, else nothing."""
    if not tradable or quantity <= 0 or quantity * price < 1.02 * min_notional:
        return 0.0
    return quantity


def planned(
    weights: list[float], cash: float, holdings: list[float], price: list[float], tradable: list[bool], scene: Scenario
) -> tuple[list[float], list[float]]:
    """Sells and wanted buys, fixed at a close."""
    equity = cash
    for held, close in zip(holdings, price, strict=True):
        equity += held * close
    sells, buys = [], []
    for a, weight in enumerate(weights):
        change = weight * equity / price[a] - holdings[a]
        sell = buy = 0.0
        if change < 0:
            sell = min(cut(-change, scene.increment[a]), holdings[a])
        if change > 0:
            buy = cut(change, scene.increment[a])
        sells.append(judge(sell, price[a], tradable[a], scene.min_notional))
        buys.append(judge(buy, price[a], tradable[a], scene.min_notional))
    return sells, buys


def fitted(buys: list[float], cash: float, price: list[float], tradable: list[bool], scene: Scenario) -> list[float]:
    """The buys, smaller by one factor if the cash does not pay for all of them at prices higher by the margin."""
    needed = sum(quantity * close * (1 + scene.margin) for quantity, close in zip(buys, price, strict=True))
    factor = cash / needed if needed > cash else 1.0
    return [
        judge(cut(quantity * factor, scene.increment[a]), price[a], tradable[a], scene.min_notional)
        for a, quantity in enumerate(buys)
    ]


def slow_trade(account: SlowAccount, weights: list[float], t: int, scene: Scenario) -> SlowStep:
    """Move one account over the bar t+1, in place."""
    assets = range(len(weights))
    close, tradable = scene.close[t].tolist(), scene.tradable[t].tolist()
    opening, fillable = scene.open[t + 1].tolist(), scene.tradable[t + 1].tolist()
    worse = scene.half_spread + scene.slippage
    step = SlowStep([0.0] * len(weights), [0.0] * len(weights), 0.0, 0.0, 0.0, 0, 0.0)
    sells, wanted = planned(weights, account.cash, account.holdings, close, tradable, scene)
    for a in assets:
        if sells[a] == 0:
            continue
        if not fillable[a]:
            step.refused += 1
            continue
        value = sells[a] * opening[a]
        fee = value * (1 - worse) * scene.taker_fee
        account.cash += value * (1 - worse) - fee
        account.holdings[a] -= sells[a]
        step.sold[a] = sells[a]
        step.notional += value
        step.fees += fee
        step.slippage += value * worse
    buys = fitted(wanted, account.cash, close, tradable, scene)
    for a in assets:
        if buys[a] == 0:
            continue
        paid = buys[a] * opening[a] * (1 + worse)
        if not fillable[a] or paid > account.cash:
            step.refused += 1
            continue
        account.cash -= paid
        account.holdings[a] += buys[a] - buys[a] * scene.taker_fee
        step.bought[a] = buys[a]
        step.notional += buys[a] * opening[a]
        step.fees += buys[a] * scene.taker_fee * opening[a]
        step.slippage += buys[a] * opening[a] * worse
    before = account.equity
    account.equity = account.cash + sum(account.holdings[a] * scene.close[t + 1, a] for a in assets)
    account.peak = max(account.peak, account.equity)
    step.growth = account.equity / before
    return step


def slow_reward(name: str, account: SlowAccount, growth: float, t: int, scene: Scenario) -> float:
    """The reward before penalties; moves the account's moving moments where the reward has any."""
    x = math.log(growth)
    if name == "log_growth":
        return x
    if name == "excess":
        ratios = [scene.close[t + 1, a] / scene.close[t, a] for a in range(scene.close.shape[1])]
        return x - math.log(sum(ratios) / len(ratios))
    mean, square = account.moment_1, account.moment_2
    variance = max(square - mean * mean, 1e-8)
    derivative = (square * (x - mean) - mean * (x * x - square) / 2) / math.sqrt(variance) ** 3
    account.moment_1 = (1 - scene.sharpe_rate) * mean + scene.sharpe_rate * x
    account.moment_2 = (1 - scene.sharpe_rate) * square + scene.sharpe_rate * x * x
    return scene.sharpe_rate * derivative


def fresh_account(weights: list[float], t: int, scene: Scenario) -> SlowAccount:
    """An account of the scene's capital, already holding the weights at the close of t."""
    holdings = [weight * scene.capital / price for weight, price in zip(weights, scene.close[t].tolist(), strict=True)]
    return SlowAccount(max(1 - sum(weights), 0.0) * scene.capital, holdings, scene.capital, scene.capital)


def slow_step(account: SlowAccount, weights: list[float], fresh: list[float], t: int, name: str, scene: Scenario):
    """One bar of one account, with reward, penalties and, at the drawdown limit, a fresh account: (account, step)."""
    drawdown = 1 - account.equity / account.peak
    before = account.equity
    step = slow_trade(account, weights, t, scene)
    deeper = (1 - account.equity / account.peak) - drawdown
    penalties = scene.turnover * step.notional / before
    if deeper > 0:
        penalties += scene.drawdown * deeper
    for a, held in enumerate(account.holdings):
        penalties += scene.concentration * (held * scene.close[t + 1, a] / account.equity) ** 2
    step.reward = scene.scale * (slow_reward(name, account, step.growth, t, scene) - penalties)
    step.terminated = 1 - account.equity / account.peak >= scene.limit
    return (fresh_account(fresh, t + 1, scene) if step.terminated else account), step


def slow_rollout(scene: Scenario, name: str) -> dict[str, np.ndarray]:
    """All accounts of a scene over all its targets. Per step: (K, G, R), and (K, A, G, R) for what there is per asset."""
    steps, assets, clocks, accounts = scene.targets.shape
    money = ("cash", "equity", "peak", "reward", "terminated", "log_growth", "notional", "fees", "slippage", "refused")
    out = {key: np.zeros((steps, clocks, accounts)) for key in money}
    out |= {key: np.zeros((steps, assets, clocks, accounts)) for key in ("holdings", "sold", "bought")}
    for g in range(clocks):
        for r in range(accounts):
            account = fresh_account(scene.initial[:, g, r].tolist(), int(scene.ticks[g]), scene)
            for k in range(steps):
                t = int(scene.ticks[g]) + k
                target, fresh = scene.targets[k, :, g, r].tolist(), scene.fresh[:, g, r].tolist()
                account, step = slow_step(account, target, fresh, t, name, scene)
                for key in ("cash", "equity", "peak"):
                    out[key][k, g, r] = getattr(account, key)
                for key in ("reward", "terminated", "notional", "fees", "slippage", "refused"):
                    out[key][k, g, r] = getattr(step, key)
                out["log_growth"][k, g, r] = math.log(step.growth)
                out["holdings"][k, :, g, r] = account.holdings
                out["sold"][k, :, g, r], out["bought"][k, :, g, r] = step.sold, step.bought
    return out

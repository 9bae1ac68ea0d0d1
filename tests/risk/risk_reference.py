"""The risk rules for one account, slowly: plain Python floats, one asset after the other, each rule as a person would say it."""

from __future__ import annotations

import math
from typing import Any

from cappuccino.risk import Limits
from cappuccino.risk.state import LEAST


class SlowRules:
    """One account, seen for the first time with these figures."""

    def __init__(self, limits: Limits, holdings: list[float], closes: list[float], equity: float, day: int) -> None:
        self.limits, self.assets = limits, range(len(holdings))
        self.held, self.closes, self.entry, self.top = list(holdings), list(closes), list(closes), list(closes)
        self.resting = [0] * len(holdings)
        self.peak, self.day, self.first_of_day, self.traded = equity, day, equity, 0.0
        self.day_lost = self.stopped = False

    def see(self, holdings: list[float], closes: list[float], equity: float, day: int) -> None:
        """A close: what was traded since, what is stopped from here on."""
        for a in self.assets:
            change = holdings[a] - self.held[a]
            self.traded += abs(change) * self.closes[a]
            if change > 0:
                old = self.held[a] / holdings[a]
                self.entry[a] = old * self.entry[a] + (1 - old) * self.closes[a]
                self.top[a] = old * self.top[a] + (1 - old) * self.closes[a]
            self.top[a] = max(self.top[a], closes[a])
            if holdings[a] * closes[a] / equity < LEAST or self.resting[a] > 0:
                self.entry[a] = self.top[a] = closes[a]
            below_entry, below_top = 1 - closes[a] / self.entry[a], 1 - closes[a] / self.top[a]
            if below_entry >= self.limits.stop_loss or below_top >= self.limits.trailing_stop:
                self.resting[a] = self.limits.cooldown
            elif self.resting[a] > 0:
                self.resting[a] -= 1
        if day != self.day:
            self.day, self.first_of_day, self.traded, self.day_lost = day, equity, 0.0, False
        if 1 - equity / self.first_of_day >= self.limits.day_loss:
            self.day_lost = True
        self.peak = max(self.peak, equity)
        if 1 - equity / self.peak >= self.limits.drawdown:
            self.stopped = True
        self.held, self.closes, self.equity = list(holdings), list(closes), equity

    def allow(self, targets: list[float]) -> list[float]:
        """The targets under the rules."""
        weights = [self.held[a] * self.closes[a] / self.equity for a in self.assets]
        return self._slowed(self._stopped(targets, weights), weights, max, self.limits.order)

    def _stopped(self, targets: list[float], weights: list[float]) -> list[float]:
        if self.stopped or self.day_lost:
            return [0.0 for _ in self.assets]
        wanted = self._capped(targets)
        wanted = self._slowed(wanted, weights, max, self.limits.order)
        left = max(self.limits.turnover * self.first_of_day - self.traded, 0.0)
        wanted = self._slowed(wanted, weights, sum, left)
        return [0.0 if self.resting[a] > 0 else weight for a, weight in enumerate(self._capped(wanted))]

    def _capped(self, targets: list[float]) -> list[float]:
        capped = [min(weight, self.limits.weight) for weight in targets]
        for most in (self.limits.gross, max(1 - self.limits.cash / self.equity, 0.0)):
            gross = math.fsum(capped)
            if gross > most:
                capped = [weight * most / gross for weight in capped]
        return capped

    def _slowed(self, wanted: list[float], weights: list[float], over: Any, most: float) -> list[float]:
        planned = over(abs(wanted[a] - weights[a]) for a in self.assets) * self.equity
        if planned <= most:
            return wanted
        return [weights[a] + (wanted[a] - weights[a]) * most / planned for a in self.assets]

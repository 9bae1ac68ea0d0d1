"""How far an account is from where each rule acts, at a bar's close."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cappuccino.risk.limits import Limits
from cappuccino.risk.state import LEAST, Marks, RiskState


class Distance(NamedTuple):
    """rule: by its name in the configuration. asset: of whose position, None for the account. now, limit: in `unit`, a share, dollars,
    or a multiple of the day's first equity. at_least: whether it acts below the limit and not above."""

    rule: str
    asset: str | None
    now: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def left(self) -> float:
        """What may still be lost, held or traded; below zero where it is over."""
        return self.now - self.limit if self.at_least else self.limit - self.now

    @property
    def used(self) -> float:
        """Share of the limit that is used up, 0 to 1."""
        part, whole = (self.limit, self.now) if self.at_least else (self.now, self.limit)
        return float(np.clip(part / whole, 0, 1)) if whole > 0 else 1.0


def distances(state: RiskState, marks: Marks, limits: Limits, assets: Sequence[str], order: float) -> list[Distance]:
    """Of every rule that is switched on, of one account. order: quote currency of the largest order of the last plan."""
    weights, equity = np.asarray(marks.weights), float(marks.equity)
    largest = int(np.argmax(weights))
    found = [
        Distance("max_weight", assets[largest], float(weights[largest]), limits.weight, "share"),
        Distance("max_gross", None, float(weights.sum()), limits.gross, "share"),
        Distance("cash_floor", None, equity * (1 - float(weights.sum())), limits.cash, "dollars", at_least=True),
        Distance("max_order", None, order, limits.order, "dollars"),
        Distance("max_day_turnover", None, float(state.turnover / state.day_equity), limits.turnover, "times"),
    ]
    for a, asset in enumerate(assets):
        if weights[a] >= LEAST:
            close = float(marks.close[a])
            found.append(Distance("stop_loss", asset, 1 - close / float(state.entry[a]), limits.stop_loss, "share"))
            found.append(Distance("trailing_stop", asset, 1 - close / float(state.top[a]), limits.trailing_stop, "share"))
    found += [
        Distance("max_day_loss", None, 1 - equity / float(state.day_equity), limits.day_loss, "share"),
        Distance("max_drawdown", None, 1 - equity / float(state.peak), limits.drawdown, "share"),
    ]
    return [one for one in found if np.isfinite(one.limit) and not (one.at_least and one.limit == 0)]

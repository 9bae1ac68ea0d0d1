"""Type and limits of the risk rules. Values, and what each means, are in `conf/risk/`."""

from __future__ import annotations

import dataclasses
import math

from cappuccino.config.checks import check_added, check_ranges
from cappuccino.risk import Limits


@dataclasses.dataclass
class RiskConfig:
    """A limit of None switches its rule off."""

    max_weight: float | None
    max_gross: float | None
    cash_floor: float | None
    max_order: float | None
    max_day_turnover: float | None
    stop_loss: float | None
    trailing_stop: float | None
    cooldown_bars: int
    max_day_loss: float | None
    max_drawdown: float | None
    own: dict[str, float]

    def __post_init__(self) -> None:
        share, positive = "(0, 1]", "(0, inf)"
        check_ranges("risk", self, max_weight=share, max_gross=share, cash_floor="[0, inf)", max_order=positive)
        check_ranges("risk", self, max_day_turnover=positive, stop_loss=share, trailing_stop=share, cooldown_bars="[1, inf)")
        check_ranges("risk", self, max_day_loss=share, max_drawdown=share, own="(-inf, inf)")
        for name in self.own:
            check_added("risk.own", name, "risk rule")

    @property
    def limits(self) -> Limits:
        """The rules' limits as plain numbers."""

        def most(value: float | None) -> float:
            return math.inf if value is None else value

        return Limits(
            weight=most(self.max_weight),
            gross=most(self.max_gross),
            cash=self.cash_floor or 0.0,
            order=most(self.max_order),
            turnover=most(self.max_day_turnover),
            stop_loss=most(self.stop_loss),
            trailing_stop=most(self.trailing_stop),
            cooldown=self.cooldown_bars,
            day_loss=most(self.max_day_loss),
            drawdown=most(self.max_drawdown),
            own=dict(self.own),
        )

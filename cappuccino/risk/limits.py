"""The limits of the risk rules."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """Scalars, traced in the environment; infinity switches a rule off, and by default all are.

    weight, gross: shares of equity, of each asset and of all. cash: quote currency that is kept. order: largest order, in quote
    currency. turnover: bought and sold in a UTC day, as a share of the equity with which it began. stop_loss, trailing_stop:
    distance of the close below a position's entry and below its top, as a share of those. cooldown: closes for which a stopped
    asset is held at zero, at least 1. day_loss, drawdown: shares of the day's first equity and of the highest. own: limits of rules
    of one's own by their names, each a scalar; None or empty: there are none.
    """

    weight: Any = math.inf
    gross: Any = math.inf
    cash: Any = 0.0
    order: Any = math.inf
    turnover: Any = math.inf
    stop_loss: Any = math.inf
    trailing_stop: Any = math.inf
    cooldown: Any = 1
    day_loss: Any = math.inf
    drawdown: Any = math.inf
    own: Any = None

"""How a trader trades, as one value."""

from __future__ import annotations

import dataclasses
import pathlib
from decimal import Decimal

from cappuccino.risk import Limits
from cappuccino.trading.reconcile import Foreign
from cappuccino.trading.timing import Timing


@dataclasses.dataclass(frozen=True)
class TraderSettings:
    """How to trade.

    folder: the trader's own, for journal, log and lock. capital: quote currency it may use at the start; the rest of the
    account is reserved for good. max_hole_bars: missing bars in a row that are filled, as in training.
    bars: how many bars to handle, None for ever. allow_outside: features whose drift is tolerated.
    fee: the most that the venue takes of a fill, as a fraction. foreign: what to do about what is not the trader's.
    limits: of the risk rules, None for no rules. takes_over: folder of the trader whose account and holdings it goes on with.
    timing: None for the one that suits the bars. log_mb, logs_kept: when the log is rotated, and how many are kept.
    """

    folder: pathlib.Path
    capital: Decimal
    max_hole_bars: int
    dry_run: bool = False
    bars: int | None = None
    allow_outside: tuple[str, ...] = ()
    fee: Decimal = Decimal("0.0025")
    foreign: Foreign = "refuse"
    limits: Limits | None = None
    takes_over: pathlib.Path | None = None
    timing: Timing | None = None
    log_mb: float | int = 10
    logs_kept: int = 10

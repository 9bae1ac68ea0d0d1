"""How long the trader waits for what, in seconds of the venue's time."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Timing:
    """Seconds. The first five count from the close of the bar that is decided on.

    settle: before bars are asked for. patience: until a bar that is not there counts as missing. late: after which nothing
    is planned any more. deadline: when the decision's open orders are canceled and no order is sent any more. give_up: when
    an order that is still not known to have ended is left for the next bar.
    order: after sending, when an order that has not filled is canceled. grace: for how long the venue must say that it
    knows no such order before it is sent again. poll: between two questions. start: for how long a venue that does not answer is
    asked again at the start.
    """

    settle: float
    patience: float
    late: float
    deadline: float
    give_up: float
    order: float
    grace: float
    poll: float
    start: float

    @classmethod
    def for_bars(cls, bar_seconds: int) -> Timing:
        """For hourly and longer bars what Alpaca's latencies ask for; shorter bars get a share of their length."""
        return cls(
            settle=min(3.0, bar_seconds / 60),
            patience=min(20.0, bar_seconds / 12),
            late=min(300.0, bar_seconds / 4),
            deadline=min(900.0, bar_seconds / 2),
            give_up=min(1020.0, bar_seconds * 2 / 3),
            order=min(60.0, bar_seconds / 8),
            grace=min(10.0, bar_seconds / 20),
            poll=min(1.0, bar_seconds / 120),
            start=60.0,
        )

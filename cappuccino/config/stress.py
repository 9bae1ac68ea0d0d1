"""Types and limits of `stress`: what a strategy is tried under. Values, and what each means, are in `conf/stress/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges
from cappuccino.errors import InputError


@dataclasses.dataclass
class StressConfig:
    """Costs, delays and changed markets."""

    taker_fees_bps: list[float]
    half_spreads_bps: list[float]
    slippages_bps: list[float]
    delays: list[int]
    highest_cost_bps: float
    draws: int
    seed: int
    dropped_share: float
    restated_share: float
    restated_size: float
    block_bars: float
    crash_fall: float
    crash_bars: int
    crashes: int
    crash_recovers: bool
    starts: int
    horizon_bars: int

    def __post_init__(self) -> None:
        for name in ("taker_fees_bps", "half_spreads_bps", "slippages_bps", "delays"):
            if not getattr(self, name):
                raise InputError(f"stress.{name} is empty; it must hold at least one")
        basis_points, whole = "[0, 5000)", "[1, inf)"
        check_ranges(
            "stress",
            self,
            taker_fees_bps=basis_points,
            half_spreads_bps=basis_points,
            slippages_bps=basis_points,
            delays="[0, 3]",
            highest_cost_bps="(0, 10000)",
            draws=whole,
            seed="[0, inf)",
            dropped_share="[0, 1)",
            restated_share="[0, 1]",
            restated_size="[0, inf)",
            block_bars=whole,
            crash_fall="(0, 1)",
            crash_bars=whole,
            crashes=whole,
            starts=whole,
            horizon_bars=whole,
        )

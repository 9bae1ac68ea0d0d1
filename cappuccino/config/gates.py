"""Type and limits of `gates=`: what an artifact must show before it trades. Values are in `conf/gates/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges


@dataclasses.dataclass
class GatesConfig:
    """A gate of None is open; all others must hold."""

    deflated: float | None
    pbo: float | None
    information: float | None
    fee_factor: float | None
    causality: bool
    decide_ms: float | None
    shadow_days: float
    shadow_decisions: int
    shadow_stops: int | None
    live_bars: int
    live_drawdown: float | None
    live_stops: int | None
    live_confidence: float | None
    confidence: float
    draws: int
    seed: int

    def __post_init__(self) -> None:
        check_ranges("gates", self, deflated="[0, 1)", pbo="[0, 1]", fee_factor="[1, inf)", decide_ms="(0, inf)")
        check_ranges("gates", self, shadow_days="[0, inf)", shadow_decisions="[0, inf)", shadow_stops="[0, inf)")
        check_ranges("gates", self, live_bars="[21, inf)", live_drawdown="(0, 1)", live_stops="[0, inf)")
        check_ranges("gates", self, live_confidence="(0.5, 1)")
        check_ranges("gates", self, confidence="(0.5, 1)", draws="[100, inf)", seed="[0, 4294967295]")

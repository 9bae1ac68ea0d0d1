"""Type and limits of `verdict=`: when a validation has found something. Values are in `conf/verdict/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges


@dataclasses.dataclass
class VerdictConfig:
    confidence: float
    deflated: float
    draws: int
    seed: int

    def __post_init__(self) -> None:
        check_ranges("verdict", self, confidence="(0, 1)", deflated="[0, 1)", draws="[100, inf)", seed="[0, 4294967295]")

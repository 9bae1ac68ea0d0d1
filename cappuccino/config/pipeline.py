"""Types and limits of `trade` as the pipeline trades. Values, and what each means, are in `conf/pipeline.yaml`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges


@dataclasses.dataclass
class TradersConfig:
    """What all traders of the pipeline have in common."""

    capital: float
    allow_outside: list[str]

    def __post_init__(self) -> None:
        check_ranges("trade", self, capital="(0, inf)")

"""Type of what goes wrong at the local exchange. Values, and what each means, are in `conf/faults/`."""

from __future__ import annotations

import dataclasses
from typing import Any

from cappuccino.broker.exchange import faults


@dataclasses.dataclass
class FaultsGroupConfig:
    """The fields of the exchange's own `FaultsConfig`, which checks them."""

    seed: int
    rates: dict[str, float]
    script: list[Any]
    stale_s: float
    rest_s: float
    stick_s: float
    late_s: float
    restated_s: float
    busy_s: float
    hang_s: float
    drip_s: float
    skew_s: float
    page: int

    def __post_init__(self) -> None:
        self.plan  # noqa: B018  raises InputError for what it does not allow

    @property
    def plan(self) -> faults.FaultsConfig:
        """As the exchange takes it."""
        return faults.FaultsConfig(**dataclasses.asdict(self))

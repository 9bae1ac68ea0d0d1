"""Types and limits of `costs`: what trading costs and what the venue accepts. Values, and what each means, are in `conf/costs/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges
from cappuccino.errors import InputError


@dataclasses.dataclass
class CostsConfig:
    """What trading costs and what the venue accepts."""

    taker_fee_bps: float
    half_spread_bps: float
    slippage_bps: float
    min_notional: float
    increments: bool
    increment: float
    increment_by_asset: dict[str, float]
    buying_power_margin: float

    def __post_init__(self) -> None:
        basis_points = "[0, 5000)"
        check_ranges(
            "costs",
            self,
            taker_fee_bps=basis_points,
            half_spread_bps=basis_points,
            slippage_bps=basis_points,
            min_notional="[0, inf)",
            increment="(0, inf)",
            increment_by_asset="(0, inf)",
            buying_power_margin="[0, 1]",
        )

    @property
    def taker_fee(self) -> float:
        """As a fraction of the notional, like `half_spread` and `slippage`."""
        return self.taker_fee_bps / 1e4

    @property
    def half_spread(self) -> float:
        return self.half_spread_bps / 1e4

    @property
    def slippage(self) -> float:
        return self.slippage_bps / 1e4

    def increments_of(self, assets: tuple[str, ...]) -> tuple[float, ...]:
        """Step of a quantity for every asset; 0 where the switch is off. Raises InputError for a step of an unknown asset."""
        unknown = sorted(set(self.increment_by_asset) - set(assets))
        if unknown:
            raise InputError(f"costs.increment_by_asset names {', '.join(unknown)}; the assets are {', '.join(assets)}")
        return tuple(self.increment_by_asset.get(asset, self.increment) if self.increments else 0.0 for asset in assets)

"""What the journal says the trader holds, against what the venue says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from cappuccino.broker.protocol import Position
from cappuccino.trading.journal import Intent, Mark

FEE_AT_MOST = Decimal("0.01")
"""A buy's fee leaves the position at the fill or at the end of the day, both are documented; this share of it at most."""

ROUNDING = Decimal("1e-8")


def differences(
    mark: Mark, fills: Sequence[Intent], positions: Mapping[str, Position], assets: Sequence[str]
) -> dict[str, str]:
    """Assets whose position does not follow from the last mark and the fills since, each with what was expected.

    A position may be short of the gross sum by fees of up to FEE_AT_MOST; the venue's word is what is traded on either way.
    """
    found = {}
    for asset in assets:
        had = mark.positions.get(asset, Decimal(0))
        bought, sold = (
            sum((fill.filled_quantity for fill in fills if fill.asset == asset and fill.side == side), Decimal(0))
            for side in ("buy", "sell")
        )
        gross = had + bought
        low, high = gross * (1 - FEE_AT_MOST) - sold - ROUNDING, gross - sold + ROUNDING
        held = positions[asset].quantity if asset in positions else Decimal(0)
        if not low <= held <= high:
            found[asset] = f"the venue has {held:f}, the journal {low:f} to {high:f}"
    return found

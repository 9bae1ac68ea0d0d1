"""A stress as a table and as a line."""

from __future__ import annotations

import html

import numpy as np
from jaxtyping import Float

from cappuccino.config.costs import CostsConfig
from cappuccino.config.stress import StressConfig
from cappuccino.evaluation.report import UNDEFINED, signed
from cappuccino.evaluation.stress import Stress

TAIL = 0.05


def stress_rows(found: Stress, settings: StressConfig, costs: CostsConfig) -> list[list[str]]:
    """Rows of HTML cells: what is stressed, median growth per bar (1e-4), the lower and upper TAIL, what it means."""
    late = [
        [f"Orders {bars} bar{'s' * (bars > 1)} late", _growth(growth), "", "", "Decided as ever, sent so much later."]
        for bars, growth in enumerate(found.by_delay)
        if bars > 0
    ]
    own = costs.taker_fee_bps + costs.half_spread_bps + costs.slippage_bps
    earning = float(np.mean(found.grid > 0))
    even = UNDEFINED if found.break_even is None else f"{1e4 * found.break_even:,.1f} bps"
    rows = [
        ["As it was", _growth(found.plain), "", "", f"Costs of {own:g} bps of the notional in all, orders in time."],
        *late,
        [
            "Bars missing",
            *_spread(found.dropped),
            f"{settings.dropped_share:.0%} of all bars, asset by asset, in {settings.draws} markets.",
        ],
        [
            "Bars restated",
            *_spread(found.restated),
            f"{settings.restated_share:.0%} of bars were first published otherwise, by {settings.restated_size:.1%} as a rule; decided "
            f"on the first version, in {settings.draws} markets.",
        ],
        [
            "Bootstrapped markets",
            *_spread(found.bootstrapped),
            f"Of blocks of {settings.block_bars:g} of a group's own bars on average, in {settings.draws} markets.",
        ],
        [
            "Crashes",
            *_spread(found.crashed),
            f"{settings.crashes} in each of {settings.draws} markets: all prices {settings.crash_fall:.0%} down within "
            f"{settings.crash_bars} bars, {'and up again' if settings.crash_recovers else 'for good'}.",
        ],
        [
            "Start times",
            *_spread(found.by_start),
            f"Over {found.horizon:,} bars from each of {len(found.starts)} starts.",
        ],
        [
            "Costs and delays",
            *_spread(found.grid),
            f"{len(found.grid):,} settings of fee, half-spread, slippage and delay; under {earning:.0%} of them it grows.",
        ],
        ["Break-even cost", even, "", "", f"Of the notional in all, looked for up to {settings.highest_cost_bps:g} bps."],
    ]
    return [[*cells, html.escape(meaning)] for *cells, meaning in rows]


def stress_line(found: Stress) -> str:
    """The same in a sentence for a terminal."""
    late = ", ".join(_growth(growth) for growth in found.by_delay[1:])
    even = "no break-even cost" if found.break_even is None else f"breaks even at costs of {1e4 * found.break_even:,.1f} bps"
    return (
        f"growth {_growth(found.plain)} of {signed('1e-4')} a bar as it was; "
        f"{late} with orders 1 to {len(found.by_delay) - 1} bars late; "
        f"{_growth(float(np.median(found.crashed)))} with crashes; {even}"
    )


def _growth(value: float) -> str:
    return signed(f"{1e4 * value:,.3f}") if np.isfinite(value) else UNDEFINED


def _spread(values: Float[np.ndarray, "_"]) -> list[str]:
    # Not interpolated, since one value may be minus infinity.
    return [_growth(float(np.quantile(values, share, method="nearest"))) for share in (0.5, TAIL, 1 - TAIL)]

"""A feature: where closes lie between the lows and the highs of their bars, on average over half a day."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from cappuccino.features import Indicator, Series, add_indicator, quotient, windowed_mean

WINDOW = 12


def close_place(series: Series) -> Float[np.ndarray, "T"]:
    """-1/2 where every close is its bar's low, 1/2 where it is the high; 0 in a flat market. Prices may be in any unit."""
    span = np.log(series.high / series.low)
    return windowed_mean(quotient(np.log(series.close / series.low) - span / 2, span), WINDOW)


add_indicator(Indicator("close_place_12", warmup=WINDOW - 1, compute=close_place))

"""Whether an artifact does better than the champion over the same bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from cappuccino.bootstrap import FEWEST, active_growth, bootstrap_interval
from cappuccino.config.gates import GatesConfig
from cappuccino.registry.gates import Gate


def better_than(mine: Mapping[int, float], champions: Mapping[int, float], config: GatesConfig) -> Gate:
    """Whether log growth beyond the champion's is above zero, over the steps between bars at which both know their equity.

    mine, champions: equity in quote currency by a bar's opening.
    """
    asked = f"log growth beyond the champion's above zero with {config.confidence:.0%} confidence"
    shared = sorted(mine.keys() & champions.keys())
    if len(shared) <= FEWEST:
        return Gate("champion", False, f"{len(shared)} bars in common", asked)
    returns = np.stack([_returns([one[bar] for bar in shared]) for one in (mine, champions)], axis=1)
    apart = np.log1p(returns[:, 0]) - np.log1p(returns[:, 1])
    if float(np.std(apart)) <= 1e-12:
        return Gate("champion", False, "they did the same", asked, is_statistical=True)
    rng = np.random.default_rng(config.seed)
    # Of an interval both ends are told; what is asked is one.
    found = bootstrap_interval(returns, active_growth, rng=rng, draws=config.draws, confidence=2 * config.confidence - 1)
    said = f"{1e4 * found.estimate:+.3f}e-4 a bar, at least {1e4 * found.low:+.3f}e-4, over {len(returns)} bars"
    return Gate("champion", found.low > 0, said, asked, is_statistical=True)


def _returns(equity: Sequence[float]) -> Float[np.ndarray, "N"]:
    values = np.array(equity, np.float64)
    return values[1:] / values[:-1] - 1

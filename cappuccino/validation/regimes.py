"""Kinds of times that a market goes through, told from its past alone, and what was earned in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cappuccino.evaluation.baselines import look_back
from cappuccino.market import MarketSpec

YEAR, VOLATILITY, TREND = "calendar year", "volatility", "trend"
UNKNOWN = "not known yet"
TERCILES = {VOLATILITY: ("calm", "middling", "turbulent"), TREND: ("falling", "flat", "rising")}
"""The lowest third first."""


class Regime(NamedTuple):
    """bars: how many decisions fall into it. growth: log growth over all of them, by strategy."""

    bars: int
    growth: dict[str, float]


def market_growth(close: Float[np.ndarray, "T A"], spec: MarketSpec) -> Float[np.ndarray, "T"]:
    """Log growth up to each close of the equal-weight market, rebalanced at every close; NaN at a segment's first bar."""
    ratio = np.full(len(close), np.nan)
    ratio[1:] = np.mean(close[1:] / close[:-1], axis=1)
    ratio[np.diff(spec.segment, prepend=-1) != 0] = np.nan
    return np.log(ratio)


def regime_labels(close: Float[np.ndarray, "T A"], spec: MarketSpec, rows: Int[np.ndarray, "N"]) -> dict[str, list[str]]:
    """By kind, the regime that each decision row is in; a function of the closes up to that row's, and of no later one.

    The year is that (UTC) in which the bar opens whose return the decision gets. Volatility and trend are the standard deviation and
    the sum of `market_growth` over the `look_back` bars up to the row, within its segment, as the lower, middle or upper third among
    all such values up to then: UNKNOWN before there are `look_back` of them, and where a segment is too young to have one.
    """
    growth = pd.Series(market_growth(close, spec))
    window = growth.rolling(look_back(spec))
    opened = spec.timestamps[rows + 1].astype("datetime64[s]").astype("datetime64[Y]")
    trailing = {VOLATILITY: window.std(), TREND: window.sum()}
    return {YEAR: [str(year) for year in opened]} | {
        kind: _terciles(values, TERCILES[kind], look_back(spec), rows) for kind, values in trailing.items()
    }


def _terciles(values: pd.Series, names: tuple[str, ...], fewest: int, rows: Int[np.ndarray, "N"]) -> list[str]:
    share = values.expanding(fewest).rank(pct=True).to_numpy()[rows]
    share = np.where(np.isnan(values.to_numpy()[rows]), np.nan, share)
    return [UNKNOWN if np.isnan(one) else names[min(int(np.ceil(3 * one)), 3) - 1] for one in share]


def regimes(labels: Mapping[str, list[str]], growth: Mapping[str, Float[np.ndarray, "N"]]) -> dict[str, dict[str, Regime]]:
    """By kind and label, those that occur in a kind's order. growth: log growth of each decision, by strategy.

    The parts of a kind add up to the whole, in bars and in growth.
    """
    found: dict[str, dict[str, Regime]] = {}
    for kind, label in labels.items():
        order = [*TERCILES[kind], UNKNOWN] if kind in TERCILES else sorted(set(label))
        member = {name: np.array([one == name for one in label]) for name in order}
        found[kind] = {
            name: Regime(int(inside.sum()), {who: float(series[inside].sum()) for who, series in growth.items()})
            for name, inside in member.items()
            if inside.any()
        }
    return found

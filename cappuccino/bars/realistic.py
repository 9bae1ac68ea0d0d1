"""A synthetic crypto market whose hourly figures are those of seven coins on Binance, 2020 to 2024.

Log return of asset i in bar t:  r = mu + s_i exp(h_it - V) eps_it,  with
    h     log volatility: a sum of stationary AR(1) processes of several time scales, a part common to all assets, of
          variance V in all, so that E[exp(2 h - 2 V)] = 1 (Andersen, Bollerslev, Diebold and Ebens 2001 on its long memory);
    eps   unit variance: a common and an own Gaussian shock, both times a common and an own Student scale (heavy tails).
High and low are the extremes of a Brownian bridge from open to close (drawn separately), at the bar's volatility; the log
volume follows log volatility, the size of the shock and an AR(1) of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

HOUR = 3600


class Figures(NamedTuple):
    """What an asset is calibrated to, in hourly bars.

    price: first open, quote currency. volatility: standard deviation of log returns. dof: degrees of freedom of its own
    Student scale. loading: share of the common shock, so that two assets' shocks correlate by the product. spread: mean
    (high - low) / close over volatility. gap: mean abs(open / previous close - 1). volume: standard deviation of its log.
    """

    price: float
    volatility: float
    dof: float
    loading: float
    spread: float
    gap: float
    volume: float


KNOWN = {
    "AAVE": Figures(50.0, 0.01348, 14.0, 0.905, 1.356, 4.1e-4, 0.98),
    "BCH": Figures(250.0, 0.01082, 6.0, 0.905, 1.299, 2.5e-4, 1.06),
    "BTC": Figures(12_000.0, 0.00701, 14.0, 0.988, 1.362, 1e-5, 0.97),
    "ETH": Figures(380.0, 0.00885, 16.0, 0.988, 1.331, 1e-5, 0.85),
    "LINK": Figures(11.0, 0.01175, 11.0, 0.905, 1.385, 1.8e-4, 0.80),
    "LTC": Figures(48.0, 0.01068, 5.5, 0.905, 1.341, 1.7e-4, 0.85),
    "UNI": Figures(3.3, 0.01277, 5.0, 0.905, 1.334, 3.5e-4, 1.02),
}

COMMON_DOF = 9.0
TURNOVER = 5e6
"""Typical quote currency traded in an hour, to put volumes on a plausible scale."""

SHARPE = 0.5
"""Annual Sharpe ratio that each asset's drift alone would give; equal weights had 0.47 over the whole range."""

SCALES_HOURS = (5.0, 60.0, 700.0)
VARIANCES = (0.11, 0.06, 0.27)
"""Time scales and variances of the components of log volatility."""

COMMON_SHARE = 0.75
VOLUME_WEIGHTS = (0.62, 0.33, 0.72)
"""Weights of log volatility, size of the shock and own AR(1) in a log volume of unit variance."""

VOLUME_SCALE_HOURS = 5.5

LOG_SIZE = (-0.363, 0.765)
"""Mean and standard deviation of log(abs(x) + 0.1) for a unit Gaussian x."""

BRIDGE_SPREAD = 1.255
"""Mean (high - low) / close over an asset's volatility that a bridge of the bar's own volatility gives."""


class Ohlcv(NamedTuple):
    """Float64 arrays (T, A)."""

    open: Float[np.ndarray, "T A"]
    high: Float[np.ndarray, "T A"]
    low: Float[np.ndarray, "T A"]
    close: Float[np.ndarray, "T A"]
    volume: Float[np.ndarray, "T A"]


def figures_of(asset: str, draw: np.random.Generator) -> Figures:
    """The figures of one of the seven coins, or plausible ones drawn for another."""
    if asset in KNOWN:
        return KNOWN[asset]
    return Figures(
        price=float(np.exp(draw.uniform(math.log(0.5), math.log(500.0)))),
        volatility=float(draw.uniform(0.010, 0.015)),
        dof=float(draw.uniform(7.0, 14.0)),
        loading=float(draw.uniform(0.84, 0.94)),
        spread=float(draw.uniform(1.30, 1.39)),
        gap=float(draw.uniform(1e-4, 5e-4)),
        volume=float(draw.uniform(0.80, 1.05)),
    )


def realistic(assets: Sequence[str], bars: int, bar_seconds: int, streams: Sequence[np.random.Generator]) -> Ohlcv:
    """Bars of the model above. Volatility grows with the square root of bar_seconds, memory lasts as long in hours.

    `streams` are ten independent generators; each draws row by row, so that more bars go on from fewer.
    """
    hours = bar_seconds / HOUR
    figure = [figures_of(asset, np.random.default_rng(list(asset.encode()))) for asset in assets]
    volatility = np.array([f.volatility for f in figure]) * math.sqrt(hours)
    shape = (bars, len(assets))

    log_volatility = np.zeros(shape)
    common = streams[0].standard_normal((bars, len(SCALES_HOURS), 1))
    own = streams[1].standard_normal((bars, len(SCALES_HOURS), len(assets)))
    noise = math.sqrt(COMMON_SHARE) * common + math.sqrt(1 - COMMON_SHARE) * own
    for k, (scale, variance) in enumerate(zip(SCALES_HOURS, VARIANCES, strict=True)):
        log_volatility += math.sqrt(variance) * ar1(noise[:, k], math.exp(-hours / scale))
    bar_volatility = volatility * np.exp(log_volatility - sum(VARIANCES))

    loading = np.array([f.loading for f in figure])
    gaussian = loading * streams[2].standard_normal((bars, 1))
    gaussian = gaussian + np.sqrt(1 - loading**2) * streams[3].standard_normal(shape)
    scale = student_scale(streams[4], COMMON_DOF, (bars, 1)) * student_scale(
        streams[5], np.array([f.dof for f in figure]), shape
    )
    shock = gaussian * scale
    drift = SHARPE * volatility * math.sqrt(hours / 8760) - volatility**2 / 2
    returns = drift + bar_volatility * shock

    close = np.array([f.price for f in figure]) * np.exp(np.cumsum(returns, axis=0))
    gap = np.array([f.gap for f in figure]) * math.sqrt(math.pi / 2) * streams[6].standard_normal(shape)
    gap[0] = 0
    opens = np.concatenate([close[:1] / np.exp(returns[:1]), close[:-1]]) * np.exp(gap)
    wander = bar_volatility * np.array([f.spread / BRIDGE_SPREAD for f in figure])
    up, down = bridge_extremes(np.log(close / opens), wander, streams[7])

    size = (np.log(np.abs(gaussian) + 0.1) - LOG_SIZE[0]) / LOG_SIZE[1]
    activity = VOLUME_WEIGHTS[0] * log_volatility / math.sqrt(sum(VARIANCES)) + VOLUME_WEIGHTS[1] * size
    activity += VOLUME_WEIGHTS[2] * ar1(streams[8].standard_normal(shape), math.exp(-hours / VOLUME_SCALE_HOURS))
    first = np.array([TURNOVER * hours / f.price for f in figure])
    volume = first * np.exp(np.array([f.volume for f in figure]) * activity)
    return Ohlcv(
        open=opens,
        high=np.maximum(opens * np.exp(up), np.maximum(opens, close)),
        low=np.minimum(opens * np.exp(down), np.minimum(opens, close)),
        close=close,
        volume=volume,
    )


def ar1(noise: Float[np.ndarray, "T A"], phi: float) -> Float[np.ndarray, "T A"]:
    """x_t = phi x_{t-1} + sqrt(1 - phi^2) e_t from unit Gaussian noise; stationary, of unit variance from the first row."""
    path = noise * math.sqrt(1 - phi * phi)
    path[:1] = noise[:1]
    for t in range(1, len(path)):
        path[t] += phi * path[t - 1]
    return path


def student_scale(
    stream: np.random.Generator, dof: float | Float[np.ndarray, "A"], shape: tuple[int, int]
) -> Float[np.ndarray, "T S"]:
    """What a unit Gaussian is multiplied with to be Student t of `dof` degrees of freedom and unit variance."""
    return np.sqrt((np.asarray(dof) - 2) / stream.chisquare(dof, size=shape))


def bridge_extremes(
    change: Float[np.ndarray, "T A"], volatility: Float[np.ndarray, "T A"], stream: np.random.Generator
) -> tuple[Float[np.ndarray, "T A"], Float[np.ndarray, "T A"]]:
    """Highest and lowest log price over the open on the way to `change`, each with its exact law for a Brownian bridge.

    P(max > m) = exp(-2 m (m - x) / v^2), inverted at a uniform draw (Karatzas and Shreve, section 4.3).
    """
    draws = -2 * volatility**2 * np.log1p(-stream.random((len(change), 2, change.shape[1]))).swapaxes(0, 1)
    return (change + np.sqrt(change**2 + draws[0])) / 2, (change - np.sqrt(change**2 + draws[1])) / 2

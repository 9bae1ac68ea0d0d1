"""Synthetic markets: one like the real one, one in which nothing can be earned, and one with an edge that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cappuccino.bars.clock import LATEST
from cappuccino.bars.realistic import Ohlcv, ar1, realistic
from cappuccino.bars.table import BarTable, Origin
from cappuccino.errors import InputError

KINDS = ("realistic", "martingale", "planted")
START = 1_577_836_800
"""2020-01-01 00:00 UTC."""

BAR_VOLATILITY = 0.01
"""Standard deviation of a martingale's log return, and of a planted market's noise, per bar."""

WICK = 0.002
"""Mean distance of high and low from the body in both of them, as a fraction."""

DRIFT_PERSISTENCE = 0.97
DRIFT_SHOCK = 0.00035
OBSERVATION_UNIT = 0.0015
OBSERVATION_NOISE = 0.7
LOG_VOLUME = 7.0


def synthetic_bars(
    kind: str,
    *,
    assets: Sequence[str],
    bars: int,
    bar_seconds: int = 3600,
    seed: int,
    start: int = START,
    drift: float = 0.0,
) -> BarTable:
    """`bars` bars of a synthetic market, the same for the same arguments; more bars begin with the same ones.

    realistic   see `realistic`: volatility that clusters, heavy tails, assets that move together, plausible ranges and
                volumes. Assets other than the seven of `realistic.KNOWN` get plausible figures, the same for every seed.
    martingale  simple returns of expectation zero, independent over time and assets: exp(N(-s^2/2, s^2)) - 1, s = 0.01 per
                bar. Without costs no strategy has an expected gain. Volumes are independent of everything.
    planted     log return of bar t+1 = d_t + N(0, 0.01), with a drift d_t = 0.97 d_{t-1} + N(0, 0.00035) of every asset that
                nobody sees; log volume of bar t = 7 + d_t / 0.0015 + N(0, 0.7) gives it away. `planted_drift` tells it.
                `drift`, a log return per bar that all assets have on top, makes the market rise or fall; volume knows
                nothing of it.

    In the last two, opens equal the close before, high and low are just beyond the body, and nothing depends on
    bar_seconds. All bars are there, in one segment.

    Raises InputError for an unknown kind, no or repeated assets, numbers out of range, and a drift of a market that is not planted.
    """
    _check(assets, bars, bar_seconds, seed, start)
    if drift and kind != "planted":
        raise InputError(f"drift of a synthetic market is {drift} and its kind {kind!r}; only a planted one has a drift to set")
    streams = _streams(kind, seed)
    if kind == "realistic":
        values = realistic(assets, bars, bar_seconds, streams)
    elif kind == "martingale":
        shape = (bars, len(assets))
        log_returns = BAR_VOLATILITY * streams[0].standard_normal(shape) - BAR_VOLATILITY**2 / 2
        values = _plain_bars(log_returns, LOG_VOLUME + streams[1].standard_normal(shape), streams[2])
    else:
        planted = _planted(len(assets), bars, drift, streams)
        values = _plain_bars(planted.log_returns, planted.log_volume, streams[2])
    return BarTable(
        assets=tuple(assets),
        bar_seconds=bar_seconds,
        timestamps=start + bar_seconds * np.arange(bars, dtype=np.int64),
        **values._asdict(),
        mask=np.ones((bars, len(assets)), dtype=bool),
        segment=np.zeros(bars, dtype=np.int64),
        origin=Origin("synthetic", kind, "USD"),
    )


def planted_drift(*, assets: Sequence[str], bars: int, seed: int, drift: float = 0.0) -> Float[np.ndarray, "T A"]:
    """`drift` and the hidden d_t (T, A) of `synthetic_bars("planted", ...)`: the expected log return of bar t+1, known at t."""
    _check(assets, bars, 1, seed, 0)
    return _planted(len(assets), bars, drift, _streams("planted", seed)).drift


class _Planted(NamedTuple):
    drift: Float[np.ndarray, "T A"]
    log_returns: Float[np.ndarray, "T A"]
    log_volume: Float[np.ndarray, "T A"]


def _planted(assets: int, bars: int, drift: float, streams: Sequence[np.random.Generator]) -> _Planted:
    shape = (bars, assets)
    deviation = DRIFT_SHOCK / np.sqrt(1 - DRIFT_PERSISTENCE**2)
    hidden = deviation * ar1(streams[0].standard_normal(shape), DRIFT_PERSISTENCE)
    expected = hidden + drift
    log_returns = BAR_VOLATILITY * streams[1].standard_normal(shape)
    log_returns[1:] += expected[:-1]
    observation = hidden / OBSERVATION_UNIT + OBSERVATION_NOISE * streams[3].standard_normal(shape)
    return _Planted(expected, log_returns, LOG_VOLUME + observation)


def _plain_bars(
    log_returns: Float[np.ndarray, "T A"], log_volume: Float[np.ndarray, "T A"], stream: np.random.Generator
) -> Ohlcv:
    """Bars from 100 on whose opens are the closes before, with exponential wicks of mean WICK."""
    log_close = np.cumsum(log_returns, axis=0)
    close = 100 * np.exp(log_close)
    opens = np.concatenate([np.full_like(close[:1], 100), close[:-1]])
    wick = np.exp(WICK * stream.standard_exponential((len(close), 2, close.shape[1]))).swapaxes(0, 1)
    return Ohlcv(
        open=opens,
        high=np.maximum(opens, close) * wick[0],
        low=np.minimum(opens, close) / wick[1],
        close=close,
        volume=np.exp(log_volume),
    )


def _streams(kind: str, seed: int) -> list[np.random.Generator]:
    """Ten independent generators for the kind and the seed."""
    if kind not in KINDS:
        raise InputError(f"synthetic market {kind!r} is not known; there are {', '.join(KINDS)}")
    return [np.random.default_rng([seed, KINDS.index(kind), stream]) for stream in range(10)]


def _check(assets: Sequence[str], bars: int, bar_seconds: int, seed: int, start: int) -> None:
    if not assets or len(set(assets)) != len(assets):
        raise InputError(f"a synthetic market needs distinct assets, got {', '.join(assets) or 'none'}")
    for name, value, least in (("bars", bars, 1), ("bar_seconds", bar_seconds, 1), ("seed", seed, 0), ("start", start, 0)):
        if value < least:
            raise InputError(f"{name} of a synthetic market is {value}; it must be at least {least}")
    if start % bar_seconds or start + bars * bar_seconds > LATEST:
        raise InputError(f"start {start} must be a multiple of {bar_seconds} s, and {bars} bars from there end before 2100")

"""Every indicator once more as plain loops over bars, from its definition, sharing no code with the package."""

from __future__ import annotations

import datetime
import itertools
import math

FLOOR = 1e-5


def _wilder(values, n):
    mean, out = 0.0, []
    for value in values:
        mean += (value - mean) / n
        out.append(mean)
    return out


def _ema(values, n):
    mean, out = values[0], []
    for value in values:
        mean += (value - mean) * 2 / (n + 1)
        out.append(mean)
    return out


def _moves(prices):
    return [0.0] + [math.log(b / a) for a, b in itertools.pairwise(prices)]


def _rms(returns, t, n):
    return math.sqrt(sum(r * r for r in returns[t - n + 1 : t + 1]) / n)


def _ratio(a, b):
    return a / max(b, FLOOR)


def scaled_return(s, t, horizon):
    returns = _moves(s.close)
    return _ratio(math.log(s.close[t] / s.close[t - horizon]), _rms(returns, t, 168)) / math.sqrt(horizon)


def volatility(s, t, short, long):
    returns = _moves(s.close)
    a, b = _rms(returns, t, short), _rms(returns, t, long)
    return math.tanh(math.log(a / b) / 2) if a + b > FLOOR and a > 0 else _ratio(a - b, a + b)


def atr_shift(s, t, short, long):
    def mean(n):
        total = 0.0
        for i in range(t - n + 1, t + 1):
            h, low, c = math.log(s.high[i]), math.log(s.low[i]), math.log(s.close[i - 1])
            total += max(h - low, abs(h - c), abs(low - c))
        return total / n

    return _ratio(mean(short) - mean(long), mean(short) + mean(long))


def rsi(s, t, n):
    returns = _moves(s.close)[: t + 1]
    gain, loss = _wilder([max(r, 0) for r in returns], n)[-1], _wilder([max(-r, 0) for r in returns], n)[-1]
    if gain + loss < FLOOR:
        return (gain - loss) / FLOOR
    return ((100 - 100 / (1 + gain / loss)) - 50) / 50


def _dx(s, t, n):
    up, down = _moves(s.high)[: t + 1], [-x for x in _moves(s.low)[: t + 1]]
    plus = _wilder([u if u > d and u > 0 else 0 for u, d in zip(up, down, strict=True)], n)
    minus = _wilder([d if d > u and d > 0 else 0 for u, d in zip(up, down, strict=True)], n)
    return [_ratio(abs(p - m), p + m) for p, m in zip(plus, minus, strict=True)]


def dx(s, t, n):
    return _dx(s, t, n)[-1]


def adx(s, t, n):
    return _wilder(_dx(s, t, n), n)[-1]


def cci(s, t, n):
    x = [(s.high[i] + s.low[i] + s.close[i]) / 3 for i in range(t - n + 1, t + 1)]
    mean = math.fsum(x) / n
    deviation = math.fsum(abs(v - mean) for v in x) / n
    return (x[-1] - mean) / (0.015 * max(deviation, FLOOR * mean)) / 100


def macd(s, t, line):
    x = [math.log(c / s.close[t]) for c in s.close[: t + 1]]
    difference = [a - b for a, b in zip(_ema(x, 12), _ema(x, 26), strict=True)]
    signal = _ema(difference, 9)[-1]
    lines = (difference[-1], signal, difference[-1] - signal)
    return _ratio(lines[line], _rms(_moves(s.close), t, 168))


def trend_reacceleration(s, t, short, long):
    returns = _moves(s.close)
    last, before = sum(returns[t - short + 1 : t + 1]), sum(returns[t - 2 * short + 1 : t - short + 1])
    trend = returns[t - long + 1 : t + 1]
    efficiency = _ratio(sum(trend), sum(abs(r) for r in trend))
    return _ratio(last - before, _rms(returns, t, 168)) / math.sqrt(2 * short) * efficiency


def breakout_volume(s, t, n):
    top, bottom = math.log(max(s.high[t - n : t])), math.log(min(s.low[t - n : t]))
    distance = math.log(s.close[t]) - (top + bottom) / 2
    place = _ratio(distance, abs(distance) + (top - bottom) / 2)
    mean = sum(s.volume[t - 167 : t + 1]) / 168
    return place * s.volume[t] / (s.volume[t] + mean) if s.volume[t] else 0.0


def relative_volume(s, t, n):
    if s.volume[t] == 0:
        return -6.0
    logs = [math.log(v) for v in s.volume[t - n + 1 : t + 1] if v > 0]
    return max(logs[-1] - sum(logs) / len(logs), -6.0)


def hour(s, t, wave):
    opening = datetime.datetime.fromtimestamp(int(s.timestamps[t]), datetime.UTC)
    return wave(2 * math.pi * (opening.hour * 60 + opening.minute) / 1440)


def weekday(s, t, wave):
    opening = datetime.datetime.fromtimestamp(int(s.timestamps[t]), datetime.UTC)
    minutes = (opening.weekday() * 24 + opening.hour) * 60 + opening.minute
    return wave(2 * math.pi * minutes / (7 * 1440))


SLOW = {
    **{f"return_{h}": (scaled_return, h) for h in (1, 4, 12, 24, 72, 168)},
    "volatility_6_24": (volatility, 6, 24),
    "volatility_24_168": (volatility, 24, 168),
    "volatility_24_336": (volatility, 24, 336),
    "atr_shift_24_168": (atr_shift, 24, 168),
    "rsi_14": (rsi, 14),
    "dx_14": (dx, 14),
    "adx_14": (adx, 14),
    "cci_20": (cci, 20),
    "macd": (macd, 0),
    "macd_signal": (macd, 1),
    "macd_histogram": (macd, 2),
    "trend_reacceleration_12_72": (trend_reacceleration, 12, 72),
    "breakout_volume_24": (breakout_volume, 24),
    "relative_volume_24": (relative_volume, 24),
    "relative_volume_168": (relative_volume, 168),
    "hour_sin": (hour, math.sin),
    "hour_cos": (hour, math.cos),
    "weekday_sin": (weekday, math.sin),
    "weekday_cos": (weekday, math.cos),
}
"""Name of every indicator to its loop and the loop's arguments: call as loop(series, t, *arguments)."""

"""A strategy under costs, delays and in markets that might have been."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from cappuccino.bars import BarTable
from cappuccino.config.stress import StressConfig
from cappuccino.env import EnvParams
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import LONGEST_DELAY, Strategy, TableRule, backtest, span_rows
from cappuccino.evaluation.break_even import break_even_cost
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
from cappuccino.evaluation.scenarios import bootstrapped_bars, crashed_bars, dropped_bars, restated_bars
from cappuccino.evaluation.splits import Span
from cappuccino.features.registry import FeatureSet
from cappuccino.market import Market, MarketSpec, build_market

DISTRIBUTIONS = ("dropped", "restated", "bootstrapped", "crashed", "by_start")
"""What of a stress holds one number of each of many draws, or starts."""
QUANTILES = (0.05, 0.5, 0.95)


class Part(NamedTuple):
    """A strategy and the span of bars that is its to trade, from cash."""

    strategy: Strategy
    span: Span


class Stress(NamedTuple):
    """Mean log growth per bar after costs over all parts, of S cost settings, L delays, D markets of each kind, K starts.

    plain: in the market and under the costs as they are. settings: fractions of the notional and bars; grid: under each.
    by_delay: under the costs as they are with orders late by 0 to `LONGEST_DELAY` bars. break_even: total cost as a fraction of the
    notional (`break_even_cost`), None where there is none up to the highest tried. dropped, restated, bootstrapped, crashed: one of
    each market drawn. starts: time stamps (Unix seconds) of the bars at whose closes a strategy starts; by_start: over `horizon`
    bars from each.
    """

    plain: float
    settings: CostSettings
    grid: Float[np.ndarray, "S"]
    by_delay: Float[np.ndarray, "L"]
    break_even: float | None
    dropped: Float[np.ndarray, "D"]
    restated: Float[np.ndarray, "D"]
    bootstrapped: Float[np.ndarray, "D"]
    crashed: Float[np.ndarray, "D"]
    starts: Int[np.ndarray, "K"]
    horizon: int
    by_start: Float[np.ndarray, "K"]

    def spread(self) -> dict[str, Float[np.ndarray, "3"]]:
        """QUANTILES of each of DISTRIBUTIONS, between two draws by a straight line; minus infinity where one of the two is."""
        with np.errstate(invalid="ignore"):
            found = {name: np.quantile(getattr(self, name), QUANTILES) for name in DISTRIBUTIONS}
        return {name: np.where(np.isnan(ends), -np.inf, ends) for name, ends in found.items()}

    def as_json(self) -> dict[str, Any]:
        """The same as plain lists and numbers, with `spread`; growth of minus infinity (all was lost) as None."""
        spread = {name: _plain(ends) for name, ends in self.spread().items()}
        return {name: _plain(value) for name, value in self._asdict().items()} | {"spread": spread}


class _Rows(NamedTuple):
    """Where a strategy decides: filled up with copies of the last, so that parts share programs; the first `number` count."""

    strategy: Strategy
    rows: Int[np.ndarray, "N"]
    number: int


def stress(
    parts: Sequence[Part],
    bars: BarTable,
    features: FeatureSet,
    lookback: int,
    params: EnvParams,
    config: StressConfig,
    mesh: Mesh,
) -> Stress:
    """Try strategies, each over its span of the bars, under all that `config` says; features are computed anew for every market.

    Dropped bars lie anywhere in the bars, crashes anywhere between the first span and the last. Restated bars: decided on the first
    versions, traded and marked at the final ones, which are those given. Bootstrapped markets are made of a span's bars alone and
    are as long as the shortest of them, their first rows spent on warm-up and look-back. Raises InputError for a strategy that is a
    table, which has no answer to other rows, and as `check_spans` does.
    """
    if any(isinstance(part.strategy.rule, TableRule) for part in parts):
        raise InputError("a strategy is a table of targets by step; a stress needs one that decides by what it sees")
    market, spec = build_market(bars, features)
    capital = float(params.capital)
    own = _aligned([(part.strategy, span_rows(spec, part.span, lookback)) for part in parts])
    material = _material(bars, [part.span for part in parts])

    def growth_of(one: _Rows, market: Market) -> float:
        return float(mean_log_growth(_equity(one, market, params)[:, None], one.rows[: one.number], capital)[0])

    def growth(market: Market) -> float:
        return _mean([growth_of(one, market) for one in own], own)

    def growth_under(settings: CostSettings) -> Float[np.ndarray, "S"]:
        found = []
        for one in own:
            equity = equity_by_costs(one.strategy, market, one.rows, params, settings, mesh)[: one.number]
            found.append(mean_log_growth(equity, one.rows[: one.number], capital))
        return np.average(found, axis=0, weights=[one.number for one in own])

    def over_draws(make: Callable[[int], float]) -> Float[np.ndarray, "D"]:
        return np.array([make(config.seed + draw) for draw in range(config.draws)])

    def in_bars(changed: BarTable) -> float:
        return growth(build_market(changed, features)[0])

    def restated(seed: int) -> float:
        seen = restated_bars(bars, share=config.restated_share, size=config.restated_size, seed=seed)
        return growth(market._replace(features=build_market(seen, features)[0].features))

    def bootstrapped(seed: int) -> float:
        markets = [build_market(bootstrapped_bars(one, block=config.block_bars, seed=seed), features) for one in material]
        whole = Span("bootstrapped", 0, len(material[0]))
        drawn = _aligned(
            [(part.strategy, span_rows(one[1], whole, lookback)) for part, one in zip(parts, markets, strict=True)]
        )
        return _mean([growth_of(one, other) for one, (other, _) in zip(drawn, markets, strict=True)], drawn)

    def crashed(seed: int) -> float:
        return in_bars(_crashed(bars, [part.span for part in parts], config, seed))

    settings = settings_of(config)
    starts, by_start = _from_starts(own, market, spec, params, config)
    return Stress(
        plain=growth(market),
        settings=settings,
        grid=growth_under(settings),
        by_delay=growth_under(_delayed(params)),
        break_even=break_even_cost(growth_under, params.costs, highest=config.highest_cost_bps / 1e4),
        dropped=over_draws(lambda seed: in_bars(dropped_bars(bars, share=config.dropped_share, seed=seed))),
        restated=over_draws(restated),
        bootstrapped=over_draws(bootstrapped),
        crashed=over_draws(crashed),
        starts=starts,
        horizon=config.horizon_bars,
        by_start=by_start,
    )


def check_spans(spans: Sequence[Span], bars: BarTable, spec: MarketSpec, lookback: int, config: StressConfig) -> None:
    """Raise InputError where a span is too short for the horizon of a start or for a bootstrapped market, or crashes do not fit."""
    for span in spans:
        try:
            start_rows(span_rows(spec, span, lookback), 1, config.horizon_bars)
        except InputError as error:
            raise InputError(f"{span.name}, rows {span.start} to {span.stop}: {error}") from error
    shortest = len(_material(bars, spans)[0])
    if shortest <= spec.warmup + lookback:
        raise InputError(
            f"the shortest of {len(spans)} spans has {shortest} bars; a bootstrapped market of as many spends {spec.warmup} on warm-up "
            f"and {lookback} on look-back, and none is left to trade"
        )
    for draw in range(config.draws):
        _crashed(bars, spans, config, config.seed + draw)


def _material(bars: BarTable, spans: Sequence[Span]) -> list[BarTable]:
    """Of each span as many bars, from the first on that all assets have: markets of one length share programs."""
    firsts = [span.start + int(np.argmax(bars.mask[span.start : span.stop].all(axis=1))) for span in spans]
    shortest = min(span.stop - first for span, first in zip(spans, firsts, strict=True))
    return [bars.rows(first, first + shortest) for first in firsts]


def _crashed(bars: BarTable, spans: Sequence[Span], config: StressConfig, seed: int) -> BarTable:
    return crashed_bars(
        bars,
        fall=config.crash_fall,
        length=config.crash_bars,
        number=config.crashes,
        recovers=config.crash_recovers,
        start=min(span.start for span in spans),
        stop=max(span.stop for span in spans),
        seed=seed,
    )


def settings_of(config: StressConfig) -> CostSettings:
    """Every fee with every half-spread, slippage and delay."""
    columns = (config.taker_fees_bps, config.half_spreads_bps, config.slippages_bps, config.delays)
    fee, spread, slippage, delay = np.array(list(itertools.product(*columns)), float).T
    return CostSettings(fee / 1e4, spread / 1e4, slippage / 1e4, delay.astype(int))


def start_rows(rows: Int[np.ndarray, "N"], number: int, horizon: int) -> Int[np.ndarray, "K"]:
    """At most `number` of the rows, evenly spread, from which `horizon` decisions follow one another in `rows`.

    Raises InputError where there is none.
    """
    possible = rows[: max(len(rows) - horizon + 1, 0)]
    possible = possible[rows[horizon - 1 :] == possible + horizon - 1]
    if len(possible) == 0:
        raise InputError(
            f"none of {len(rows)} rows has {horizon} bars after it to be traded; stress.horizon_bars must be shorter"
        )
    return possible[np.unique(np.linspace(0, len(possible) - 1, number).round().astype(int))]


def _from_starts(
    parts: Sequence[_Rows], market: Market, spec: MarketSpec, params: EnvParams, config: StressConfig
) -> tuple[Int[np.ndarray, "K"], Float[np.ndarray, "K"]]:
    """Time stamps of the starts of all parts, as many of each, and the growth from each."""
    stamps, growth = [], []
    for one in parts:
        rows = start_rows(one.rows[: one.number], -(-config.starts // len(parts)), config.horizon_bars)
        stamps.append(spec.timestamps[rows])
        growth.append(growth_by_start(one.strategy, market, rows, config.horizon_bars, params))
    return np.concatenate(stamps), np.concatenate(growth)


def growth_by_start(
    strategy: Strategy, market: Market, starts: Int[np.ndarray, "K"], horizon: int, params: EnvParams
) -> Float[np.ndarray, "K"]:
    """Mean log growth per bar over `horizon` bars from each of the rows, from cash; the starts rise."""
    # The last start first: so no episode ends where the next begins, and one backtest opens each anew.
    rows = (starts[::-1, None] + np.arange(horizon)).ravel()
    last = _equity(_Rows(strategy, rows, len(rows)), market, params).reshape(len(starts), horizon)[::-1, -1]
    with np.errstate(divide="ignore"):
        return np.log(last / float(params.capital)) / horizon


def _aligned(parts: Sequence[tuple[Strategy, Int[np.ndarray, "_"]]]) -> list[_Rows]:
    most = max(len(rows) for _, rows in parts)
    return [_Rows(strategy, np.pad(rows, (0, most - len(rows)), mode="edge"), len(rows)) for strategy, rows in parts]


def _equity(one: _Rows, market: Market, params: EnvParams) -> Float[np.ndarray, "N"]:
    cash = np.zeros(market.close.shape[1], market.close.dtype)
    return np.asarray(backtest(one.strategy, market, one.rows, params, cash).equity, np.float64)[: one.number]


def _mean(growth: Sequence[float], parts: Sequence[_Rows]) -> float:
    """Mean growth per bar over all parts."""
    return float(np.average(growth, weights=[one.number for one in parts]))


def _delayed(params: EnvParams) -> CostSettings:
    """The costs as they are, with every delay there is."""
    costs, delay = params.costs, np.arange(LONGEST_DELAY + 1)
    own = (np.full(len(delay), float(cost)) for cost in (costs.taker_fee, costs.half_spread, costs.slippage))
    return CostSettings(*own, delay=delay)


def _plain(value: Any) -> Any:
    if isinstance(value, CostSettings):
        return {name: np.asarray(part).tolist() for name, part in value._asdict().items()}
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    return None if value == -np.inf else value

"""A strategy under costs, delays and in markets that might have been."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from cappuccino.bars import BarTable
from cappuccino.config.stress import StressConfig
from cappuccino.env import EnvParams
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import Strategy, TableRule, backtest, span_rows
from cappuccino.evaluation.break_even import break_even_cost
from cappuccino.evaluation.cost_grid import CostSettings, equity_by_costs, mean_log_growth
from cappuccino.evaluation.scenarios import bootstrapped_bars, crashed_bars, dropped_bars, restated_bars
from cappuccino.evaluation.splits import Span
from cappuccino.features.registry import FeatureSet
from cappuccino.market import Market, build_market


class Stress(NamedTuple):
    """Mean log growth per bar after costs, accounts from cash, of S cost settings, D markets of each kind, K starts.

    plain: in the market and under the costs as they are. settings: fractions of the notional and bars; grid: under each.
    break_even: total cost as a fraction of the notional (`break_even_cost`), None where there is none up to the highest tried.
    dropped, restated, bootstrapped, crashed: one of each market drawn. starts: time stamps (Unix seconds) of the bars at whose
    closes the strategy starts; by_start: over `horizon` bars from each.
    """

    plain: float
    settings: CostSettings
    grid: Float[np.ndarray, "S"]
    break_even: float | None
    dropped: Float[np.ndarray, "D"]
    restated: Float[np.ndarray, "D"]
    bootstrapped: Float[np.ndarray, "D"]
    crashed: Float[np.ndarray, "D"]
    starts: Int[np.ndarray, "K"]
    horizon: int
    by_start: Float[np.ndarray, "K"]

    def as_json(self) -> dict[str, Any]:
        """The same as plain lists and numbers, growth of minus infinity (all was lost) as None."""
        return {name: _plain(value) for name, value in self._asdict().items()}


def stress(
    strategy: Strategy,
    bars: BarTable,
    features: FeatureSet,
    span: Span,
    lookback: int,
    params: EnvParams,
    config: StressConfig,
    mesh: Mesh,
) -> Stress:
    """Try a strategy under all that `config` says, over a span of the bars; features are computed anew for every market.

    Dropped bars and crashes lie anywhere in the bars, crashes inside the span. Restated bars: decided on the first versions,
    traded and marked at the final ones, which are those given. Bootstrapped markets are made of the span's bars alone and are
    as long, their first rows spent on warm-up and look-back. Raises InputError for a strategy that is a table, which has no
    answer to other rows, and where the span is too short for the horizon or a market.
    """
    if isinstance(strategy.rule, TableRule):
        raise InputError("the strategy is a table of targets by step; a stress needs one that decides by what it sees")
    market, spec = build_market(bars, features)
    rows = span_rows(spec, span, lookback)

    def growth(market: Market, rows: Int[np.ndarray, "N"]) -> float:
        return float(mean_log_growth(_equity(strategy, market, rows, params)[:, None], rows, float(params.capital))[0])

    def over_draws(make: Callable[[int], float]) -> Float[np.ndarray, "D"]:
        return np.array([make(config.seed + draw) for draw in range(config.draws)])

    def in_bars(changed: BarTable) -> float:
        return growth(build_market(changed, features)[0], rows)

    def restated(seed: int) -> float:
        seen = restated_bars(bars, share=config.restated_share, size=config.restated_size, seed=seed)
        return growth(market._replace(features=build_market(seen, features)[0].features), rows)

    whole = span.start + int(np.argmax(bars.mask[span.start : span.stop].all(axis=1)))
    own = bars.rows(whole, span.stop)

    def bootstrapped(seed: int) -> float:
        drawn, drawn_spec = build_market(bootstrapped_bars(own, block=config.block_bars, seed=seed), features)
        return growth(drawn, span_rows(drawn_spec, Span("bootstrapped", 0, len(own)), lookback))

    def crashed(seed: int) -> float:
        return in_bars(
            crashed_bars(
                bars,
                fall=config.crash_fall,
                length=config.crash_bars,
                number=config.crashes,
                recovers=config.crash_recovers,
                start=span.start,
                stop=span.stop,
                seed=seed,
            )
        )

    settings = settings_of(config)
    equity = equity_by_costs(strategy, market, rows, params, settings, mesh)
    starts = start_rows(rows, config.starts, config.horizon_bars)
    return Stress(
        plain=growth(market, rows),
        settings=settings,
        grid=mean_log_growth(equity, rows, float(params.capital)),
        break_even=break_even_cost(strategy, market, rows, params, mesh, highest=config.highest_cost_bps / 1e4),
        dropped=over_draws(lambda seed: in_bars(dropped_bars(bars, share=config.dropped_share, seed=seed))),
        restated=over_draws(restated),
        bootstrapped=over_draws(bootstrapped),
        crashed=over_draws(crashed),
        starts=spec.timestamps[starts],
        horizon=config.horizon_bars,
        by_start=growth_by_start(strategy, market, starts, config.horizon_bars, params),
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
            f"none of {len(rows)} rows has {horizon} bars after it to be traded; take a shorter stress.horizon_bars"
        )
    return possible[np.unique(np.linspace(0, len(possible) - 1, number).round().astype(int))]


def growth_by_start(
    strategy: Strategy, market: Market, starts: Int[np.ndarray, "K"], horizon: int, params: EnvParams
) -> Float[np.ndarray, "K"]:
    """Mean log growth per bar over `horizon` bars from each of the rows, from cash; the starts rise."""
    # The last start first: so no episode ends where the next begins, and one backtest opens each anew.
    rows = (starts[::-1, None] + np.arange(horizon)).ravel()
    last = _equity(strategy, market, rows, params).reshape(len(starts), horizon)[::-1, -1]
    with np.errstate(divide="ignore"):
        return np.log(last / float(params.capital)) / horizon


def _equity(strategy: Strategy, market: Market, rows: Int[np.ndarray, "N"], params: EnvParams) -> Float[np.ndarray, "N"]:
    cash = np.zeros(market.close.shape[1], market.close.dtype)
    return np.asarray(backtest(strategy, market, rows, params, cash).equity, np.float64)


def _plain(value: Any) -> Any:
    if isinstance(value, CostSettings):
        return {name: np.asarray(part).tolist() for name, part in value._asdict().items()}
    if isinstance(value, np.ndarray):
        return [_plain(entry) for entry in value.tolist()]
    return None if value == -np.inf else value

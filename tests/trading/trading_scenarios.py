"""A manifest that fits a market, a policy that trades a lot, and a trader of it."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from cappuccino.artifact.manifest import (
    FORMAT_VERSION,
    POLICY_NAME,
    BarOrigin,
    FeatureRange,
    Manifest,
    NormaliserValues,
    TrainedCosts,
)
from cappuccino.bars.table import BarTable
from cappuccino.broker.alpaca import AlpacaBroker
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.venue import Venue
from cappuccino.features.normaliser import training_range
from cappuccino.features.registry import FeatureSet, valid_rows
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.latch import HALT_FILE
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.trader import Trader

FEATURES = ("return_1", "relative_volume_168")
LOOKBACK = 4


def manifest_of(table: BarTable, names: tuple[str, ...] = FEATURES, **changes: Any) -> Manifest:
    """What a policy trained on `table` would say of itself."""
    features = FeatureSet(names, table.bar_seconds)
    values = features.compute(table)
    low, high = training_range(values, valid_rows(table, features.warmup))
    A = len(table.assets)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        assets=table.assets,
        features=names,
        lookback=LOOKBACK,
        warmup=features.warmup,
        bar_seconds=table.bar_seconds,
        normaliser=NormaliserValues((0.0,) * len(names), (1.0,) * len(names), 5.0),
        costs=TrainedCosts(25.0, 2.0, 1.0, 10.0, 0.04, (1e-9,) * A),
        config={},
        config_hash="0",
        market_fingerprint=table.fingerprint(),
        training_range=FeatureRange(tuple(map(tuple, low.tolist())), tuple(map(tuple, high.tolist()))),
        validation={},
        origin=BarOrigin(**dataclasses.asdict(table.origin)),
        code_version="0",
        files={POLICY_NAME: "0"},
        created="2026-01-01T00:00:00+00:00",
    )
    return dataclasses.replace(manifest, **changes)


def restless(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A new random portfolio at every bar, the same for the same window."""
    seed = int.from_bytes(np.round(window[-1], 6).tobytes()[:8], "little")
    return np.random.default_rng(seed).dirichlet(np.ones(len(weights) + 1))[: len(weights)]


def halting(folder: pathlib.Path, at_call: int, word: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A restless policy; while it decides for that time, the file is put there that halts its trader, with `word` in it."""
    calls = []

    def decide(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) == at_call:
            (folder / HALT_FILE).write_text(word)
        return restless(window, weights)

    return decide


def trader(
    url: str,
    folder: pathlib.Path,
    manifest: Manifest,
    *,
    decide: Any = restless,
    broker: Any = None,
    artifact: str = "artifact",
    **changes: Any,
) -> Trader:
    """A trader of `manifest` on a stepped exchange."""
    settings = TraderSettings(folder=folder, capital=Decimal(100_000), max_hole_bars=6)
    settings = dataclasses.replace(settings, **changes)
    broker = broker or AlpacaBroker("key", "secret", trading_url=url)
    return Trader(manifest, artifact, decide, broker, ExchangeClock(url, "stepped"), settings)


def venue_of(table: BarTable, start: int, **config: Any) -> Venue:
    """An exchange that replays `table` from the close of row `start`."""
    return Venue(table, start, ExchangeConfig(**config))

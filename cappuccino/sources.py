"""The bars that a `data` group describes, and the local exchange that replays them. Imports no JAX: the trader uses it."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from decimal import Decimal

import numpy as np
from jaxtyping import Float
from rich.console import Console

from cappuccino.artifact.manifest import Manifest
from cappuccino.bars import BarTable
from cappuccino.broker.exchange.config import ExchangeConfig
from cappuccino.broker.exchange.faults import FaultsConfig
from cappuccino.config.composition import data_from
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import AlpacaData, DataConfig, FilesData, SyntheticData
from cappuccino.config.faults import FaultsGroupConfig
from cappuccino.errors import InputError

HELD_OUT = 0.85
"""Share of the bars before the test span where a data group names no dates."""


def load_bars(data: DataConfig) -> BarTable:
    """The bars that a `data` group describes; those of Alpaca from its store, which `cappuccino data fetch` fills.

    Raises InputError for whatever is wrong with them.
    """
    if isinstance(data, SyntheticData):
        from cappuccino.bars.synthetic import synthetic_bars

        return synthetic_bars(
            data.kind,
            assets=data.assets or (),
            bars=data.bars,
            bar_seconds=data.bar_seconds,
            seed=data.seed,
            start=data.start_seconds or 0,
            drift=data.drift,
        )
    from cappuccino.bars.files import read_files
    from cappuccino.bars.store import BarStore

    if isinstance(data, AlpacaData):
        if not BarStore(pathlib.Path(data.path)).exists():
            raise InputError(f"data.path is {data.path}, where no bars are stored; fill it with: cappuccino data fetch")
        venue = quote = None
    else:
        assert isinstance(data, FilesData)
        venue, quote = data.venue, data.quote
    return read_files(
        data.path,
        assets=data.assets,
        bar_seconds=data.bar_seconds,
        max_hole_bars=data.max_hole_bars,
        start=data.start_seconds,
        stop=data.end_seconds,
        venue=venue,
        quote=quote,
    )


def artifact_data(manifest: Manifest, given: DataConfig | None) -> DataConfig:
    """The `data` group given, or that of the artifact's training, with the artifact's assets in its order.

    Raises InputError where the manifest has none either.
    """
    if given is None:
        recorded = manifest.config.get("data")
        if recorded is None:
            raise InputError(
                "the artifact does not say which bars it was trained on; name some, like data=files data.path=FOLDER"
            )
        given = data_from(recorded)
    return dataclasses.replace(given, assets=list(manifest.assets))


def artifact_bars(manifest: Manifest, given: DataConfig | None) -> BarTable:
    """The bars of `artifact_data`. Raises InputError where they are not there, or not of the length that the artifact decides on."""
    data = artifact_data(manifest, given)
    if data.bar_seconds != manifest.bar_seconds:
        raise InputError(
            f"data.bar is {data.bar}, {data.bar_seconds} s; the artifact decides on bars of {manifest.bar_seconds} s, name that length"
        )
    return load_bars(data)


def validation_folder(out: str | None, runs_dir: str, checksum: str) -> pathlib.Path:
    """Where what is found of an artifact is written: `out`, or a folder named by its checksum."""
    return pathlib.Path(out) if out else pathlib.Path(runs_dir) / "validations" / checksum[:12]


def fetch_bars(data: AlpacaData, console: Console) -> None:
    """Download what the store lacks up to now, and say what was added."""
    from cappuccino.bars.alpaca import download
    from cappuccino.bars.store import BarStore, describe

    now = int(time.time())
    assert data.assets is not None
    assert data.start_seconds is not None
    store = BarStore(pathlib.Path(data.path))
    report = download(
        store,
        data.assets,
        bar_seconds=data.bar_seconds,
        start=data.start_seconds,
        stop=min(data.end_seconds or now, now),
        now=now,
        url=data.url,
        console=console,
    )
    for asset, change in report.items():
        console.print(f"{asset:<6} {change.added:,} bars added, {len(change.restated):,} restated")
    console.print(describe(store))


def hidden_drift(data: DataConfig) -> Float[np.ndarray, "T A"] | None:
    """The drift of a planted market, hidden and set; None for any other."""
    if not (isinstance(data, SyntheticData) and data.kind == "planted"):
        return None
    from cappuccino.bars.synthetic import planted_drift

    return planted_drift(assets=data.assets or (), bars=data.bars, seed=data.seed, drift=data.drift)


def exchange_config(
    costs: CostsConfig, assets: tuple[str, ...], cash: float, faults: FaultsGroupConfig | None = None, *, fees: str = "fill"
) -> ExchangeConfig:
    """The local exchange that charges and accepts what `costs` says, fees at the time `fees`; what goes wrong there says `faults`."""
    steps = dict(zip(assets, costs.increments_of(assets), strict=True))
    return ExchangeConfig(
        taker_fee_bps=costs.taker_fee_bps,
        half_spread_bps=costs.half_spread_bps,
        slippage_bps=costs.slippage_bps,
        fees=fees,
        min_notional=costs.min_notional,
        increments={asset: format(Decimal(repr(step)), "f") for asset, step in steps.items()},
        cash=cash,
        faults=FaultsConfig() if faults is None else faults.plan,
    )


def opening_row(bars: BarTable, data: DataConfig, start: int | None) -> int:
    """The row at whose close a replay opens: the last one complete at `start`, or before the test span where it is None.

    Raises InputError for a start outside the bars.
    """
    if start is None:
        split = data.split_seconds
        start = split[1] if split else int(bars.timestamps[round(HELD_OUT * len(bars))])
    row = int(np.searchsorted(bars.timestamps, start)) - 1
    if not 0 <= row < len(bars) - 1:
        first, last = (np.datetime64(int(bars.timestamps[k]), "s") for k in (1, -1))
        raise InputError(f"the exchange cannot open at {np.datetime64(start, 's')}; its bars allow {first} to {last}")
    return row

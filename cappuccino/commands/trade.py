"""`cappuccino trade`: an artifact on a broker. Imports no JAX."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple, cast

from rich.console import Console

from cappuccino.artifact.manifest import Manifest, checksum
from cappuccino.artifact.runtime import load_artifact
from cappuccino.broker.alpaca import AlpacaBroker, keys_from_environment
from cappuccino.commands.exchange import clock_factor
from cappuccino.config.composition import data_from, group_from
from cappuccino.config.costs import CostsConfig
from cappuccino.config.roots import TradeCommandConfig
from cappuccino.config.trading import LocalBrokerConfig
from cappuccino.errors import InputError, Refusal
from cappuccino.trading.clock import Clock, ExchangeClock, RealClock
from cappuccino.trading.reconcile import Foreign
from cappuccino.trading.trader import Trader, TraderSettings

LOCAL_KEYS = ("local", "local")
"""What the local exchange is asked with; it takes any words."""


class Venue(NamedTuple):
    """Where the trader trades, and by whose time."""

    broker: AlpacaBroker
    clock: Clock


def run(config: TradeCommandConfig) -> None:
    """Trade until the number of bars is reached, the replay ends, or SIGTERM."""
    console = Console()
    artifact = load_artifact(config.artifact)
    manifest = artifact.manifest
    trade = config.trade
    folder = pathlib.Path(config.runs_dir) / "traders" / trade.name
    settings = TraderSettings(
        folder=folder,
        capital=Decimal(str(trade.capital)),
        max_hole_bars=data_from(manifest.config["data"]).max_hole_bars,
        dry_run=trade.dry_run,
        bars=trade.bars,
        allow_outside=tuple(trade.allow_outside),
        fee=Decimal(str(trade.fee_bps)) / 10_000,
        foreign=cast(Foreign, trade.foreign),
    )
    with _venue(config, manifest, console) as venue:
        console.print(
            f"trader      {folder}: {', '.join(manifest.assets)} with {config.artifact} at {venue.broker.trading_url}"
        )
        summary = Trader(manifest, checksum(manifest), artifact.decide, venue.broker, venue.clock, settings).run()
    equity = "unknown" if summary.equity is None else f"${summary.equity:,.2f}"
    console.print(
        f"traded      {summary.bars} bars, {summary.decisions} decisions, {summary.fills} orders filled, equity {equity}"
    )


@contextlib.contextmanager
def _venue(config: TradeCommandConfig, manifest: Manifest, console: Console) -> Iterator[Venue]:
    broker = config.broker
    if not isinstance(broker, LocalBrokerConfig):
        live = config.live
        if live:
            _confirm_live(config, manifest, console)
        key, secret = keys_from_environment()
        yield Venue(
            AlpacaBroker(
                key, secret, trading_url=broker.url, data_url=broker.data_url, live=live, deadline_s=broker.deadline_s
            ),
            RealClock(),
        )
        return
    if config.live:
        raise InputError("live=true goes with broker=alpaca; a local exchange has no real money")
    with _local_url(config, broker, manifest) as url:
        yield Venue(
            AlpacaBroker(*LOCAL_KEYS, trading_url=url, data_url=broker.data_url, deadline_s=broker.deadline_s),
            ExchangeClock(url, broker.clock, speed=broker.speed),
        )


@contextlib.contextmanager
def _local_url(config: TradeCommandConfig, broker: LocalBrokerConfig, manifest: Manifest) -> Iterator[str]:
    """The exchange that runs already, or one of our own for as long as the trader runs."""
    if broker.url is not None:
        yield broker.url
        return
    from cappuccino.broker.exchange.process import start_exchange
    from cappuccino.sources import exchange_config, load_bars, opening_row

    data = config.data or data_from(manifest.config["data"])
    costs = config.costs or group_from(CostsConfig, manifest.config["costs"])
    bars = load_bars(data).select(manifest.assets)
    row = opening_row(bars, data, broker.start_seconds)
    exchange = exchange_config(costs, bars.assets, config.trade.capital)
    with start_exchange(bars, row, exchange, clock_factor=clock_factor(broker.clock, broker.speed)) as process:
        yield process.url


def _confirm_live(config: TradeCommandConfig, manifest: Manifest, console: Console) -> None:
    """Real money takes a typed confirmation at a terminal."""
    phrase = f"trade {config.trade.capital:.0f} dollars live"
    console.print(
        f"LIVE TRADING with real money: {', '.join(manifest.assets)}, up to ${config.trade.capital:,.2f}, artifact "
        f"{checksum(manifest)[:12]}. Type '{phrase}' to go on:"
    )
    if not sys.stdin.isatty() or sys.stdin.readline().strip() != phrase:
        raise Refusal(f"live trading was not confirmed; start it at a terminal and type '{phrase}'")

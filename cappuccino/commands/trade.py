"""`cappuccino trade`: an artifact on a broker. Imports no JAX."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import cast

from rich.console import Console

from cappuccino.artifact.manifest import MANIFEST_NAME, checksum, read_manifest
from cappuccino.artifact.runtime import load_artifact
from cappuccino.broker.alpaca import AlpacaBroker, keys_from_environment
from cappuccino.commands.exchange import clock_factor
from cappuccino.config.composition import data_from, group_from, save_config
from cappuccino.config.costs import CostsConfig
from cappuccino.config.roots import TradeCommandConfig
from cappuccino.config.trading import AlpacaFormatConfig, LocalBrokerConfig, OwnBrokerConfig
from cappuccino.deployment import deployed
from cappuccino.errors import InputError, Refusal
from cappuccino.trading import hosts
from cappuccino.trading.clock import ExchangeClock, RealClock
from cappuccino.trading.folder import CONFIG_NAME
from cappuccino.trading.live import confirm, fingerprint, is_confirmed
from cappuccino.trading.log import Log
from cappuccino.trading.reconcile import Foreign
from cappuccino.trading.settings import TraderSettings
from cappuccino.trading.trader import Summary, Trader
from cappuccino.trading.venue import BROKERS, Venue
from cappuccino.trading.watch import Watch, open_watch, watch_hosts

LOCAL_KEYS = ("local", "local")
"""What the local exchange is asked with; it takes any words."""


def run(config: TradeCommandConfig) -> None:
    """Trade until the number of bars is reached, the replay ends, or SIGTERM."""
    console = Console()
    summary = start(config, console)
    equity = "unknown" if summary.equity is None else f"${summary.equity:,.2f}"
    console.print(
        f"traded      {summary.bars} bars, {summary.decisions} decisions, {summary.fills} orders filled, equity {equity}"
    )


def folder_of(config: TradeCommandConfig) -> pathlib.Path:
    """Where everything of the trader lies."""
    return pathlib.Path(config.runs_dir) / "traders" / config.trade.name


def start(config: TradeCommandConfig, console: Console) -> Summary:
    """Run the trader that is configured; its configuration is kept in its folder. Raises Refusal and Halted as it does."""
    artifact = load_artifact(config.artifact)
    manifest, trade, folder = artifact.manifest, config.trade, folder_of(config)
    settings = TraderSettings(
        folder=folder,
        capital=Decimal(str(trade.capital)),
        max_hole_bars=data_from(manifest.config["data"]).max_hole_bars,
        dry_run=trade.dry_run,
        bars=trade.bars,
        allow_outside=tuple(trade.allow_outside),
        fee=Decimal(str(trade.fee_bps)) / 10_000,
        foreign=cast(Foreign, trade.foreign),
        limits=None if config.risk is None else config.risk.limits,
        takes_over=None if trade.takes_over is None else folder.parent / trade.takes_over,
        log_mb=config.watch.log_mb,
        logs_kept=config.watch.logs_kept,
    )
    told: list[Watch] = []
    with venue_of(config, console, lambda status: [watch.request(status) for watch in told]) as venue:

        @contextlib.contextmanager
        def watched(log: Log) -> Iterator[Watch]:
            known = contextlib.nullcontext() if trade.dry_run else deployed(config.runs_dir, artifact.checksum, trade.name)
            with known, open_watch(config.watch, trade.name, log, venue.clock.now, manifest.bar_seconds) as watch:
                told.append(watch)
                yield watch

        console.print(f"trader      {folder}: {', '.join(manifest.assets)} with {config.artifact} at {venue.address}")
        if not trade.dry_run:
            folder.mkdir(parents=True, exist_ok=True)
            save_config(config, folder / CONFIG_NAME)
        return Trader(manifest, checksum(manifest), artifact.decide, venue.broker, venue.clock, settings, watched).run()


@contextlib.contextmanager
def venue_of(config: TradeCommandConfig, console: Console, answered: Callable[[int], object] | None = None) -> Iterator[Venue]:
    """The broker that is configured, and its clock. Raises Refusal for real money that was not confirmed.

    From then on this process reaches only the hosts of `hosts.allowed_hosts`. answered: told the status of every answer.
    """
    broker = config.broker
    if config.faults is not None and (not isinstance(broker, LocalBrokerConfig) or broker.url is not None):
        raise InputError(
            "faults go wrong at the trader's own local exchange; for one that runs already, start it with them, or leave them out"
        )
    if isinstance(broker, OwnBrokerConfig):
        yield _own_venue(config, broker, console)
        return
    assert isinstance(broker, AlpacaFormatConfig)
    if not isinstance(broker, LocalBrokerConfig):
        key, secret = keys_from_environment()
        if config.live:
            _confirm_live(config, key, console)
        hosts.install(hosts.allowed_hosts(named=watch_hosts(config.watch), live=config.live))
        service = AlpacaBroker(
            key,
            secret,
            trading_url=broker.url,
            data_url=broker.data_url,
            live=config.live,
            deadline_s=broker.deadline_s,
            answered=answered,
            now=time.time,
        )
        yield Venue(service, RealClock(), service.trading_url)
        return
    if config.live:
        raise InputError("live=true goes with broker=alpaca; a local exchange has no real money")
    hosts.install(hosts.allowed_hosts(named=watch_hosts(config.watch)))
    with _local_url(config, broker) as url:
        client = AlpacaBroker(  # first: it refuses an address that is not this machine's before anything is asked there
            *LOCAL_KEYS,
            trading_url=url,
            data_url=broker.data_url,
            deadline_s=broker.deadline_s,
            answered=answered,
            now=lambda: clock.now(),
        )
        clock = ExchangeClock(url, broker.clock, speed=broker.speed)
        yield Venue(client, clock, client.trading_url)


def _own_venue(config: TradeCommandConfig, broker: OwnBrokerConfig, console: Console) -> Venue:
    """A broker that a module of the user's has added; it reaches its own address and the hosts that are named, no others."""
    own = BROKERS[broker.name]
    if own.real_money and not config.live:
        raise Refusal(f"broker {broker.name} trades real money: refused unless live trading was asked for")
    if config.live:
        if not own.real_money:
            raise InputError(f"live=true goes with real money; broker {broker.name} says that it moves none")
        _confirm_live(config, f"{broker.name} {broker.url}", console)
    urls = [] if broker.url is None else [broker.url]
    hosts.install(hosts.allowed_hosts(urls=urls, named=[*watch_hosts(config.watch), *broker.hosts]))
    return own.open(broker.url, broker.deadline_s)


@contextlib.contextmanager
def _local_url(config: TradeCommandConfig, broker: LocalBrokerConfig) -> Iterator[str]:
    """The exchange that runs already, or one of our own for as long as the trader runs."""
    if broker.url is not None:
        yield broker.url
        return
    from cappuccino.broker.exchange.process import start_exchange
    from cappuccino.sources import exchange_config, load_bars, opening_row

    manifest = read_manifest(pathlib.Path(config.artifact) / MANIFEST_NAME)
    data = config.data or data_from(manifest.config["data"])
    costs = config.costs or group_from(CostsConfig, manifest.config["costs"])
    bars = load_bars(data).select(manifest.assets)
    row = opening_row(bars, data, broker.start_seconds)
    exchange = exchange_config(costs, bars.assets, config.trade.capital, config.faults, fees=broker.fees)
    with start_exchange(bars, row, exchange, clock_factor=clock_factor(broker.clock, broker.speed)) as process:
        yield process.url


def _confirm_live(config: TradeCommandConfig, key: str, console: Console) -> None:
    """Real money takes a typed confirmation at a terminal, once for an account, an artifact and its limits."""
    manifest = read_manifest(pathlib.Path(config.artifact) / MANIFEST_NAME)
    rules = None if config.risk is None else dataclasses.asdict(config.risk)
    limits = {**dataclasses.asdict(config.trade), "risk": rules, "dry_run": None, "bars": None}
    wanted, folder = fingerprint(key, checksum(manifest), limits), folder_of(config)
    if is_confirmed(folder, wanted):
        return
    phrase = f"trade {config.trade.capital:.0f} dollars live"
    console.print(
        f"LIVE TRADING with real money: {', '.join(manifest.assets)}, up to ${config.trade.capital:,.2f}, artifact "
        f"{checksum(manifest)[:12]}. Type '{phrase}' to go on:"
    )
    if not sys.stdin.isatty() or sys.stdin.readline().strip() != phrase:
        raise Refusal(f"live trading was not confirmed; start it at a terminal and type '{phrase}'")
    confirm(folder, wanted, phrase)

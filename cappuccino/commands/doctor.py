"""`cappuccino doctor`: what would keep a trader from trading, and what to do about it. Imports no JAX."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from cappuccino.broker.alpaca import AlpacaBroker, keys_from_environment
from cappuccino.broker.protocol import Broker
from cappuccino.commands.trade import LOCAL_KEYS
from cappuccino.config.roots import DoctorConfig
from cappuccino.config.trading import AlpacaFormatConfig, LocalBrokerConfig, OwnBrokerConfig
from cappuccino.errors import InputError, Refusal
from cappuccino.trading.clock import ExchangeClock
from cappuccino.trading.examination import Finding, examine_artifact, examine_disk, examine_folder, examine_venue
from cappuccino.trading.venue import BROKERS

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def run(config: DoctorConfig) -> None:
    """Print a line for each check. Raises Refusal if there is a problem."""
    console = Console(soft_wrap=True)
    problems = 0
    for finding in _findings(config):
        console.print(f"{finding.check:<10}[{COLOURS[finding.grade]}]{finding.grade:<9}[/]", end="")
        console.print(finding.text, markup=False, highlight=False)
        problems += finding.grade == "problem"
    if problems:
        raise Refusal(f"{problems} problem{'s' * (problems > 1)}, see above")


def _findings(config: DoctorConfig) -> Iterator[Finding]:
    folder = pathlib.Path(config.runs_dir) / "traders" / config.trade.name
    artifact = None
    if config.artifact is None:
        yield Finding("artifact", "warning", "none given, so neither it nor its bars are looked at: artifact=FOLDER")
    else:
        found, artifact = examine_artifact(config.artifact)
        yield found
    found, ours = examine_folder(folder)
    yield found
    yield examine_disk(folder, config.watch.disk_mb)
    try:
        venue = _venue(config)
    except (InputError, Refusal) as error:
        yield Finding("keys" if isinstance(error, InputError) else "venue", "problem", str(error))
        return
    if venue is None:
        yield Finding("venue", "ok", "broker=local without broker.url starts its own exchange; nothing to look at before")
        return
    broker, now = venue
    yield from examine_venue(broker, now, config.trade.capital, None if artifact is None else artifact.manifest, ours)


def _venue(config: DoctorConfig) -> tuple[Broker, Callable[[], float]] | None:
    """The broker and the trader's time; None for an exchange that does not run yet."""
    broker = config.broker
    if isinstance(broker, OwnBrokerConfig):
        venue = BROKERS[broker.name].open(broker.url, broker.deadline_s)
        return venue.broker, venue.clock.now
    assert isinstance(broker, AlpacaFormatConfig)
    options = {"trading_url": broker.url, "data_url": broker.data_url, "deadline_s": broker.deadline_s}
    if not isinstance(broker, LocalBrokerConfig):
        return AlpacaBroker(*keys_from_environment(), **options), time.time
    if broker.url is None:
        return None
    return AlpacaBroker(*LOCAL_KEYS, **options), ExchangeClock(broker.url, broker.clock, speed=broker.speed).now

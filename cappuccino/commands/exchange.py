"""`cappuccino exchange`: serve bars as an exchange in Alpaca's wire format."""

from __future__ import annotations

from rich.console import Console

from cappuccino.broker.exchange.server import serve
from cappuccino.broker.exchange.venue import Venue
from cappuccino.config.roots import ExchangeCommandConfig
from cappuccino.sources import exchange_config, load_bars, opening_row


def clock_factor(clock: str, speed: float) -> float | None:
    """Exchange seconds per second; None for a clock that moves only when it is told to."""
    return {"stepped": None, "accelerated": speed, "real": 1.0}[clock]


def run(config: ExchangeCommandConfig) -> None:
    """Serve until stopped. The address is printed as one line of JSON once it answers."""
    bars = load_bars(config.data)
    row = opening_row(bars, config.data, config.start_seconds)
    venue = Venue(
        bars,
        row,
        exchange_config(config.costs, bars.assets, config.capital, config.faults, fees=config.fees),
        clock_factor=clock_factor(config.clock, config.speed),
    )
    console = Console()
    serve(venue, host=config.host, port=config.port, ready=lambda line: console.print(line, highlight=False, soft_wrap=True))

"""Types and limits of what a trader is made of. Values, and what each means, are in `conf/<group>/`."""

from __future__ import annotations

import dataclasses

from cappuccino.broker.exchange.config import FEES_TAKEN
from cappuccino.config.checks import check_added, check_choice, check_name, check_ranges, check_rising_dates, unix_seconds
from cappuccino.errors import InputError

DESK_ACTIONS = ("status", "halt", "flatten", "resume", "accept", "review", "history")

CLOCK_NAMES = ("stepped", "accelerated", "real")


@dataclasses.dataclass
class BrokerConfig:
    """What every broker has in common. Use a subclass."""

    name: str
    url: str | None
    deadline_s: float

    def __post_init__(self) -> None:
        check_ranges("broker", self, deadline_s="(0, inf)")
        _check_url("broker.url", self.url)


@dataclasses.dataclass
class AlpacaFormatConfig(BrokerConfig):
    """What speaks Alpaca's wire format. Use a subclass."""

    data_url: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_url("broker.data_url", self.data_url)


def _check_url(name: str, url: str | None) -> None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise InputError(f"{name} is {url!r}; it must begin with http:// or https://")


@dataclasses.dataclass
class LocalBrokerConfig(AlpacaFormatConfig):
    """The local exchange: one that runs at `url`, or one of our own."""

    clock: str
    speed: float
    start: str | None
    fees: str

    def __post_init__(self) -> None:
        check_choice("broker.name", self.name, ("local",))
        super().__post_init__()
        check_choice("broker.clock", self.clock, CLOCK_NAMES)
        check_choice("broker.fees", self.fees, FEES_TAKEN)
        if self.url is not None and self.fees != "fill":
            raise InputError(
                "broker.fees goes with an exchange of our own; the one at broker.url takes its fees as it was told"
            )
        check_ranges("broker", self, speed="(0, inf)")
        check_rising_dates("broker", self, "start")

    @property
    def start_seconds(self) -> int | None:
        return None if self.start is None else unix_seconds("broker.start", self.start)


@dataclasses.dataclass
class AlpacaBrokerConfig(AlpacaFormatConfig):
    """Alpaca's service, with keys from the environment."""

    def __post_init__(self) -> None:
        check_choice("broker.name", self.name, ("alpaca",))
        super().__post_init__()


@dataclasses.dataclass
class OwnBrokerConfig(BrokerConfig):
    """A broker that a module of the user's has added."""

    hosts: list[str]

    def __post_init__(self) -> None:
        check_added("broker.name", self.name, "broker")
        super().__post_init__()


@dataclasses.dataclass
class TraderName:
    """Which trader is meant, by its folder."""

    name: str

    def __post_init__(self) -> None:
        check_name("trade.name", self.name)


@dataclasses.dataclass
class TraderCapital(TraderName):
    """Which trader is meant, and the money that it may use."""

    capital: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("trade", self, capital="(0, inf)")


@dataclasses.dataclass
class TraderConfig:
    name: str
    capital: float
    dry_run: bool
    bars: int | None
    allow_outside: list[str]
    fee_bps: float
    foreign: str
    takes_over: str | None

    def __post_init__(self) -> None:
        check_name("trade.name", self.name)
        check_ranges("trade", self, capital="(0, inf)", bars="[1, inf)", fee_bps="[0, 1000]")
        check_choice("trade.foreign", self.foreign, ("refuse", "adopt", "ignore"))
        if self.takes_over is None:
            return
        check_name("trade.takes_over", self.takes_over)
        if self.takes_over == self.name or self.dry_run:
            said = "the trader itself" if self.takes_over == self.name else "no dry run: it finishes what that one had begun"
            raise InputError(f"trade.takes_over is {self.takes_over}; it names another trader, and {said} is none")

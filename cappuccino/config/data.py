"""Types and limits of `data=`: where bars come from. Values, and what each means, are in `conf/data/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import (
    check_choice,
    check_distinct,
    check_ranges,
    check_rising_dates,
    seconds_of_bar,
    unix_seconds,
)
from cappuccino.errors import InputError

MARKET_KINDS = ("realistic", "martingale", "planted")


def _check_source(given: str, own: str) -> None:
    if given != own:
        raise InputError(f"data.source is {given!r}; it comes with data={own} and is chosen by data=synthetic|files|alpaca")


@dataclasses.dataclass
class DataConfig:
    """What every source of bars has in common. Use a subclass."""

    source: str
    assets: list[str] | None
    bar: str
    start: str | None
    train_end: str | None
    valid_end: str | None
    max_hole_bars: int

    def __post_init__(self) -> None:
        if self.assets is not None:
            check_distinct("data.assets", self.assets)
        if self.bar_seconds <= 0:
            raise InputError(f"data.bar is {self.bar}; it must be longer")
        check_ranges("data", self, max_hole_bars="[0, inf)")
        if (self.train_end is None) != (self.valid_end is None):
            raise InputError(
                f"data.train_end is {self.train_end} and data.valid_end {self.valid_end}; give both, or neither for 70/15/15"
            )
        check_rising_dates("data", self, "start", "train_end", "valid_end")

    @property
    def bar_seconds(self) -> int:
        return seconds_of_bar("data.bar", self.bar)

    @property
    def split_seconds(self) -> tuple[int, int] | None:
        """Unix seconds at which training and validation end; None for 70/15/15."""
        if self.train_end is None or self.valid_end is None:
            return None
        return unix_seconds("data.train_end", self.train_end), unix_seconds("data.valid_end", self.valid_end)

    @property
    def start_seconds(self) -> int | None:
        return None if self.start is None else unix_seconds("data.start", self.start)


@dataclasses.dataclass
class FilesData(DataConfig):
    """Bars from files on disk."""

    path: str
    end: str | None
    venue: str | None
    quote: str | None

    def __post_init__(self) -> None:
        _check_source(self.source, "files")
        super().__post_init__()
        check_rising_dates("data", self, "start", "train_end", "valid_end", "end")

    @property
    def end_seconds(self) -> int | None:
        return None if self.end is None else unix_seconds("data.end", self.end)


@dataclasses.dataclass
class AlpacaData(DataConfig):
    """Bars from Alpaca's crypto data API, kept in a store on disk."""

    path: str
    end: str | None
    url: str

    def __post_init__(self) -> None:
        _check_source(self.source, "alpaca")
        super().__post_init__()
        if self.assets is None:
            raise InputError("data.assets is null; name the assets to fetch, like data.assets=[BTC,ETH]")
        if self.start is None:
            raise InputError("data.start is null; name the date to fetch from, like data.start=2021-01-01")
        check_rising_dates("data", self, "start", "train_end", "valid_end", "end")

    @property
    def end_seconds(self) -> int | None:
        return None if self.end is None else unix_seconds("data.end", self.end)


@dataclasses.dataclass
class SyntheticData(DataConfig):
    """Bars made from a seed."""

    kind: str
    bars: int
    seed: int
    drift: float

    def __post_init__(self) -> None:
        _check_source(self.source, "synthetic")
        super().__post_init__()
        check_choice("data.kind", self.kind, MARKET_KINDS)
        check_ranges("data", self, bars="[1, inf)", seed="[0, inf)", drift="[-0.001, 0.001]")
        if self.drift and self.kind != "planted":
            raise InputError(f"data.drift is {self.drift} and data.kind {self.kind}; only a planted market has a drift to set")
        if self.assets is None:
            raise InputError("data.assets is null; name the assets to make, like data.assets=[BTC,ETH]")
        if self.start is None:
            raise InputError("data.start is null; name the date of the first bar, like data.start=2020-01-01")

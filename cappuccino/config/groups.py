"""The configuration's groups. Types and limits are here; the values, and what each means, are in `conf/<group>/`.

Every class checks itself when it is built and raises InputError with the dotted name, the value, and what is allowed.
"""

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
REWARD_NAMES = ("log_growth", "excess", "differential_sharpe")
NETWORK_NAMES = ("mlp", "per_asset")
CLOCK_NAMES = ("stepped", "accelerated", "real")


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

    def __post_init__(self) -> None:
        _check_source(self.source, "synthetic")
        super().__post_init__()
        check_choice("data.kind", self.kind, MARKET_KINDS)
        check_ranges("data", self, bars="[1, inf)", seed="[0, inf)")
        if self.assets is None:
            raise InputError("data.assets is null; name the assets to make, like data.assets=[BTC,ETH]")
        if self.start is None:
            raise InputError("data.start is null; name the date of the first bar, like data.start=2020-01-01")


@dataclasses.dataclass
class FeaturesConfig:
    names: list[str]

    def __post_init__(self) -> None:
        check_distinct("features.names", self.names)


@dataclasses.dataclass
class CostsConfig:
    """What trading costs and what the venue accepts."""

    taker_fee_bps: float
    half_spread_bps: float
    slippage_bps: float
    min_notional: float
    increments: bool
    increment: float
    increment_by_asset: dict[str, float]
    buying_power_margin: float

    def __post_init__(self) -> None:
        basis_points = "[0, 5000)"
        check_ranges(
            "costs",
            self,
            taker_fee_bps=basis_points,
            half_spread_bps=basis_points,
            slippage_bps=basis_points,
            min_notional="[0, inf)",
            increment="(0, inf)",
            increment_by_asset="(0, inf)",
            buying_power_margin="[0, 1]",
        )

    @property
    def taker_fee(self) -> float:
        """As a fraction of the notional, like `half_spread` and `slippage`."""
        return self.taker_fee_bps / 1e4

    @property
    def half_spread(self) -> float:
        return self.half_spread_bps / 1e4

    @property
    def slippage(self) -> float:
        return self.slippage_bps / 1e4

    def increments_of(self, assets: tuple[str, ...]) -> tuple[float, ...]:
        """Step of a quantity for every asset; 0 where the switch is off. Raises InputError for a step of an unknown asset."""
        unknown = sorted(set(self.increment_by_asset) - set(assets))
        if unknown:
            raise InputError(f"costs.increment_by_asset names {', '.join(unknown)}; the assets are {', '.join(assets)}")
        return tuple(self.increment_by_asset.get(asset, self.increment) if self.increments else 0.0 for asset in assets)


@dataclasses.dataclass
class RewardConfig:
    name: str
    scale: float
    turnover: float
    drawdown: float
    concentration: float
    sharpe_rate: float

    def __post_init__(self) -> None:
        check_choice("env.reward.name", self.name, REWARD_NAMES)
        not_negative = "[0, inf)"
        check_ranges(
            "env.reward",
            self,
            scale="(0, inf)",
            turnover=not_negative,
            drawdown=not_negative,
            concentration=not_negative,
            sharpe_rate="(0, 1]",
        )


@dataclasses.dataclass
class EnvConfig:
    clocks: int
    accounts: int
    episode_bars: int
    capital: float
    drawdown_limit: float
    reward: RewardConfig

    def __post_init__(self) -> None:
        count = "[1, inf)"
        check_ranges("env", self, clocks=count, accounts=count, episode_bars=count, capital="(0, inf)", drawdown_limit="(0, 1]")


@dataclasses.dataclass
class NetworkConfig:
    name: str
    lookback: int
    hidden: list[int]
    head: list[int]
    clip: float

    def __post_init__(self) -> None:
        check_choice("network.name", self.name, NETWORK_NAMES)
        check_ranges("network", self, lookback="[1, inf)", hidden="[1, inf)", head="[1, inf)", clip="(0, inf)")
        if not self.head:
            raise InputError("network.head is []; it must have at least one width")


@dataclasses.dataclass
class AgentConfig:
    name: str
    learning_rate: float
    anneal: bool
    gamma: float
    gae_lambda: float
    clip: float
    value_clip: float
    entropy: float
    value_coefficient: float
    max_gradient_norm: float
    epochs: int
    minibatches: int
    relative: bool
    target_kl: float | None
    log_std: float

    def __post_init__(self) -> None:
        check_choice("agent.name", self.name, ("ppo",))
        check_ranges(
            "agent",
            self,
            learning_rate="(0, 1]",
            gamma="(0, 1]",
            gae_lambda="[0, 1]",
            clip="(0, 1)",
            value_clip="(0, inf)",
            entropy="[0, inf)",
            value_coefficient="[0, inf)",
            max_gradient_norm="(0, inf)",
            epochs="[1, inf)",
            minibatches="[1, inf)",
            target_kl="(0, inf)",
            log_std="[-10, 2]",
        )


@dataclasses.dataclass
class TrainingConfig:
    env_steps: int
    rollout_steps: int
    updates_per_chunk: int

    def __post_init__(self) -> None:
        count = "[1, inf)"
        check_ranges("training", self, env_steps=count, rollout_steps=count, updates_per_chunk=count)


@dataclasses.dataclass
class BrokerConfig:
    """What every broker has in common. Use a subclass."""

    name: str
    url: str | None
    data_url: str | None
    deadline_s: float

    def __post_init__(self) -> None:
        check_ranges("broker", self, deadline_s="(0, inf)")
        for name in ("url", "data_url"):
            value = getattr(self, name)
            if value is not None and not value.startswith(("http://", "https://")):
                raise InputError(f"broker.{name} is {value!r}; it must begin with http:// or https://")


@dataclasses.dataclass
class LocalBrokerConfig(BrokerConfig):
    """The local exchange: one that runs at `url`, or one of our own."""

    clock: str
    speed: float
    start: str | None

    def __post_init__(self) -> None:
        check_choice("broker.name", self.name, ("local",))
        super().__post_init__()
        check_choice("broker.clock", self.clock, CLOCK_NAMES)
        check_ranges("broker", self, speed="(0, inf)")
        check_rising_dates("broker", self, "start")

    @property
    def start_seconds(self) -> int | None:
        return None if self.start is None else unix_seconds("broker.start", self.start)


@dataclasses.dataclass
class AlpacaBrokerConfig(BrokerConfig):
    """Alpaca's service, with keys from the environment."""

    def __post_init__(self) -> None:
        check_choice("broker.name", self.name, ("alpaca",))
        super().__post_init__()


@dataclasses.dataclass
class TraderConfig:
    name: str
    capital: float
    dry_run: bool
    bars: int | None
    allow_outside: list[str]

    def __post_init__(self) -> None:
        check_name("trade.name", self.name)
        check_ranges("trade", self, capital="(0, inf)", bars="[1, inf)")


def check_name(name: str, value: str) -> None:
    """A name of a folder below another one: relative, and never leading out of it."""
    parts = value.split("/")
    if value.startswith("/") or not all(part and part not in (".", "..") for part in parts):
        raise InputError(f"{name} is {value!r}; it must be the name of a folder, without '..'")

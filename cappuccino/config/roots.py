"""One class for each command's whole configuration; `conf/<command>.yaml` says what it is made of."""

from __future__ import annotations

import dataclasses
from typing import Any

from cappuccino.broker.exchange.config import FEES_TAKEN
from cappuccino.config.checks import check_choice, check_name, check_ranges, check_rising_dates, unix_seconds
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import DataConfig
from cappuccino.config.faults import FaultsGroupConfig
from cappuccino.config.gates import GatesConfig
from cappuccino.config.pipeline import TradersConfig
from cappuccino.config.risk import RiskConfig
from cappuccino.config.stress import StressConfig
from cappuccino.config.trading import (
    CLOCK_NAMES,
    DESK_ACTIONS,
    BrokerConfig,
    TraderCapital,
    TraderConfig,
    TraderName,
)
from cappuccino.config.training import AgentConfig, EnvConfig, FeaturesConfig, NetworkConfig, PPOConfig, TrainingConfig
from cappuccino.config.validation import ValidationConfig
from cappuccino.config.verdict import VerdictConfig
from cappuccino.config.watch import WatchConfig
from cappuccino.errors import InputError

DEVICES = ("auto", "cpu", "cuda")
REGISTRY_ACTIONS = ("list", "show", "compare", "promote", "rollback", "prune")
SPANS = ("train", "valid", "test")
ALL_BARS = "all"


@dataclasses.dataclass
class LearningConfig:
    """What decides a training's result, and where it runs. `experiment` is empty: an experiment sets what the other groups hold."""

    data: DataConfig
    features: FeaturesConfig
    costs: CostsConfig
    risk: RiskConfig | None
    env: EnvConfig
    network: NetworkConfig
    agent: AgentConfig
    training: TrainingConfig
    seed: int
    device: str
    runs_dir: str
    name: str

    def __post_init__(self) -> None:
        check_choice("device", self.device, DEVICES)
        check_ranges("", self, seed="[0, 4294967295]")
        check_name("name", self.name)
        if self.env.episode_bars % self.training.rollout_steps:
            raise InputError(
                f"env.episode_bars is {self.env.episode_bars}; it must be a multiple of training.rollout_steps, "
                f"{self.training.rollout_steps}"
            )
        ticks = self.env.clocks * self.training.rollout_steps
        if isinstance(self.agent, PPOConfig) and ticks % self.agent.minibatches:
            raise InputError(
                f"agent.minibatches is {self.agent.minibatches}; it must divide env.clocks x training.rollout_steps, {ticks}"
            )
        update = ticks * self.env.accounts
        if self.training.env_steps < update:
            raise InputError(
                f"training.env_steps is {self.training.env_steps}; one update takes {update} (env.clocks x env.accounts x "
                f"training.rollout_steps), so it must be at least that"
            )


@dataclasses.dataclass
class TrainConfig(LearningConfig):
    """`cappuccino train`. validation: only a search reads it."""

    resume: bool
    best: str | None
    validation: ValidationConfig | None


def check_holds_out(config: TrainConfig) -> None:
    """Raises InputError for folds, which a single run does not have."""
    if config.validation is not None:
        raise InputError(
            f"validation is {config.validation.name}; a run is judged on its validation span. Folds are for a search, -m sweep=ppo "
            f"validation={config.validation.name}, and for cappuccino validate"
        )


@dataclasses.dataclass
class ValidateConfig(LearningConfig):
    """`cappuccino validate` of a configuration, or of the best trial's of a study."""

    validation: ValidationConfig
    verdict: VerdictConfig
    stress: StressConfig | None
    seeds: int
    agreement: float
    cut: str | None
    best: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges("", self, seeds="[1, inf)", agreement="[0, 1]")


@dataclasses.dataclass
class BacktestConfig:
    """`cappuccino backtest`. `data` and `costs` are the run's own where they are None."""

    run: str
    span: str
    data: DataConfig | None
    costs: CostsConfig | None
    device: str
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("span", self.span, SPANS)
        check_choice("device", self.device, DEVICES)


@dataclasses.dataclass
class ExportConfig:
    """`cappuccino export`. `out` is the run's folder `artifact` where it is None."""

    run: str
    out: str | None
    runs_dir: str


@dataclasses.dataclass
class CombineConfig:
    """`cappuccino combine`."""

    artifacts: list[str]
    agreement: float
    out: str
    runs_dir: str

    def __post_init__(self) -> None:
        check_ranges("", self, agreement="[0, 1]")


@dataclasses.dataclass
class RegistryConfig:
    """`cappuccino registry`."""

    action: str
    artifact: str | None
    artifacts: list[str]
    reason: str
    keep: int
    gates: GatesConfig
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("action", self.action, REGISTRY_ACTIONS)
        check_ranges("", self, keep="[0, inf)")


@dataclasses.dataclass
class ExchangeCommandConfig:
    """`cappuccino exchange`."""

    data: DataConfig
    costs: CostsConfig
    faults: FaultsGroupConfig | None
    host: str
    port: int
    clock: str
    speed: float
    start: str | None
    capital: float
    fees: str
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("clock", self.clock, CLOCK_NAMES)
        check_choice("fees", self.fees, FEES_TAKEN)
        check_ranges("", self, port="[0, 65535]", speed="(0, inf)", capital="(0, inf)")
        check_rising_dates("", self, "start")

    @property
    def start_seconds(self) -> int | None:
        return None if self.start is None else unix_seconds("start", self.start)


@dataclasses.dataclass
class TradeCommandConfig:
    """`cappuccino trade`. `data` and `costs` are the local exchange's, those the artifact was trained with where None."""

    artifact: str
    broker: BrokerConfig
    data: DataConfig | None
    costs: CostsConfig | None
    faults: FaultsGroupConfig | None
    risk: RiskConfig | None
    trade: TraderConfig
    watch: WatchConfig
    live: bool
    runs_dir: str


@dataclasses.dataclass
class DeskConfig:
    """`cappuccino trade status|halt|flatten|resume|accept|review|history`: what a person does about a trader."""

    action: str
    trade: TraderName
    reason: str
    live: bool
    confirm: bool
    out: str | None
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("action", self.action, DESK_ACTIONS)


@dataclasses.dataclass
class DashboardConfig:
    """`cappuccino dashboard`. The token is no part of it: it is a secret, and comes from the environment."""

    host: str
    port: int
    names: list[str]
    gates: GatesConfig
    runs_dir: str

    def __post_init__(self) -> None:
        check_ranges("", self, port="[0, 65535]")


@dataclasses.dataclass
class DoctorConfig:
    """`cappuccino doctor`. Without an `artifact` what hangs on one is not looked at."""

    artifact: str | None
    broker: BrokerConfig
    trade: TraderCapital
    watch: WatchConfig
    runs_dir: str


@dataclasses.dataclass
class DoctorNotifyConfig:
    """`cappuccino doctor notify`."""

    watch: WatchConfig
    runs_dir: str


@dataclasses.dataclass
class ValidateCausalityConfig:
    """`cappuccino validate causality`. `data` are the bars of the artifact's training where it is None."""

    artifact: str
    data: DataConfig | None
    cuts: int
    rows: int
    seed: int
    out: str | None
    runs_dir: str

    def __post_init__(self) -> None:
        check_ranges("", self, cuts="[1, inf)", rows="[1, inf)", seed="[0, inf)")


@dataclasses.dataclass
class ValidateArtifactConfig:
    """`cappuccino validate artifact=...`. `data` and `costs` are those of the artifact's training where they are None."""

    artifact: str
    data: DataConfig | None
    span: str
    costs: CostsConfig | None
    out: str | None
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("span", self.span, (ALL_BARS, *SPANS))


@dataclasses.dataclass
class DataCommandConfig:
    """`cappuccino data fetch` and `cappuccino data inspect`. `out` takes the report of `inspect`."""

    action: str
    data: DataConfig
    out: str | None
    runs_dir: str

    def __post_init__(self) -> None:
        check_choice("action", self.action, ("fetch", "inspect"))
        if self.action == "fetch" and self.data.source != "alpaca":
            raise InputError(f"data.source is {self.data.source!r}; only data=alpaca can be fetched")


@dataclasses.dataclass
class PipelineConfig(LearningConfig):
    """`cappuccino pipeline run`. `name` is the first study's."""

    action: str
    dry_run: bool
    space: str
    trials: int
    search: list[str]
    validation: ValidationConfig
    verdict: VerdictConfig
    stress: StressConfig | None
    gates: GatesConfig
    broker: BrokerConfig
    seeds: int
    agreement: float
    shadow_bars: int
    retrain_days: float | None
    trade: TradersConfig
    poll_s: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("action", self.action, ("run",))
        if "/" in self.name:
            raise InputError(f"name is {self.name!r}; it is the name of a study, without '/'")
        check_ranges("", self, trials="[2, inf)", seeds="[1, inf)", agreement="[0, 1]", shadow_bars="[24, inf)")
        check_ranges("", self, retrain_days="(0, inf)", poll_s="[0.05, 3600]")
        if self.data.source == "alpaca" and self.data.valid_end is None:
            raise InputError(
                "data.train_end and data.valid_end are null; name both: where bars keep coming, shares of them keep moving"
            )


ROOTS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "validate": ValidateConfig,
    "backtest": BacktestConfig,
    "export": ExportConfig,
    "combine": CombineConfig,
    "registry": RegistryConfig,
    "exchange": ExchangeCommandConfig,
    "trade": TradeCommandConfig,
    "trade_desk": DeskConfig,
    "dashboard": DashboardConfig,
    "pipeline": PipelineConfig,
    "doctor": DoctorConfig,
    "doctor_notify": DoctorNotifyConfig,
    "data": DataCommandConfig,
    "validate_causality": ValidateCausalityConfig,
    "validate_artifact": ValidateArtifactConfig,
}

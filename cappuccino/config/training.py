"""Types and limits of what a training is made of. Values, and what each means, are in `conf/<group>/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_choice, check_distinct, check_ranges
from cappuccino.errors import InputError
from cappuccino.extensions import added

REWARD_NAMES = ("log_growth", "excess", "differential_sharpe")
NETWORK_NAMES = ("mlp", "per_asset", "conv", "transformer")


@dataclasses.dataclass
class FeaturesConfig:
    names: list[str]

    def __post_init__(self) -> None:
        check_distinct("features.names", self.names)


@dataclasses.dataclass
class RewardConfig:
    name: str
    scale: float
    turnover: float
    drawdown: float
    concentration: float
    sharpe_rate: float

    def __post_init__(self) -> None:
        check_choice("env.reward.name", self.name, (*REWARD_NAMES, *added("reward")))
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
        check_choice("network.name", self.name, (*NETWORK_NAMES, *added("network")))
        check_ranges("network", self, lookback="[1, inf)", hidden="[1, inf)", head="[1, inf)", clip="(0, inf)")
        if not self.head:
            raise InputError("network.head is []; it must have at least one width")


@dataclasses.dataclass
class AgentConfig:
    """What every agent has in common. Use a subclass."""

    name: str
    learning_rate: float
    anneal: bool
    max_gradient_norm: float
    band: float

    def __post_init__(self) -> None:
        check_ranges("agent", self, learning_rate="(0, 1]", max_gradient_norm="(0, inf)", band="[0, 1]")


@dataclasses.dataclass
class PPOConfig(AgentConfig):
    """Proximal policy optimisation."""

    gamma: float
    gae_lambda: float
    clip: float
    value_clip: float
    entropy: float
    value_coefficient: float
    epochs: int
    minibatches: int
    stretch: int
    relative: bool
    target_kl: float | None
    log_std: float

    def __post_init__(self) -> None:
        check_choice("agent.name", self.name, ("ppo",))
        super().__post_init__()
        check_ranges(
            "agent",
            self,
            gamma="(0, 1]",
            gae_lambda="[0, 1]",
            clip="(0, 1)",
            value_clip="(0, inf)",
            entropy="[0, inf)",
            value_coefficient="[0, inf)",
            epochs="[1, inf)",
            minibatches="[1, inf)",
            stretch="[1, inf)",
            target_kl="(0, inf)",
            log_std="[-10, 2]",
        )


@dataclasses.dataclass
class APGConfig(AgentConfig):
    """The analytic policy gradient."""

    def __post_init__(self) -> None:
        check_choice("agent.name", self.name, ("apg",))
        super().__post_init__()


@dataclasses.dataclass
class TrainingConfig:
    env_steps: int
    rollout_steps: int
    updates_per_chunk: int
    patience: int | None
    cost_factor: float

    def __post_init__(self) -> None:
        count = "[1, inf)"
        check_ranges(
            "training",
            self,
            env_steps=count,
            rollout_steps=count,
            updates_per_chunk=count,
            patience=count,
            cost_factor="[0, inf)",
        )

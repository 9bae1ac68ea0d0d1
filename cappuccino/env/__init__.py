"""The market environment: accounts, costs, rewards and the step, batched over clocks and accounts."""

from cappuccino.env.account import Account, Bar, Costs, Trades, mark, open_account, trade
from cappuccino.env.environment import Environment, EnvParams, EnvState, Starts, Step, starts_at
from cappuccino.env.rewards import REWARDS, Outcome, Reward, RewardWeights, add_reward, stateless

__all__ = [
    "REWARDS",
    "Account",
    "Bar",
    "Costs",
    "EnvParams",
    "EnvState",
    "Environment",
    "Outcome",
    "Reward",
    "RewardWeights",
    "Starts",
    "Step",
    "Trades",
    "add_reward",
    "mark",
    "open_account",
    "starts_at",
    "stateless",
    "trade",
]

"""Every field of the configuration reaches the objects that a training is made of: none is dead, none is dropped on the way."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
from training_cases import case, configured

from cappuccino.assemble import train_params, training_of
from cappuccino.config import CostsConfig, EnvConfig, NetworkConfig, PPOConfig, RewardConfig, TrainConfig, TrainingConfig
from cappuccino.training.run import config_hash

CHANGES = {
    "agent.learning_rate": "0.012",
    "agent.anneal": "false",
    "agent.gamma": "0.56",
    "agent.gae_lambda": "0.55",
    "agent.clip": "0.35",
    "agent.value_clip": "1.5",
    "agent.entropy": "0.55",
    "agent.value_coefficient": "0.15",
    "agent.max_gradient_norm": "0.15",
    "agent.band": "0.15",
    "agent.epochs": "3",
    "agent.minibatches": "16",
    "agent.stretch": "2",
    "agent.relative": "false",
    "agent.target_kl": "0.015",
    "agent.log_std": "-1.5",
    "env.clocks": "8",
    "env.accounts": "5",
    "env.episode_bars": "32",
    "env.capital": "555",
    "env.drawdown_limit": "0.15",
    "env.reward.name": "excess",
    "env.reward.scale": "55",
    "env.reward.turnover": "0.15",
    "env.reward.drawdown": "0.15",
    "env.reward.concentration": "0.15",
    "env.reward.sharpe_rate": "0.15",
    "network.name": "per_asset",
    "network.lookback": "3",
    "network.hidden": "[9]",
    "network.head": "[9]",
    "network.clip": "3.5",
    "training.env_steps": "123456",
    "training.rollout_steps": "16",
    "training.updates_per_chunk": "3",
    "training.patience": "7",
    "training.cost_factor": "1.5",
    "costs.taker_fee_bps": "15",
    "costs.half_spread_bps": "15",
    "costs.slippage_bps": "15",
    "costs.min_notional": "15",
    "costs.increments": "false",
    "costs.increment": "0.15",
    "+costs.increment_by_asset": "{ONE: 0.25}",
    "costs.buying_power_margin": "0.15",
    "seed": "5",
}
BASE = (
    "costs.increments=true",
    "agent.anneal=true",
    "agent.relative=true",
    "agent.target_kl=null",
    "env.reward.name=log_growth",
)
GROUPS = {"agent": PPOConfig, "env": EnvConfig, "env.reward": RewardConfig, "network": NetworkConfig}
GROUPS |= {"training": TrainingConfig, "costs": CostsConfig}


@functools.cache
def base() -> TrainConfig:
    return configured(*BASE)


def parts_of(config: TrainConfig) -> dict[str, Any]:
    """What `cappuccino train` makes of a configuration, over the same bars."""
    training = training_of(config, case().data)
    policy = training.policy(training.weights)
    leaves = jax.tree_util.tree_leaves_with_path(train_params(config, training.data.spec.assets, 6))
    first = policy.actor.market.kernel[...][0, 0]
    fresh = [round(float(value), 6) for value in (policy.clip[...], policy.log_std[...], policy.band[...], first)]
    return {jax.tree_util.keystr(path): np.asarray(leaf).tolist() for path, leaf in leaves} | {
        "shape": policy.shape,
        "environment": training.learner.env,
        "agent": training.learner.agent,
        "schedule": training.schedule,
        "policy": fresh,
        "rollout_steps": training.learner.rollout_steps,
    }


@functools.cache
def parts_of_base() -> dict[str, Any]:
    return parts_of(base())


def test_every_field_is_changed_below():
    known = {f"{group}.{field.name}" for group, kind in GROUPS.items() for field in dataclasses.fields(kind)}
    only_choice_or_group = {"agent.name", "env.reward"}
    assert known - only_choice_or_group == {key.lstrip("+") for key in CHANGES} - {"seed"}


@pytest.mark.parametrize("key", CHANGES)
def test_changing_a_field_changes_what_the_training_is_made_of(key):
    config = configured(*BASE, f"{key}={CHANGES[key]}")
    before, after = parts_of_base(), parts_of(config)
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name] != after[name]]
    assert changed, f"{key} is read by nobody"
    assert config_hash(config) != config_hash(base())


@pytest.mark.parametrize("key", ["name=other", "runs_dir=elsewhere", "device=cpu", "resume=true"])
def test_where_a_run_lies_is_no_part_of_what_it_is(key):
    assert config_hash(configured(*BASE, key)) == config_hash(base())

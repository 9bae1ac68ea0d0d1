"""Every field that a study may search changes what a training learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx
from optuna.distributions import FloatDistribution
from sweep_cases import SMALL

from cappuccino.assemble import Training
from cappuccino.config import compose
from cappuccino.config.roots import TrainConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Engine, Markets
from cappuccino.sweep.searchable import check_searchable
from cappuccino.training.checkpoints import flatten
from cappuccino.training.learner import train_chunk

AGENTS = {
    "ppo": {
        "agent.gamma": "0.5",
        "agent.gae_lambda": "0.5",
        "agent.clip": "0.001",
        "agent.value_clip": "0.0001",
        "agent.entropy": "0.5",
        "agent.value_coefficient": "0.1",
        "agent.epochs": "2",
        "agent.minibatches": "2",
        "agent.stretch": "2",
        "agent.relative": "false",
        "agent.target_kl": "1e-9",
        "agent.log_std": "-1.5",
    },
    "apg": {},
}
ANY = FloatDistribution(0, 1)
CHANGES = {
    "agent.learning_rate": "0.02",
    "agent.anneal": "false",
    "agent.max_gradient_norm": "0.001",
    "agent.band": "0.15",
    "env.clocks": "8",
    "env.accounts": "4",
    "env.episode_bars": "32",
    "env.drawdown_limit": "0.0001",
    "env.reward.name": "differential_sharpe",
    "env.reward.scale": "10",
    "env.reward.turnover": "0.15",
    "env.reward.drawdown": "0.9",
    "env.reward.concentration": "0.15",
    "network.name": "per_asset",
    "network.lookback": "3",
    "network.hidden": "[9]",
    "network.head": "[9]",
    "network.clip": "0.5",
    "features.names": "[relative_volume_168, return_1]",
    "training.env_steps": "1024",
    "training.rollout_steps": "8",
    "training.cost_factor": "30",
}
"""A value for each field, far from what `SMALL` and the defaults have."""


def fields_of(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted names of a configuration's fields."""
    for field in dataclasses.fields(node):
        child, name = getattr(node, field.name), f"{prefix}{field.name}"
        if dataclasses.is_dataclass(child):
            yield from fields_of(child, f"{name}.")
        else:
            yield name


def searchable(config: TrainConfig) -> set[str]:
    found = set()
    for name in fields_of(config):
        try:
            check_searchable({name: ANY}, config)
        except InputError:
            continue
        found.add(name)
    return found


def configured(agent: str, *words: str) -> TrainConfig:
    small = [word for word in SMALL if not word.startswith("agent.")]
    own = ("agent.epochs=1", "agent.minibatches=4") if agent == "ppo" else ()
    return compose("train", [f"agent={agent}", *small, *own, "name=one", *words])


@pytest.fixture(autouse=True)
def optax_promotes() -> Iterator[None]:
    """Optax raises a float to an integer count, which JAX refuses where it is strict about dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def as_lanes(trainings: dict[str, Training]) -> dict[str, str]:
    """The logs of trainings of one program, all trained as a search trains its trials."""
    engine, logs = Engine[str](len(trainings)), {name: [] for name in trainings}
    for name, training in trainings.items():
        engine.add(name, training)
    while engine.unfinished:
        for name, chunk in engine.chunk().items():
            logs[name].append((chunk.rows, chunk.validation))
            if len(logs[name]) == trainings[name].schedule.updates // trainings[name].schedule.chunk:
                engine.end(name)
    return {name: str(log) for name, log in logs.items()}


def alone(training: Training) -> nnx.State:
    """What a training learns in an update, in a program of its own, compiled in the quickest way."""
    given = (training.begin(), training.frozen, training.data.market, training.starts, training.params)
    lowered = train_chunk.lower(*given, learner=training.learner, updates=1)
    quick = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
    return lowered.compile(compiler_options=quick)(*given)[0].weights


def same(one: nnx.State, other: nnx.State) -> bool:
    """Whether two policies are the same to the last bit."""
    first, second = flatten(one), flatten(other)
    return all(first[name].shape == second[name].shape and np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_field_that_may_be_searched_changes_what_is_learnt(agent):
    changes = AGENTS[agent] | CHANGES
    assert searchable(configured(agent)) == changes.keys()
    markets = Markets()
    nothing = markets.training(configured(agent))
    trainings = {name: markets.training(configured(agent, f"{name}={value}")) for name, value in changes.items()}
    traced = {name: one for name, one in trainings.items() if one.learner == nothing.learner and one.data is nothing.data}
    same_result = {
        "again": markets.training(configured(agent)),
        "unread": markets.training(configured(agent, "env.reward.sharpe_rate=0.5")),
    }
    logs = as_lanes(traced | same_result | {"nothing": nothing})
    assert [name for name, log in logs.items() if log == logs["nothing"]] == [*same_result, "nothing"]
    if agent == "ppo":  # what is not traced is compiled for each: the environment and the network read it, whatever the agent
        learnt = alone(nothing)
        assert [name for name, one in trainings.items() if name not in traced and same(alone(one), learnt)] == []


def test_the_rate_of_the_sharpe_ratio_may_be_searched_where_it_is_read():
    words, markets = ("ppo", "env.reward.name=differential_sharpe"), Markets()
    one, other = (markets.training(configured(*words, f"env.reward.sharpe_rate={rate}")) for rate in (0.01, 0.5))
    assert "env.reward.sharpe_rate" in searchable(configured(*words))
    assert not same(alone(one), alone(other))


@pytest.mark.parametrize(
    "name", ["costs.taker_fee_bps", "costs", "data.seed", "env.capital", "seed", "name", "device", "+sweep"]
)
def test_what_trials_are_compared_on_is_refused(name):
    with pytest.raises(InputError, match=f"{name.lstrip('+')} cannot be searched: "):
        check_searchable({name: ANY}, configured("ppo"))

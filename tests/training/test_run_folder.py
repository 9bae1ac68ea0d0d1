"""A run's folder: begun once, resumed only as what it is, and found again."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import pytest
from training_cases import arrays_of, case, configured, train_in

from cappuccino.agents.networks import NetworkShape
from cappuccino.assemble import network_shape
from cappuccino.config.composition import load_train_config
from cappuccino.errors import InputError
from cappuccino.training.run import Run


def config_in(folder: pathlib.Path, *overrides: str):
    return configured(f"runs_dir={folder}", *overrides)


def refusal(error: pytest.ExceptionInfo[InputError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_new_run_keeps_its_configuration_and_nothing_half_written(tmp_path):
    config = config_in(tmp_path)
    run = Run.create(config)
    assert load_train_config(tmp_path / "small" / "config.yaml") == config
    assert [path.name for path in run.folder.iterdir()] == ["config.yaml"]


def test_a_run_that_exists_is_not_begun_again(tmp_path):
    Run.create(config_in(tmp_path))
    with pytest.raises(InputError) as error:
        Run.create(config_in(tmp_path))
    assert "exists; choose another name=, or continue it with resume=true" in refusal(error)


def test_a_run_without_a_checkpoint_can_be_resumed_and_one_that_never_began_cannot(tmp_path):
    with pytest.raises(InputError) as error:
        Run.create(config_in(tmp_path, "resume=true"))
    assert "there is no run" in refusal(error)
    begun = Run.create(config_in(tmp_path))
    assert Run.create(config_in(tmp_path, "resume=true")).folder == begun.folder


def test_a_run_is_not_resumed_as_another_one(tmp_path):
    Run.create(config_in(tmp_path))
    with pytest.raises(InputError) as error:
        Run.create(config_in(tmp_path, "resume=true", "agent.gamma=0.123", "network.hidden=[7]"))
    assert "agent.gamma was " in refusal(error)
    assert "and is 0.123" in refusal(error)
    assert "network.hidden was [8] and is [7]" in refusal(error)
    Run.create(config_in(tmp_path, "resume=true", "device=cpu"))


def test_runs_are_found_by_folder_by_name_and_as_the_latest(tmp_path):
    for age, name in ((100, "old"), (0, "group/new")):
        run = Run.create(config_in(tmp_path, f"name={name}"))
        moment = 1_700_000_000 - age
        os.utime(run.folder / "config.yaml", (moment, moment))
    assert Run.find("latest", str(tmp_path)).config.name == "group/new"
    assert Run.find("old", str(tmp_path)).folder == tmp_path / "old"
    assert Run.find(str(tmp_path / "old"), "elsewhere").config.name == "old"
    for run, runs_dir in (("young", str(tmp_path)), ("latest", str(tmp_path / "empty"))):
        with pytest.raises(InputError):
            Run.find(run, runs_dir)


def test_a_run_gives_the_policy_of_its_best_checkpoint_and_only_to_its_own_shape(tmp_path):
    small = case()
    run = Run(tmp_path, small.config)
    with pytest.raises(InputError) as error:
        run.best()
    assert "has no checkpoint yet" in refusal(error)

    scores = iter([0.1, 0.9, 0.2])
    seen = []

    def validate(weights):
        seen.append(arrays_of(weights))
        return {"score": next(scores)}

    train_in(tmp_path, small, updates=3, validate=validate)
    best, shape = run.best(), network_shape(small.config.network, small.data.spec)
    assert best.update == 2
    policy = run.policy(best, shape)
    kernel = policy.actor.output.kernel[...]
    assert any(np.array_equal(kernel, leaf) for leaf in seen[1].values())
    assert not any(np.array_equal(kernel, leaf) for leaf in seen[2].values())
    for name in ("mean", "std", "clip"):
        np.testing.assert_array_equal(getattr(policy, name)[...], small.frozen[name][...])
    with pytest.raises(InputError, match="written with another configuration"):
        run.policy(best, NetworkShape(**(dataclasses.asdict(shape) | {"lookback": 5})))

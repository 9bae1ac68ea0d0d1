"""A training cut off and resumed is the one that was left alone; one that diverges says so and keeps its checkpoint."""

from __future__ import annotations

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import Case, arrays_of, case, flat_score, train_in

from cappuccino.errors import InputError
from cappuccino.training import loop
from cappuccino.training.checkpoints import Checkpoints, digest
from cappuccino.training.learner import compile_chunk
from cappuccino.training.metrics_log import read_rows


class CutOff(Exception):
    """Stands for a kill in the middle of a chunk."""


def cut_off_at(chunk: int):
    count = iter(range(1000))

    def validate(weights):
        if next(count) == chunk:
            raise CutOff
        return flat_score(weights)

    return validate


def final(folder: pathlib.Path) -> tuple[int | None, int | None, str, list[dict]]:
    with Checkpoints(folder / "checkpoints") as checkpoints:
        latest, best = checkpoints.latest(), checkpoints.best()
        return latest, best, digest(checkpoints.restore(latest or 0).arrays), read_rows(folder / "metrics.jsonl")


@pytest.mark.parametrize("kind", ["mlp", "per_asset"])
def test_resumed_is_uninterrupted_bit_for_bit(kind, tmp_path):
    small = case(f"network.name={kind}")
    alone = train_in(tmp_path / "alone", small)
    for chunks in (0, 2, 1):
        with pytest.raises(CutOff):
            train_in(tmp_path / "cut", small, validate=cut_off_at(chunks), going_on=(tmp_path / "cut").exists())
    resumed = train_in(tmp_path / "cut", small, going_on=True)
    one, other = arrays_of(alone.state), arrays_of(resumed.state)
    assert digest(one) == digest(other)
    assert {name.split(".")[1].split("[")[0] for name in one} == {"weights", "opt_state", "env", "key", "update"}
    assert final(tmp_path / "alone") == final(tmp_path / "cut")
    assert alone.env_steps == resumed.env_steps


def test_resuming_before_the_first_checkpoint_begins_from_the_start(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        state = case().state()
        assert loop.resume(state, case().frozen, checkpoints, {}) is state


def test_resuming_a_training_that_is_over_changes_nothing(tmp_path):
    train_in(tmp_path, case())
    before = final(tmp_path)
    assert train_in(tmp_path, case(), going_on=True).updates == 6
    assert final(tmp_path) == before


def scores(*values: float):
    left = iter(values)
    return lambda _: {"score": next(left)}


def test_a_training_stops_after_patience_chunks_without_a_better_score_and_stays_stopped(tmp_path):
    done = train_in(tmp_path, case(), updates=12, chunk=2, patience=2, validate=scores(1.0, 3.0, 2.0, 3.0))
    assert done.updates == 8
    assert train_in(tmp_path, case(), updates=12, chunk=2, patience=2, validate=scores(), going_on=True).updates == 8
    latest, best, _, rows = final(tmp_path)
    assert (latest, len(rows)) == (8, 8)
    assert best in (4, 8), "of equals"


def test_patience_counts_from_the_best_score_where_a_training_was_cut_off(tmp_path):
    train_in(tmp_path, case(), updates=3, patience=3, validate=scores(5.0, 4.0, 3.0))
    resumed = train_in(tmp_path, case(), updates=9, patience=3, validate=scores(2.0, 1.0), going_on=True)
    assert resumed.updates == 4


def test_a_checkpoint_of_another_network_or_market_is_refused_in_one_line(tmp_path):
    train_in(tmp_path, case(), updates=1)
    with pytest.raises(InputError, match="written with another configuration") as error:
        train_in(tmp_path, case("network.hidden=[9]"), going_on=True)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="written with another configuration"):
        train_in(tmp_path, case("env.accounts=2"), going_on=True)
    with pytest.raises(InputError, match="market fingerprint is abc and was"):
        train_in(tmp_path, case(), going_on=True, identity={"market fingerprint": "abc"})


def diverging(small: Case):
    agent = small.params.agent
    optimiser = agent.optimiser._replace(learning_rate=jnp.float32(1e25))
    return small.params._replace(agent=agent._replace(optimiser=optimiser))


def test_a_diverging_training_ends_in_one_line_and_keeps_the_checkpoint_before(tmp_path):
    train_in(tmp_path, case(), updates=2)
    before = final(tmp_path)
    with pytest.raises(InputError, match=r"the training diverged: .* after update 3; try a lower agent.learning_rate") as error:
        train_in(tmp_path, case(), params=diverging(case()), going_on=True)
    assert "\n" not in str(error.value)
    assert final(tmp_path) == before


def test_weights_that_the_last_step_broke_are_not_saved(tmp_path, monkeypatch):
    """Metrics are of before the step, and a policy of NaN plans no orders: its backtest is finite."""
    small = case()

    def broken(*arguments):
        chunk = compile_chunk(*arguments)

        def run(*given):
            new, metrics = chunk(*given)
            return new._replace(weights=jax.tree.map(lambda leaf: leaf * jnp.nan, new.weights)), metrics

        return run

    monkeypatch.setattr(loop, "compile_chunk", broken)
    with pytest.raises(InputError, match="the training diverged: a weight of the policy is not finite after update 1"):
        train_in(tmp_path, small, validate=lambda _: {"score": 0.0})
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest() is None


def test_a_validation_that_is_not_finite_is_divergence(tmp_path):
    with pytest.raises(InputError, match="validation/score is nan after update 1"):
        train_in(tmp_path, case(), validate=lambda _: {"score": float("nan")})


def test_the_log_has_a_row_for_every_update_with_validation_at_the_chunks_end(tmp_path):
    train_in(tmp_path, case(), updates=4, chunk=2)
    rows = read_rows(tmp_path / "metrics.jsonl")
    steps = case().learner.env_steps_per_update
    assert steps == 4 * 3 * 8
    assert [(row["update"], row["env_steps"]) for row in rows] == [(n, n * steps) for n in (1, 2, 3, 4)]
    assert ["validation/score" in row for row in rows] == [False, True, False, True]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert (
        json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["loss/minibatch/kl"]
        == rows[0]["loss/minibatch/kl"]
    )


@pytest.mark.parametrize(("env_steps", "updates"), [(1, 4), (400, 4), (401, 8), (4000, 40)])
def test_a_schedule_covers_the_steps_with_whole_chunks(env_steps, updates):
    schedule = loop.Schedule.covering(env_steps, per_update=100, chunk=4)
    assert (schedule.updates, schedule.chunk) == (updates, 4)

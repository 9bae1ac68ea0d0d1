"""Lanes: each is the training it would be alone, whatever happens beside it."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AbstractMesh
from training_cases import arrays_of, assert_same, case

from cappuccino.agents.ppo import ppo_loss
from cappuccino.agents.rollout import roll_out
from cappuccino.env import starts_at
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import backtest, span_rows, table_strategy
from cappuccino.mesh import AXIS, mesh_of
from cappuccino.sweep.objective import objective_of
from cappuccino.training.lanes import (
    FAILED,
    RUNNING,
    STOPPED,
    Lane,
    LaneProgram,
    begin_all,
    check_divides,
    lanes_chunk,
    refill,
    validation_of,
)

LANES, UPDATES = 16, 2


@functools.cache
def mesh():
    return mesh_of(jax.devices()[:1])


def cast(tree: Any, dtype: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree)


def lane(number: int, *overrides: str, dtype: Any = jnp.float32, patience: int = 99) -> Lane:
    """Lane `number`: a seed, a learning rate and a fold of its own."""
    small = case(*overrides)
    rows = np.asarray(small.starts.rows)
    fold = rows[: len(rows) - 20 * (number % 3)]
    valid = span_rows(small.data.spec, small.data.spans.valid, small.config.network.lookback)
    optimiser = small.params.agent.optimiser
    params = small.params._replace(
        agent=small.params.agent._replace(
            optimiser=optimiser._replace(learning_rate=optimiser.learning_rate * (1 + 0.1 * number))
        )
    )
    return Lane(
        weights=cast(small.weights, dtype),
        frozen=cast(small.frozen, dtype),
        starts=starts_at(fold, len(rows)),
        params=cast(params, dtype),
        valid=starts_at(valid[: len(valid) - number % 2], len(valid)),
        judged=cast(params.env, dtype),
        patience=jnp.int32(patience),
        key=jax.random.key(number),
    )


def program(at_once: int, *overrides: str) -> LaneProgram:
    return LaneProgram(case(*overrides).learner, UPDATES, at_once)


def run(lanes: list[Lane], at_once: int, *overrides: str, chunks: int = 1, dtype: Any = jnp.float32):
    market = cast(case(*overrides).data.market, dtype)
    whole, reports = begin_all(case(*overrides).learner, lanes, market, mesh()), []
    for _ in range(chunks):
        whole, report = lanes_chunk(whole, market, program=program(at_once, *overrides), mesh=mesh())
        reports.append(jax.tree.map(np.asarray, report))
    return whole, reports


def one_of(tree: Any, index: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def assert_close(one: Any, other: Any, tolerance: float) -> None:
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        np.testing.assert_allclose(leaf, other[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("agent", [(), ("agent=apg",)], ids=["ppo", "apg"])
@pytest.mark.parametrize("at_once", [1, LANES])
def test_a_lane_among_sixteen_is_the_lane_alone(at_once, agent):
    with jax.enable_x64(True):
        lanes = [lane(number, *agent, dtype=jnp.float64) for number in range(LANES)]
        together, reports = run(lanes, at_once, *agent, dtype=jnp.float64)
        for number in (0, 7, LANES - 1):
            alone, [report] = run([lanes[number]], 1, *agent, dtype=jnp.float64)
            assert_close(one_of(together, number).state.weights, one_of(alone, 0).state.weights, 1e-9)
            assert_close(one_of(reports[0].validation, number), one_of(report.validation, 0), 1e-9)


@pytest.mark.parametrize("at_once", [1, 4])
def test_a_poisoned_lane_fails_and_leaves_its_neighbours_bit_for_bit_as_they_are(at_once):
    lanes = [lane(number) for number in range(4)]
    clean, clean_reports = run(lanes, at_once, chunks=2)
    poisoned = lanes[2]._replace(weights=jax.tree.map(lambda leaf: leaf * jnp.nan, lanes[2].weights))
    mixed, reports = run([*lanes[:2], poisoned, lanes[3]], at_once, chunks=2)
    assert reports[0].status.tolist() == reports[1].status.tolist() == [RUNNING, RUNNING, FAILED, RUNNING]
    for number in (0, 1, 3):
        assert_same(one_of(mixed, number), one_of(clean, number))
        assert_same(one_of(reports[1].updates, number), one_of(clean_reports[1].updates, number))
    assert int(mixed.best.update[2]) == 0
    assert np.isneginf(mixed.best.score[2])


def test_a_lane_that_diverges_on_the_way_keeps_the_best_it_had():
    whole, _ = run([lane(0), lane(1)], 1)
    optimiser = whole.params.agent.optimiser
    blown = optimiser._replace(learning_rate=optimiser.learning_rate.at[1].set(jnp.inf))
    whole = whole._replace(params=whole.params._replace(agent=whole.params.agent._replace(optimiser=blown)))
    before = one_of(whole, 1).best
    whole, report = lanes_chunk(whole, case().data.market, program=program(1), mesh=mesh())
    assert report.status.tolist() == [RUNNING, FAILED]
    assert_same(one_of(whole, 1).best, before)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one_of(whole, 1).state.weights))
    assert int(whole.best.update[1]) == UPDATES


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_lane_stops_after_patience_chunks_without_a_better_score_and_keeps_its_best(at_once):
    still = lane(0, patience=2)
    optimiser = still.params.agent.optimiser
    frozen = still._replace(
        params=still.params._replace(
            agent=still.params.agent._replace(optimiser=optimiser._replace(learning_rate=jnp.float32(0)))
        )
    )
    whole, reports = run([frozen, lane(1)], at_once, chunks=4)
    assert [report.status[0] for report in reports] == [RUNNING, RUNNING, STOPPED, STOPPED]
    assert int(whole.best.update[0]) == UPDATES
    assert int(whole.state.update[0]) == 3 * UPDATES
    assert np.isnan(reports[3].validation.score[0])
    assert_same(one_of(whole, 0).best.weights, frozen.weights)


def test_the_best_parameters_are_those_of_the_update_with_the_highest_score():
    whole, reports = run([lane(0), lane(1)], 1, chunks=5)
    for number in range(2):
        scores = [float(report.validation.score[number]) for report in reports]
        assert int(whole.best.update[number]) == UPDATES * (1 + int(np.argmax(scores)))
        assert float(whole.best.score[number]) == max(scores)
        again, _ = run([lane(number)], 1, chunks=1 + int(np.argmax(scores)))
        assert_close(one_of(again, 0).state.weights, one_of(whole, number).best.weights, 1e-6)


def test_a_refilled_lane_is_a_fresh_training_and_nothing_is_compiled_for_it():
    small = case()
    whole, _ = run([lane(0), lane(1)], 1, chunks=2)
    kept = one_of(whole, 0)
    whole = refill(whole, jnp.int32(1), lane(5), small.data.market, learner=small.learner)
    assert_same(one_of(whole, 0), kept)
    whole, _ = lanes_chunk(whole, small.data.market, program=program(1), mesh=mesh())
    programs = lanes_chunk._cache_size(), refill._cache_size()
    for number in (6, 7):
        whole = refill(whole, jnp.int32(0), lane(number), small.data.market, learner=small.learner)
        whole, _ = lanes_chunk(whole, small.data.market, program=program(1), mesh=mesh())
    assert (lanes_chunk._cache_size(), refill._cache_size()) == programs
    alone, _ = run([lane(5)], 1, chunks=3)
    assert_close(one_of(whole, 1).state.weights, one_of(alone, 0).state.weights, 1e-6)


def judged_free(one: Lane) -> Lane:
    """A lane whose validation costs nothing. Without a margin on cash a rounding would have buys refused."""
    costs = jax.tree.map(jnp.zeros_like, one.judged.costs)
    rules = costs.rules._replace(buying_power_margin=jnp.full_like(costs.rules.buying_power_margin, 1e-4))
    return one._replace(judged=one.judged._replace(costs=costs._replace(rules=rules)))


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_lane_without_active_variance_trains_on_and_scores_worst(at_once):
    market = case().data.market
    still = market._replace(open=jnp.full_like(market.open, 100), close=jnp.full_like(market.close, 100))
    whole = begin_all(case().learner, [judged_free(lane(0)), lane(1)], still, mesh())
    for _ in range(2):
        whole, report = lanes_chunk(whole, still, program=program(at_once), mesh=mesh())
    assert report.status.tolist() == [RUNNING, RUNNING]
    passive, paying = ({name: float(value[number]) for name, value in report.validation._asdict().items()} for number in (0, 1))
    assert all(map(np.isfinite, passive.values()))
    assert passive["exposure"] > 0.1
    assert passive["active_deviation"] == 0 < paying["active_deviation"]
    assert objective_of("active", passive, "maximize") == -np.inf
    assert objective_of("active", passive, "minimize") == np.inf
    assert np.isfinite(objective_of("active", paying, "maximize"))


@given(start=st.integers(200, 400), number=st.integers(20, 100), shift=st.sampled_from([0.0, 0.01, 0.1]))
@settings(deadline=None, max_examples=25)
def test_equal_weights_score_worst_and_what_differs_from_them_is_measured(start, number, shift):
    market, assets = case().data.market, len(case().data.spec.assets)
    rows = np.arange(start, start + 100)
    weights = np.full((100, assets), 1 / assets, np.float32)
    weights[:, 0] -= np.float32(shift)
    params = judged_free(lane(0)).judged
    record = backtest(table_strategy(weights), market, rows, params, weights[0])
    validation = validation_of(record, market, starts_at(rows)._replace(number=jnp.int32(number)), params.capital)
    figures = {name: float(value) for name, value in validation._asdict().items()}
    worth = objective_of("active", figures, "maximize")
    assert worth == -np.inf if shift == 0 else np.isfinite(worth)
    assert all(map(np.isfinite, figures.values()))


def test_start_rows_beyond_a_lanes_number_are_never_begun_at():
    short = lane(0)._replace(starts=starts_at(np.asarray(case().starts.rows)[:2], len(case().starts.rows)))
    market = case().data.market
    whole = begin_all(case().learner, [short], market, mesh())
    for _ in range(6):
        tick = np.asarray(whole.state.env.tick[0]) - int(whole.state.env.age[0])
        assert np.isin(tick, np.asarray(short.starts.rows)[:2]).all()
        whole, _ = lanes_chunk(whole, market, program=program(1), mesh=mesh())


FOUR_DEVICES = """
import sys
sys.path[:0] = sys.argv[1:3]
import jax
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")
import jax.numpy as jnp
import numpy as np
from test_lanes import *
lanes = [lane(number, dtype=jnp.float64) for number in range(8)]
market = cast(case().data.market, jnp.float64)
results = []
for devices in (jax.devices()[:1], jax.devices()):
    four = mesh_of(devices)
    whole = begin_all(case().learner, lanes, market, four)
    whole, report = lanes_chunk(whole, market, program=program(1), mesh=four)
    assert len(report.status.sharding.device_set) == len(devices)
    results.append(whole)
assert_close(results[0].state.weights, results[1].state.weights, 1e-9)
print(len(jax.devices()), "devices agree")
"""


def test_four_devices_are_one():
    folder = pathlib.Path(__file__).parent
    command = [sys.executable, "-c", FOUR_DEVICES, str(folder), str(folder.parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=300, check=False)
    assert done.stdout.strip() == "4 devices agree", done.stderr[-2000:]


def test_lanes_that_do_not_divide_over_the_devices_are_refused():
    three = AbstractMesh((3,), (AXIS,))
    with pytest.raises(InputError, match="there are 2 lanes for 3 devices"):
        check_divides(2, three)


def test_the_first_minibatchs_gradient_is_the_same_in_a_batch_of_lanes():
    """In float32, where sums are ordered otherwise."""
    lanes = [lane(number) for number in range(LANES)]
    small = case()

    def first_gradient(one: Lane):
        state = small.learner.init(one.weights, small.data.market, one.starts, one.params, key=one.key)
        agent = small.learner.agent
        policy = nnx.merge(small.learner.graph, state.weights, one.frozen)
        _, rollout, _ = roll_out(
            policy, small.learner.env, state.env, small.learner.rollout_steps, small.data.market, one.params.env, key=state.key
        )
        samples = agent.samples(rollout, one.params.agent)

        def loss(weights):
            return ppo_loss(
                nnx.merge(small.learner.graph, weights, one.frozen), samples, small.data.market.features, one.params.agent
            )[0]

        return jax.grad(loss)(state.weights)

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    together = jax.jit(jax.vmap(first_gradient))(stacked)
    for number in (0, 9):
        alone = arrays_of(jax.jit(first_gradient)(lanes[number]))
        for name, leaf in arrays_of(one_of(together, number)).items():
            scale = np.abs(alone[name]).max()
            np.testing.assert_allclose(leaf, alone[name], rtol=1e-4, atol=1e-4 * scale, err_msg=name)

"""Lanes are planned by the compiler's figures: a line through two and three batches, and refusals that say the numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from training_cases import case

from cappuccino.env import starts_at
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import span_rows
from cappuccino.mesh import AXIS, mesh_of
from cappuccino.training import lane_memory
from cappuccino.training.lane_memory import LaneBytes, lanes_that_fit, measure_lane
from cappuccino.training.lanes import Lane, LaneProgram


@functools.cache
def lane() -> Lane:
    small = case()
    valid = span_rows(small.data.spec, small.data.spans.valid, small.config.network.lookback)
    rows, patience = starts_at(valid), jnp.int32(9)
    return Lane(small.weights, small.frozen, small.starts, small.params, rows, small.params.env, patience, jax.random.key(0))


def test_the_line_through_two_and_three_batches_foretells_eight():
    at_once = 2
    program, market = LaneProgram(case().learner, 1, at_once), case().data.market
    found = measure_lane(program, lane(), market)
    actual = lane_memory._bytes_of(program, lane(), market, 8 * at_once)
    assert found.needed(8 * at_once) == pytest.approx(actual, rel=0.05)
    assert found.lane > sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(lane().weights))
    assert found.fixed > np.asarray(market.features).nbytes


def test_lanes_are_chosen_or_refused_by_the_numbers():
    found = LaneBytes(fixed=100 * 2**20, lane=50 * 2**20)
    mesh = mesh_of(jax.devices()[:1])
    memory = 2**30  # 819 MiB are planned with: 14 lanes
    assert lanes_that_fit(found, mesh, requested=None, memory=memory) == 14
    assert lanes_that_fit(found, mesh, requested=14, memory=memory) == 14
    with pytest.raises(InputError, match=r"15 lanes on each of 1 devices need 0\.83 GiB .* enough for 14 lanes"):
        lanes_that_fit(found, mesh, requested=15, memory=memory)
    with pytest.raises(InputError, match="enough for 0 lanes"):
        lanes_that_fit(found, mesh, requested=None, memory=100 * 2**20)
    two = AbstractMesh((2,), (AXIS,))
    assert lanes_that_fit(found, two, requested=None, memory=memory) == 28


def test_the_memory_of_a_cpu_is_the_systems():
    assert 2**28 < lane_memory.device_memory(mesh_of(jax.devices()[:1])) < 2**44

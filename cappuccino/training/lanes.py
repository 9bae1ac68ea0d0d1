"""Lanes: many trainings side by side in one compiled program, over one market table.

A lane is one training: its own parameters, hyperparameters, start rows, normaliser, random keys and validation rows, all traced,
so that trials, folds and seeds of one network shape share a program. Lanes never exchange a number: what happens in one, a NaN
included, leaves the others as they are, bit for bit. A lane that has stopped or failed can be refilled with another training at
the end of a chunk, without compiling.

Every leaf of `Lanes` has the lanes as its first axis, over which the devices divide.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from cappuccino.env import EnvParams, Starts
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import PolicyRule, Record, episode_begins, replay_one
from cappuccino.evaluation.metrics import deviation, lower_bound, ratio, ratio_lower_bound
from cappuccino.market import Market
from cappuccino.mesh import AXIS
from cappuccino.training.learner import Learner, TrainParams, TrainState, UpdateMetrics, updates_in_one

RUNNING, STOPPED, FAILED = 0, 1, 2
"""A lane trains on; it has not improved on its validation rows for `patience` chunks; a number in it was not finite."""


class Lane(NamedTuple):
    """What one training is given.

    weights: fresh parameters; frozen: normaliser and band. starts: rows at which its episodes begin. valid: rows, in order, that
    its policy is validated on after every chunk (as `starts`, filled up to a common length), in the environment `judged`.
    patience: chunks without a better score after which it stops.
    """

    weights: nnx.State
    frozen: nnx.State
    starts: Starts
    params: TrainParams
    valid: Starts
    judged: EnvParams
    patience: Int[Array, ""]
    key: PRNGKeyArray


class Best(NamedTuple):
    """The parameters with the highest score so far, and after which update they were."""

    weights: nnx.State
    score: Float[Array, ""]
    update: Int[Array, ""]


class Lanes(NamedTuple):
    """Trainings in progress. status: RUNNING, STOPPED or FAILED. stale: chunks since the best score."""

    state: TrainState
    frozen: nnx.State
    starts: Starts
    params: TrainParams
    valid: Starts
    judged: EnvParams
    patience: Int[Array, ""]
    best: Best
    status: Int[Array, ""]
    stale: Int[Array, ""]


class Validation(NamedTuple):
    """Of the deterministic policy on a lane's validation rows, after costs; per bar.

    score: `cappuccino.evaluation.metrics.lower_bound` of log growth: what stops a lane and chooses its best.
    active_ratio: `ratio_lower_bound` of log growth less that of equal weights held without costs. active_deviation: the standard
    deviation of the same, 0 where it does not vary.
    sharpe: mean of log growth over its standard deviation, 0 without variation. exposure: mean share of equity in assets.
    """

    score: Float[Array, ""]
    active_ratio: Float[Array, ""]
    active_deviation: Float[Array, ""]
    sharpe: Float[Array, ""]
    mean_log_growth: Float[Array, ""]
    turnover: Float[Array, ""]
    exposure: Float[Array, ""]


class Report(NamedTuple):
    """What a chunk says of each lane: figures of its updates (lanes, updates), its validation, its status."""

    updates: UpdateMetrics
    validation: Validation
    status: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class LaneProgram:
    """The static side of a chunk. at_once: lanes that a device computes together; the others follow one another.

    Of small trainings on one device with two cores, sixteen at once were a fifth to a half faster than one after another
    (`experiments/benchmarks/lanes.py`); fastest was a device for each core. On a GPU nothing was measured.
    """

    learner: Learner
    updates: int
    at_once: int


def begin(learner: Learner, lane: Lane, market: Market) -> Lanes:
    """One training before its first update, without an axis of lanes."""
    state = learner.init(lane.weights, market, lane.starts, lane.params, key=lane.key)
    return Lanes(
        state=state,
        frozen=lane.frozen,
        starts=lane.starts,
        params=lane.params,
        valid=lane.valid,
        judged=lane.judged,
        patience=lane.patience,
        best=Best(lane.weights, jnp.full_like(lane.params.env.capital, -jnp.inf), jnp.int32(0)),
        status=jnp.int32(RUNNING),
        stale=jnp.int32(0),
    )


@functools.partial(jax.jit, static_argnames="learner")
def _begin_all(lanes: Lane, market: Market, *, learner: Learner) -> Lanes:
    return jax.vmap(lambda lane: begin(learner, lane, market))(lanes)


def check_divides(lanes: int, mesh: Mesh | AbstractMesh) -> None:
    """Every device gets the same number of lanes, or InputError."""
    if lanes % mesh.size:
        raise InputError(f"there are {lanes} lanes for {mesh.size} devices; take a multiple")


def begin_all(learner: Learner, lanes: list[Lane], market: Market, mesh: Mesh) -> Lanes:
    """Trainings before their first update, divided over the devices of `mesh`. Raises InputError where they do not divide."""
    check_divides(len(lanes), mesh)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes)
    return jax.device_put(_begin_all(stacked, market, learner=learner), NamedSharding(mesh, PartitionSpec(AXIS)))


@functools.partial(jax.jit, static_argnames="learner", donate_argnames="lanes")
def refill(lanes: Lanes, index: Int[Array, ""], lane: Lane, market: Market, *, learner: Learner) -> Lanes:
    """Begin another training in lane `index`; the others are untouched."""
    fresh = begin(learner, lane, market)
    return jax.tree.map(lambda whole, one: whole.at[index].set(one), lanes, fresh)


def idle_lanes(learner: Learner, lane: Lane, number: int, market: Market, mesh: Mesh) -> Lanes:
    """`number` stopped lanes for trainings of the shapes of `lane`, divided over the devices, to be filled with `refill`.

    Raises InputError where they do not divide.
    """
    check_divides(number, mesh)
    like = jax.eval_shape(functools.partial(begin, learner), lane, market)

    def zeros(leaf: jax.ShapeDtypeStruct) -> Array | np.ndarray:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(lane.key, (number,))
        return np.zeros((number, *leaf.shape), leaf.dtype)

    lanes = jax.tree.map(zeros, like)._replace(status=np.full(number, STOPPED, np.int32))
    return jax.device_put(lanes, NamedSharding(mesh, PartitionSpec(AXIS)))


@functools.partial(jax.jit, donate_argnames="lanes")
def stop(lanes: Lanes, index: Int[Array, ""]) -> Lanes:
    """Let lane `index` idle from now on."""
    return lanes._replace(status=lanes.status.at[index].set(STOPPED))


@functools.partial(jax.jit, static_argnames=("program", "mesh"), donate_argnames="lanes")
def lanes_chunk(lanes: Lanes, market: Market, *, program: LaneProgram, mesh: Mesh) -> tuple[Lanes, Report]:
    """`program.updates` updates of every running lane and its validation, in one program over all devices of `mesh`."""

    def on_device(lanes: Lanes, market: Market) -> tuple[Lanes, Report]:
        one = functools.partial(_chunk_or_idle, market=market, program=program)
        return jax.lax.map(one, lanes, batch_size=program.at_once if program.at_once > 1 else None)

    spread, same = PartitionSpec(AXIS), PartitionSpec()
    return jax.shard_map(on_device, mesh=mesh, in_specs=(spread, same), out_specs=spread, check_vma=False)(lanes, market)


def _chunk_or_idle(lane: Lanes, market: Market, program: LaneProgram) -> tuple[Lanes, Report]:
    """A lane that does not run stays as it is and has no figures (NaN); computed alone, it takes no time."""

    def chunk(lane: Lanes) -> tuple[Lanes, Report]:
        return _chunk(lane, market, program)

    def idle(lane: Lanes) -> tuple[Lanes, Report]:
        figures = jax.eval_shape(chunk, lane)[1]
        return lane, jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), figures._replace(status=()))._replace(
            status=lane.status
        )

    return jax.lax.cond(lane.status == RUNNING, chunk, idle, lane)


def _chunk(lane: Lanes, market: Market, program: LaneProgram) -> tuple[Lanes, Report]:
    """A running lane's chunk. One that fails stays as it was."""
    learner = program.learner
    state, metrics = updates_in_one(learner, program.updates, lane.state, lane.frozen, market, lane.starts, lane.params)
    validation = validate(learner, state.weights, lane, market)

    finite = _all_finite((metrics, state.weights, validation))
    better = finite & (validation.score > lane.best.score)
    stale = jnp.where(better, 0, lane.stale + 1)
    after = lane._replace(
        state=_chosen(finite, state, lane.state),
        best=_chosen(better, Best(state.weights, validation.score, state.update), lane.best),
        status=jnp.where(finite, jnp.where(stale >= lane.patience, STOPPED, RUNNING), FAILED).astype(jnp.int32),
        stale=stale,
    )
    return after, Report(metrics, validation, after.status)


def _chosen(condition: Bool[Array, ""], new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _all_finite(tree: Any) -> Bool[Array, ""]:
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack(leaves))


def validate(learner: Learner, weights: nnx.State, lane: Lanes, market: Market) -> Validation:
    """Backtest parameters on a lane's validation rows, each run of rows from cash."""
    policy = learner.policy(weights, lane.frozen)
    graph, arrays = nnx.split(policy)
    rows = lane.valid.rows
    cash = jnp.zeros(market.close.shape[1], market.close.dtype)
    record = replay_one(PolicyRule(graph, policy.shape.lookback), arrays, market, rows, lane.judged, cash)
    return validation_of(record, market, lane.valid, lane.judged.capital)


def validation_of(record: Record, market: Market, valid: Starts, capital: Float[Array, ""]) -> Validation:
    """The figures of what one account did at the rows of `valid`, each run of them begun with `capital`."""
    rows, number = valid
    equal = jnp.log(jnp.mean(market.close[rows + 1] / market.close[rows], axis=-1))
    before = jnp.where(episode_begins(rows), capital, jnp.concatenate([capital[None], record.equity[:-1]]))
    counted = (jnp.arange(len(rows)) < number).astype(record.equity.dtype)
    growth = jnp.log(record.equity / before)
    active = growth - equal

    def mean(values: Float[Array, "V"]) -> Float[Array, ""]:
        return jnp.sum(values * counted) / jnp.sum(counted)

    return Validation(
        score=lower_bound(growth, counted, xp=jnp),
        active_ratio=ratio_lower_bound(active, counted, xp=jnp),
        active_deviation=deviation(active, counted, xp=jnp),
        sharpe=ratio(growth, counted, xp=jnp),
        mean_log_growth=mean(growth),
        turnover=mean(record.notional / before),
        exposure=mean(jnp.sum(record.weights, axis=1)),
    )

"""The compiled chunk: traced once, a pure function of its state, every parameter of it read, episodes cut where they end."""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import Case, arrays_of, assert_same, case

from cappuccino.agents.optimisation import OptimiserParams
from cappuccino.agents.ppo import PPO, PPOParams
from cappuccino.env import Costs, Environment, EnvParams, RewardWeights
from cappuccino.errors import InputError
from cappuccino.plan import OrderRules
from cappuccino.training.learner import Learner, TrainParams, train_chunk

KINDS = ("mlp", "per_asset")


def run(case: Case, chunks: int = 1, updates: int = 1, *, params: TrainParams | None = None, seed: int = 1, chunk=train_chunk):
    """The state and the metrics of every chunk."""
    state, metrics = case.state(seed), []
    for _ in range(chunks):
        state, new = chunk(
            state,
            case.frozen,
            case.data.market,
            case.starts,
            case.params if params is None else params,
            learner=case.learner,
            updates=updates,
        )
        metrics.append(new)
    return state, jax.tree.map(lambda *parts: np.concatenate(parts), *metrics)


def test_changing_traced_parameters_traces_nothing_anew():
    chex.clear_trace_counter()
    once = jax.jit(
        chex.assert_max_traces(train_chunk.__wrapped__, n=1), static_argnames=("learner", "updates"), donate_argnames=("state",)
    )
    small = case()
    for factor in (1.0, 0.5):
        run(small, params=jax.tree.map(lambda leaf, f=factor: leaf * f, small.params), chunk=once)
    run(small, seed=2, chunk=once)


def test_two_chunks_are_one_of_twice_the_length_bit_for_bit():
    assert_same(run(case(), chunks=2, updates=1), run(case(), chunks=1, updates=2))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_training_and_another_seed_another(kind):
    small = case(f"network.name={kind}")
    first, again, other = (run(small, chunks=3, seed=seed) for seed in (1, 1, 2))
    assert_same(first, again)
    one, two = arrays_of(first[0].weights), arrays_of(other[0].weights)
    assert all(not np.array_equal(one[name], two[name]) for name in one)


def test_the_normaliser_is_the_same_after_training():
    before = arrays_of(case().frozen)
    run(case(), chunks=2)
    assert len(before) == 4
    after = arrays_of(case().frozen)
    for name, leaf in before.items():
        np.testing.assert_array_equal(after[name], leaf)


def test_clocks_run_on_within_an_episode_and_jump_when_it_is_over():
    small = case()
    env, steps = small.learner.env, small.learner.rollout_steps
    per_episode = env.episode_bars // steps
    assert per_episode == 2
    state, before, starts = small.state(), None, np.asarray(small.starts.rows)
    for update in range(3 * per_episode):
        state, _ = train_chunk(
            state, small.frozen, small.data.market, small.starts, small.params, learner=small.learner, updates=1
        )
        tick, age = np.asarray(state.env.tick).copy(), int(state.env.age)
        position = update % per_episode + 1
        assert age == position * steps
        assert np.isin(tick - age, starts).all()
        if position > 1:
            np.testing.assert_array_equal(tick, before + steps)
        elif before is not None:
            assert (tick != before + steps).any()
        before = tick
    assert int(state.update) == 3 * per_episode


SHARPE = ("env.reward.name=differential_sharpe",)


@functools.cache
def everything_active() -> TrainParams:
    """Parameters under which every one of them matters: limits are met, penalties and the annealing count."""
    value = functools.partial(jnp.asarray, dtype=jnp.float32)
    rules = OrderRules(value(20), jnp.full((3, 1, 1), 0.01, jnp.float32), value(0.04))
    return TrainParams(
        env=EnvParams(
            costs=Costs(value(0.0025), value(0.0002), value(0.0001), rules),
            reward=RewardWeights(value(100), value(0.01), value(0.1), value(0.001), value(0.02)),
            capital=value(1000),
            drawdown_limit=value(0.03),
        ),
        agent=PPOParams(
            optimiser=OptimiserParams(
                learning_rate=value(1e-3), final_rate=value(0.1), updates=value(6), max_gradient_norm=value(1e-3)
            ),
            gamma=value(0.99),
            gae_lambda=value(0.95),
            clip=value(1e-3),
            value_clip=value(0.01),
            entropy=value(0.001),
            value_coefficient=value(0.5),
            target_kl=value(1e-7),
        ),
    )


PATHS = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(everything_active())]


@functools.cache
def outcome_of(changed: str | None) -> dict[str, np.ndarray]:
    def changed_leaf(path, leaf):
        if jax.tree_util.keystr(path) != changed:
            return leaf
        return leaf * (0.5 if "target_kl" not in jax.tree_util.keystr(path) else 1e6)

    params = jax.tree_util.tree_map_with_path(changed_leaf, everything_active())
    state, metrics = run(case(*SHARPE), chunks=2, params=params)
    return arrays_of((state.weights, metrics))


@pytest.mark.parametrize("path", PATHS)
def test_every_traced_parameter_changes_the_training(path):
    """A search over a parameter that nothing reads would return noise."""
    before, after = outcome_of(None), outcome_of(path)
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    assert all(np.isfinite(leaf).all() for leaf in after.values())


def test_a_learner_whose_shapes_do_not_fit_is_refused():
    small = case()
    with pytest.raises(InputError, match=r"env\.episode_bars is 20; it must be a multiple of training.rollout_steps, 8"):
        Learner(small.learner.graph, Environment(4, 3, 20), PPO(1, 1), 8)
    with pytest.raises(InputError, match=r"agent\.minibatches is 5; it must divide env.clocks x training.rollout_steps, 32"):
        Learner(small.learner.graph, Environment(4, 3, 16), PPO(1, 5), 8)

"""An update: which minibatches are applied, at which rate, and that nothing but the parameters moves."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from agent_cases import policy_of, ppo_params, rollout_of
from flax import nnx

from cappuccino.agents import optimisation
from cappuccino.agents.advantages import generalised_advantages
from cappuccino.agents.ppo import PPO, ppo_loss
from cappuccino.errors import InputError

pytestmark = pytest.mark.usefixtures("optax_promotes")
SHAPE = PPO(epochs=2, minibatches=3)
KEY = jax.random.key(5)


@functools.cache
def parts():
    return nnx.split(policy_of("mlp"), nnx.Param, ...)


@functools.partial(jax.jit, static_argnames=("graph", "shape"))
def compiled(graph, weights, frozen, rollout, features, update, params, key, shape):
    opt_state = optimisation.begin(weights, params.optimiser)
    return shape.epochs_over(rollout, graph, weights, frozen, opt_state, features, params, update, key=key)


def run(update: int = 0, shape: PPO = SHAPE, key=KEY, **changes: float):
    rollout, features = rollout_of(0)
    return compiled(*parts(), rollout, jnp.asarray(features), jnp.int32(update), ppo_params(**changes), key, shape)


def by_hand(steps: int, rate: float, **changes: float):
    """The parameters after the first `steps` minibatches of one epoch, with Optax's own Adam."""
    graph, weights, frozen = parts()
    rollout, features = rollout_of(0)
    params = ppo_params(**changes)

    @jax.jit
    def gradient_of(weights, some):
        return jax.grad(lambda w: ppo_loss(nnx.merge(graph, w, frozen), some, jnp.asarray(features), params)[0])(weights)

    samples = SHAPE.samples(rollout, params)
    order = jax.random.permutation(jax.random.split(KEY, SHAPE.epochs)[0], len(samples.tick)).reshape(SHAPE.minibatches, -1)
    transform = optax.chain(optax.clip_by_global_norm(float(params.optimiser.max_gradient_norm)), optax.adam(rate, eps=1e-5))
    state = transform.init(weights)
    for rows in order[:steps]:
        gradient = gradient_of(weights, jax.tree.map(lambda column, rows=rows: column[rows], samples))
        steps_down, state = transform.update(gradient, state)
        weights = optax.apply_updates(weights, steps_down)
    return weights


def assert_close(one, other) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-7), one, other)


def test_the_kl_stop_leaves_the_remaining_minibatches_out():
    weights, opt_state, metrics, share = run(target_kl=1e-6)
    assert float(share) == pytest.approx(1 / 6)
    assert float(metrics.kl) > 1e-6
    assert int(optax.tree.get(opt_state, "count")) == 1
    assert_close(weights, by_hand(1, 1e-3))
    every, _, _, all_of_them = run()
    assert float(all_of_them) == 1
    assert any(not np.allclose(a, b) for a, b in zip(jax.tree.leaves(weights), jax.tree.leaves(every), strict=True))


def test_metrics_are_means_over_the_minibatches_that_were_applied():
    stopped = run(target_kl=1e-6)[2]
    one_minibatch = run(target_kl=1e-6, shape=PPO(epochs=1, minibatches=3))[2]
    assert float(stopped.entropy) == pytest.approx(float(one_minibatch.entropy))
    assert float(stopped.entropy) > 1


def test_an_epoch_is_adam_over_minibatches_at_the_given_rate():
    assert_close(run(shape=PPO(epochs=1, minibatches=3))[0], by_hand(3, 1e-3))


def test_the_learning_rate_falls_linearly_to_its_final_share():
    stop = {"target_kl": 1e-6, "updates": 8.0, "final_rate": 0.25}
    assert_close(run(update=4, **stop)[0], by_hand(1, 1e-3 * (1 - 0.75 * 0.5), target_kl=1e-6))
    assert_close(run(update=99, **stop)[0], by_hand(1, 1e-3 * 0.25, target_kl=1e-6))


def test_the_gradient_norm_is_clipped_before_adam():
    # a clip is a factor, to which Adam's first step is blind but for its epsilon: one so small that epsilon rules
    assert_close(run(target_kl=1e-6, max_gradient_norm=1e-5)[0], by_hand(1, 1e-3, max_gradient_norm=1e-5))
    assert float(run(max_gradient_norm=1e-5)[2].gradient_norm) > 1e-3


def test_no_gradient_reaches_the_normaliser():
    graph, weights, frozen = parts()
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(frozen)}
    assert {name.split("'")[1] for name in names} == {"mean", "std", "clip", "band"}
    moved = run()[0]
    assert jax.tree.structure(moved) == jax.tree.structure(weights)
    policy = nnx.merge(graph, moved, frozen)
    before = nnx.merge(graph, weights, frozen)
    for name in ("mean", "std", "clip", "band"):
        np.testing.assert_array_equal(getattr(policy, name)[...], getattr(before, name)[...])
    assert all(not np.array_equal(a, b) for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(weights), strict=True))


@pytest.mark.parametrize("name", ["epochs", "minibatches", "stretch"])
def test_a_count_below_one_is_refused(name):
    with pytest.raises(InputError, match=f"agent.{name} is 0"):
        PPO(**({"epochs": 1, "minibatches": 1} | {name: 0}))


def test_a_rollout_is_cut_into_stretches_of_one_clock_each_step_once():
    rollout, _ = rollout_of(0, steps=4, clocks=3)
    params = ppo_params()
    samples = PPO(1, 6).samples(rollout, params)
    assert samples.tick.shape == (6, 2)
    advantage = generalised_advantages(
        rollout.reward, rollout.value, rollout.terminated, rollout.last_value, params.gamma, params.gae_lambda
    )
    expected = {
        "log_prob": rollout.log_prob,
        "returns": advantage + rollout.value,
        "advantage": advantage - advantage[..., ::-1],  # two accounts: less that of the other one
    }
    found = {(step, clock): 0 for step in range(4) for clock in range(3)}
    for row in range(6):
        step, clock = next(at for at in found if (rollout.log_prob[at] == samples.log_prob[row, 0]).all())
        for offset in range(2):
            found[step + offset, clock] += 1
            for name, value in expected.items():
                np.testing.assert_allclose(getattr(samples, name)[row, offset], value[step + offset, clock], rtol=1e-6)
    assert set(found.values()) == {1}


def test_a_stretch_divides_rollout_and_minibatch():
    assert PPO(1, 8).stretch_of(64, 64) == 16
    assert PPO(1, 8).stretch_of(64, 3) == 8
    assert PPO(1, 4).stretch_of(8, 4) == 8
    assert PPO(1, 5).stretch_of(10, 1) == 2
    assert PPO(1, 10).stretch_of(10, 1) == 1

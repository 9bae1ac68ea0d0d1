"""The networks: symmetry, formula, sharing of the encoding, and the decision that is exported."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent_cases import ASSETS, FEATURES, KINDS, LOOKBACK, NORMALISER, account_weights, policy_of, raw_windows, shape_of
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.agents.encoders import dilations_of, spans_of
from cappuccino.agents.networks import NetworkShape, decide, make_policy, target_weights
from cappuccino.errors import InputError
from cappuccino.features.normaliser import Normaliser

PER_ASSET = {kind: policy_of(kind) for kind in KINDS if kind != "mlp"}


@functools.partial(jax.jit, static_argnames="graph")
def compiled(graph, arrays, window, weights):
    policy = nnx.merge(graph, arrays)
    # One window each: the axis of the windows of a stretch comes behind those of the stretches.
    embedding = jax.tree.map(lambda leaf: jnp.squeeze(leaf, axis=window.ndim - 3), policy.encode(policy.normalise(window)))
    return policy.logits(embedding, weights), policy.value(embedding, weights)


def both(policy, window, weights) -> tuple[np.ndarray, np.ndarray]:
    logits, value = compiled(*nnx.split(policy), jnp.asarray(window), jnp.asarray(weights))
    return np.asarray(logits), np.asarray(value)


@pytest.mark.parametrize("kind", PER_ASSET)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations(range(ASSETS)))
def test_permuting_assets_permutes_a_policy_that_is_blind_to_their_order(kind, seed, order):
    policy, rng, order = PER_ASSET[kind], np.random.default_rng(seed), np.array(order)
    window, weights = raw_windows(rng, 2), account_weights(rng, 2, 3)
    logits, value = both(policy, window, weights)
    permuted, same = both(policy, window[:, :, order], weights[..., order])
    np.testing.assert_allclose(permuted, logits[..., [*order, ASSETS]], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(same, value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), lookback=st.integers(1, 12), more=st.integers(0, 9))
def test_a_stretch_gives_what_its_windows_give_one_by_one(kind, seed, lookback, more):
    policy = make_policy(NetworkShape(kind, lookback, ASSETS, FEATURES, (8,), (5,)), NORMALISER, key=jax.random.key(seed))
    rows = np.random.default_rng(seed).standard_normal((2, lookback + more, ASSETS, FEATURES)).astype(np.float32)
    encode = jax.jit(policy.encode)
    stretch = encode(jnp.asarray(rows))
    for first in range(more + 1):
        window = encode(jnp.asarray(rows[:, first : first + lookback]))
        for whole, alone in zip(stretch, window, strict=True):
            np.testing.assert_allclose(whole[:, first], alone[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lookback", [1, 2, 3, 5, 24, 48, 49])
def test_dilations_and_spans_cover_the_window_exactly(lookback):
    assert sum(dilations_of(lookback)) == lookback - 1
    assert all(later <= 2 * before for before, later in itertools.pairwise(dilations_of(lookback)))
    assert sum(span - 1 for span in spans_of(lookback)) == lookback - 1
    assert max(spans_of(lookback)) - min(spans_of(lookback)) <= 1


def test_an_mlp_tells_assets_apart():
    rng = np.random.default_rng(0)
    window, weights = raw_windows(rng, 1), account_weights(rng, 1, 1)
    order = np.roll(np.arange(ASSETS), 1)
    logits, _ = both(policy_of("mlp"), window, weights)
    permuted, _ = both(policy_of("mlp"), window[:, :, order], weights[..., order])
    assert not np.allclose(permuted, logits[..., [*order, ASSETS]], rtol=1e-2)


def test_one_hidden_and_one_head_layer_are_the_plain_two_layer_network():
    policy, rng = policy_of("mlp", hidden=(128,), head=(128,), spread=0.05), np.random.default_rng(0)
    window, weights = raw_windows(rng, 5), account_weights(rng, 5, 3)
    logits, value = both(policy, window, weights)

    def plain(tower) -> np.ndarray:
        first, market, account, last = policy.encoder.layers[0], tower.market, tower.account, tower.output
        seen = np.clip((window - NORMALISER.mean) / NORMALISER.std, -NORMALISER.clip, NORMALISER.clip).reshape(5, -1)
        hidden = np.tanh(seen @ np.float64(first.kernel[...]) + np.float64(first.bias[...]))
        joined = np.concatenate([np.repeat(hidden[:, None], 3, axis=1), weights], axis=-1)
        kernel = np.concatenate([np.float64(market.kernel[...]), np.float64(account.kernel[...])])
        hidden = np.tanh(joined @ kernel + np.float64(market.bias[...]))
        return hidden @ np.float64(last.kernel[...]) + np.float64(last.bias[...])

    np.testing.assert_allclose(logits, plain(policy.actor), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, plain(policy.critic)[..., 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_accounts_that_share_an_encoding_decide_as_if_each_were_alone(kind):
    policy, rng = policy_of(kind), np.random.default_rng(1)
    window, weights = raw_windows(rng, 2), account_weights(rng, 2, 4)
    logits, value = both(policy, window, weights)
    for tick in range(2):
        for account in range(4):
            alone = both(policy, window[tick], weights[tick, account][None])
            np.testing.assert_allclose(alone[0][0], logits[tick, account], rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(alone[1][0], value[tick, account], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_account_and_every_row_of_the_window_matter(kind):
    policy, rng = policy_of(kind, spread=0.1), np.random.default_rng(2)
    window, weights = NORMALISER.mean.astype(np.float32) + 0 * raw_windows(rng), account_weights(rng, 1)
    logits, value = both(policy, window, weights)
    for asset in range(ASSETS):
        moved = weights.copy()
        moved[0, asset] += 0.05
        assert all(
            np.abs(new - old).max() > 1e-4 for new, old in zip(both(policy, window, moved), (logits, value), strict=True)
        )
    for index in np.ndindex(LOOKBACK, ASSETS, FEATURES):
        moved = window.copy()
        moved[index] += 0.2
        assert all(
            np.abs(new - old).max() > 1e-5 for new, old in zip(both(policy, moved, weights), (logits, value), strict=True)
        )


@pytest.mark.parametrize("kind", KINDS)
def test_decide_is_the_softmax_of_the_mean_logits_without_cash(kind):
    policy, rng = policy_of(kind), np.random.default_rng(3)
    window, weights = raw_windows(rng), account_weights(rng)
    logits, _ = both(policy, window, weights[None])
    share = np.exp(logits[0].astype(np.float64)) / np.exp(logits[0].astype(np.float64)).sum()
    np.testing.assert_allclose(decide(policy, jnp.asarray(window), jnp.asarray(weights)), share[:-1], rtol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 10.0, 1e4]))
def test_target_weights_are_a_portfolio_whatever_the_logits(seed, scale):
    logits = scale * np.random.default_rng(seed).standard_normal((6, ASSETS + 1)).astype(np.float32)
    weights = np.asarray(target_weights(jnp.asarray(logits)))
    assert weights.shape == (6, ASSETS)
    assert (weights >= 0).all()
    assert (weights.sum(axis=-1) <= 1 + 1e-6).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_policy_spreads_evenly_and_the_same_key_gives_the_same(kind):
    rng = np.random.default_rng(4)
    window, weights = raw_windows(rng), account_weights(rng)
    fresh = [make_policy(shape_of(kind), NORMALISER, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    targets = [np.asarray(decide(policy, jnp.asarray(window), jnp.asarray(weights))) for policy in fresh]
    np.testing.assert_allclose(targets[0], 1 / (ASSETS + 1), atol=0.02)
    np.testing.assert_array_equal(targets[0], targets[1])
    assert not np.array_equal(targets[0], targets[2])


@pytest.mark.parametrize("kind", KINDS)
def test_policies_of_one_shape_share_one_graph_so_that_nothing_compiles_twice(kind):
    other = Normaliser(np.zeros(FEATURES), np.ones(FEATURES), 3.0)
    one, two = (
        nnx.graphdef(make_policy(shape_of(kind), normaliser, log_std=std, key=jax.random.key(seed)))
        for seed, (normaliser, std) in enumerate(((NORMALISER, 0.1), (other, -1.0)))
    )
    assert one == two
    assert hash(one) == hash(two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "lstm"}, "network.name is 'lstm'; it must be one of mlp, per_asset, conv, transformer"),
        ({"lookback": 0}, "network.lookback is 0"),
        ({"hidden": (8, 0)}, "widths are positive"),
        ({"head": ()}, "head has at least one"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(changes, message):
    good = {"kind": "mlp", "lookback": 1, "assets": 2, "features": 1, "hidden": (), "head": (4,)}
    NetworkShape(**good)
    with pytest.raises(InputError, match=message):
        NetworkShape(**(good | changes))


def test_a_normaliser_of_other_features_is_refused():
    with pytest.raises(InputError, match="for 3 features, the network for 2"):
        make_policy(shape_of("mlp"), Normaliser(np.zeros(3), np.ones(3), 1.0), key=jax.random.key(0))

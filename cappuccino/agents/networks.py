"""Networks: a market encoder that runs once per bar, and an account head that runs once per account on that bar.

What is dear, reading a window of market features, does not depend on the account; what depends on the account is small. Every
network keeps the two apart, so that the accounts of one clock share the encoding in rollout, update and backtest.

Axes: *N ticks, L look-back, W rows of a stretch, S = W - L + 1 windows in it, A assets, F features, R accounts on a tick.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from cappuccino.agents.encoders import ENCODERS, HEADS, WindowEncoder, apply_tanh, dense, layers
from cappuccino.errors import InputError
from cappuccino.features.normaliser import Normaliser, normalise


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """The static side of a network: changing it recompiles.

    kind: `mlp` (all assets side by side), or one function for every asset, blind to their order: `per_asset` (a dense window),
    `conv` (a dilated causal convolution) or `transformer` (causal attention over bars).
    hidden: widths of the market encoder; of conv and transformer one, their number of channels.
    head: widths of the account head, at least one.
    """

    kind: str
    lookback: int
    assets: int
    features: int
    hidden: tuple[int, ...]
    head: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in (MLP, *ENCODERS):
            raise InputError(f"network.name is {self.kind!r}; it must be one of {', '.join((MLP, *ENCODERS))}")
        if self.lookback < 1:
            raise InputError(f"network.lookback is {self.lookback}; it must be at least 1")
        if not self.head or min((*self.hidden, *self.head)) < 1:
            raise InputError(
                f"network.hidden and head are {self.hidden} and {self.head}; widths are positive, head has at least one"
            )
        if self.kind in ("conv", "transformer") and len(self.hidden) != 1:
            raise InputError(f"network.hidden is {list(self.hidden)}; {self.kind} takes one width, its number of channels")
        if self.kind == "transformer" and self.hidden[0] % HEADS:
            raise InputError(f"network.hidden is {list(self.hidden)}; transformer needs a multiple of {HEADS}, its heads")


class Frozen(nnx.Variable):
    """An array that is part of the policy and never trained: the normaliser's, the width of the no-trade band."""


class MLPHead(nnx.Module):
    """A tanh MLP from the encoded window of all assets, which the account's weights join at the first layer.

    With hidden (128,) and head (128,) encoder and head are the usual 2 x 128 network, the account entering at the second layer.
    """

    def __init__(self, shape: NetworkShape, width: int, outputs: int, *, output_scale: float, rngs: nnx.Rngs):
        self.market = dense(width, shape.head[0], rngs)
        self.account = dense(shape.assets, shape.head[0], rngs, use_bias=False)
        self.layers = layers(shape.head, rngs)
        self.output = dense(shape.head[-1], outputs, rngs, scale=output_scale)

    def embed(self, encoded: Float[Array, "*N v"]) -> Float[Array, "*N H"]:
        """What does not depend on the account."""
        return self.market(encoded)

    def outputs(self, embedding: Float[Array, "*N H"], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R out"]:
        hidden = jnp.tanh(embedding[..., None, :] + self.account(weights))
        return self.output(apply_tanh(self.layers, hidden))


class PerAssetHead(nnx.Module):
    """One network applied to every asset, which sees the others through their mean: permuting assets permutes outputs.

    It sees the asset's own weight and cash. With `outputs` = A + 1 it gives one number for every asset and one, from the mean
    over assets, for cash; with `outputs` = 1 only the latter.
    """

    def __init__(self, shape: NetworkShape, width: int, outputs: int, *, output_scale: float, rngs: nnx.Rngs):
        self.market = dense(width, shape.head[0], rngs)
        self.context = dense(width, shape.head[0], rngs, use_bias=False)
        self.account = dense(2, shape.head[0], rngs, use_bias=False)
        self.layers = layers(shape.head, rngs)
        self.pooled = dense(shape.head[-1], 1, rngs, scale=output_scale)
        self.each = dense(shape.head[-1], 1, rngs, scale=output_scale) if outputs > 1 else None

    def embed(self, encoded: Float[Array, "*N A v"]) -> Float[Array, "*N A H"]:
        """What does not depend on the account."""
        return self.market(encoded) + self.context(jnp.mean(encoded, axis=-2, keepdims=True))

    def outputs(self, embedding: Float[Array, "*N A H"], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R out"]:
        cash = 1 - jnp.sum(weights, axis=-1, keepdims=True)
        own, idle = self.account.kernel[...]
        # Written out: as a matrix product with an inner dimension of two, this layer takes twice as long as all the others.
        account = weights[..., None] * own + cash[..., None] * idle
        hidden = apply_tanh(self.layers, jnp.tanh(embedding[..., None, :, :] + account))
        pooled = self.pooled(jnp.mean(hidden, axis=-2))
        if self.each is None:
            return pooled
        return jnp.concatenate([self.each(hidden)[..., 0], pooled], axis=-1)


MLP = "mlp"
"""The network that sees all assets side by side; every other one encodes each by itself."""


class Policy(nnx.Module):
    """Actor, critic, normaliser and no-trade band. The actor gives the mean of a Gaussian over logits of assets and, last, cash.

    `log_std` is the Gaussian's logarithmic standard deviation, one number for all logits. `band` is the share of equity by which
    an asset's weight may be off its target before it is traded.
    """

    def __init__(self, shape: NetworkShape, normaliser: Normaliser, *, log_std: Any, band: Any, rngs: nnx.Rngs):
        if normaliser.mean.shape != (shape.features,):
            raise InputError(f"the normaliser is for {normaliser.mean.shape[0]} features, the network for {shape.features}")
        self.shape = shape
        if shape.kind == MLP:
            self.encoder = WindowEncoder(shape.lookback, shape.assets * shape.features, shape.hidden, rngs)
        else:
            self.encoder = ENCODERS[shape.kind](shape.lookback, shape.features, shape.hidden, rngs)
        head = MLPHead if shape.kind == MLP else PerAssetHead
        self.actor = head(shape, self.encoder.width, shape.assets + 1, output_scale=0.01, rngs=rngs)
        self.critic = head(shape, self.encoder.width, 1, output_scale=1.0, rngs=rngs)
        self.log_std = nnx.Param(jnp.asarray(log_std, jnp.float32))
        self.mean = Frozen(jnp.asarray(normaliser.mean, jnp.float32))
        self.std = Frozen(jnp.asarray(normaliser.std, jnp.float32))
        self.clip = Frozen(jnp.asarray(normaliser.clip, jnp.float32))
        self.band = Frozen(jnp.asarray(band, jnp.float32))

    def normalise(self, features: Float[Array, "*N F"]) -> Float[Array, "*N F"]:
        """Raw features in units of the training span's standard deviations, within +- clip: part of the policy."""
        return normalise(features, Normaliser(self.mean[...], self.std[...], self.clip[...]), xp=jnp)

    def encode(self, rows: Float[Array, "*N W A F"]) -> tuple[Array, Array]:
        """Encode stretches of normalised features, for all accounts: (actor's embedding, critic's), leaves with axes *N S.

        A table is normalised once and encoded many times: within a program that does both, XLA would normalise every bar again
        in each of the windows that share it.
        """
        if self.shape.kind == MLP:
            encoded = self.encoder(rows.reshape(*rows.shape[:-2], -1))
        else:
            encoded = jnp.moveaxis(self.encoder(jnp.moveaxis(rows, -2, -3)), -3, -2)
        return self.actor.embed(encoded), self.critic.embed(encoded)

    def logits(self, embedding: tuple[Array, Array], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R A+1"]:
        return self.actor.outputs(embedding[0], weights)

    def value(self, embedding: tuple[Array, Array], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R"]:
        return self.critic.outputs(embedding[1], weights)[..., 0]

    def targets(self, logits: Float[Array, "*N K"], weights: Float[Array, "*N A"]) -> Float[Array, "*N A"]:
        """The weights to trade to: the portfolio of the logits (of A assets and cash), from which weights may be off by the band.

        An asset beyond the band moves to the band's edge and no further, the optimal trade under proportional costs (Davis and
        Norman 1990). Where fewer assets are bought than sold the edges may sum to more than one: the buys then share the shortfall
        in proportion, so that the targets are a portfolio without leverage.
        """
        wanted, band = target_weights(logits), self.band[...]
        edges = jnp.minimum(jnp.maximum(weights, wanted - band), wanted + band)
        buys = jax.nn.relu(edges - weights)
        excess = jax.nn.relu(jnp.sum(edges, axis=-1, keepdims=True) - 1)
        total = jnp.sum(buys, axis=-1, keepdims=True)
        return edges - excess * buys / jnp.where(total > 0, total, jnp.ones_like(total))


def make_policy(
    shape: NetworkShape, normaliser: Normaliser, *, log_std: float = -0.5, band: float = 0.0, key: PRNGKeyArray
) -> Policy:
    """A policy with fresh parameters: orthogonal layers, an actor whose untrained logits are nearly equal."""
    numbers = Normaliser(*(np.asarray(part, np.float32) for part in normaliser))
    return _build(numbers, np.float32(log_std), np.float32(band), key, shape=shape)


@functools.partial(nnx.jit, static_argnames="shape")
def _build(normaliser: Normaliser, log_std: Any, band: Any, key: PRNGKeyArray, *, shape: NetworkShape) -> Policy:
    # One program: built operation by operation, as many would be compiled, for seconds before the first update.
    return Policy(shape, normaliser, log_std=log_std, band=band, rngs=nnx.Rngs(key))


def target_weights(logits: Float[Array, "*N K"]) -> Float[Array, "*N K-1"]:
    """Softmax over assets and cash; the share of cash, last, is left out."""
    return jax.nn.softmax(logits, axis=-1)[..., :-1]


def decide(policy: Policy, window: Float[Array, "L A F"], weights: Float[Array, "A"]) -> Float[Array, "A"]:
    """One deterministic decision, the graph that is exported: raw features and asset weights in, target weights out.

    Axes of one tick and one account stay until the end: a dense layer exports to ONNX as Gemm, which takes matrices only.
    """
    logits = policy.logits(policy.encode(policy.normalise(window)), weights[None, None])
    return policy.targets(logits, weights[None, None])[0, 0]

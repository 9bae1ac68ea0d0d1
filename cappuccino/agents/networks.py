"""Networks: a market encoder that runs once per tick, and an account head that runs once per account on that tick.

What is dear, reading a window of market features, does not depend on the account; what depends on the account is small. Every
network keeps the two apart, so that the accounts of one clock share the encoding in rollout, update and backtest.

Axes: *N ticks, L look-back, A assets, F features, R accounts on a tick.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from cappuccino.errors import InputError
from cappuccino.features.normaliser import Normaliser, normalise

HIDDEN_SCALE = 2**0.5


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """The static side of a network: changing it recompiles.

    kind: `mlp` (all assets side by side) or `per_asset` (one function for every asset, blind to their order).
    hidden: widths of the market encoder. head: widths of the account head, at least one.
    """

    kind: str
    lookback: int
    assets: int
    features: int
    hidden: tuple[int, ...]
    head: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.kind not in TOWERS:
            raise InputError(f"network.name is {self.kind!r}; it must be one of {', '.join(TOWERS)}")
        if self.lookback < 1:
            raise InputError(f"network.lookback is {self.lookback}; it must be at least 1")
        if not self.head or min((*self.hidden, *self.head)) < 1:
            raise InputError(
                f"network.hidden and head are {self.hidden} and {self.head}; widths are positive, head has at least one"
            )


class Frozen(nnx.Variable):
    """An array that is part of the policy and never trained: the normaliser's."""


class Tower(Protocol):
    """One network from normalised windows and account weights to outputs, in its two halves."""

    def embed(self, windows: Float[Array, "*N L A F"]) -> Float[Array, "..."]: ...

    def outputs(self, embedding: Float[Array, "..."], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R out"]: ...


@functools.cache
def _orthogonal(scale: float) -> nnx.Initializer:
    # A layer keeps its initialiser, and functions are equal only if they are one: a new one would make every policy a new
    # graph, and whatever takes the graph as static would be compiled again for it.
    return nnx.initializers.orthogonal(scale)


def _dense(inputs: int, outputs: int, rngs: nnx.Rngs, *, scale: float = HIDDEN_SCALE, use_bias: bool = True) -> nnx.Linear:
    return nnx.Linear(inputs, outputs, use_bias=use_bias, kernel_init=_orthogonal(scale), rngs=rngs)


def _layers(widths: tuple[int, ...], rngs: nnx.Rngs) -> nnx.List[nnx.Linear]:
    return nnx.List([_dense(a, b, rngs) for a, b in itertools.pairwise(widths)])


def _apply(layers: nnx.List[nnx.Linear], x: Float[Array, "*N w"]) -> Float[Array, "*N v"]:
    for layer in layers:
        x = jnp.tanh(layer(x))
    return x


class MLP(nnx.Module):
    """A tanh MLP over the whole window of all assets; the account's weights join at the head's first layer.

    With hidden (128,) and head (128,) it is the usual 2 x 128 network, the account entering at the second layer.
    """

    def __init__(self, shape: NetworkShape, outputs: int, *, output_scale: float, rngs: nnx.Rngs):
        inputs = shape.lookback * shape.assets * shape.features
        self.encoder = _layers((inputs, *shape.hidden), rngs)
        self.market = _dense((inputs, *shape.hidden)[-1], shape.head[0], rngs)
        self.account = _dense(shape.assets, shape.head[0], rngs, use_bias=False)
        self.head = _layers(shape.head, rngs)
        self.output = _dense(shape.head[-1], outputs, rngs, scale=output_scale)

    def embed(self, windows: Float[Array, "*N L A F"]) -> Float[Array, "*N H"]:
        return self.market(_apply(self.encoder, windows.reshape(*windows.shape[:-3], -1)))

    def outputs(self, embedding: Float[Array, "*N H"], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R out"]:
        hidden = jnp.tanh(embedding[..., None, :] + self.account(weights))
        return self.output(_apply(self.head, hidden))


class PerAsset(nnx.Module):
    """One tanh network applied to every asset, which sees the others through their mean: permuting assets permutes outputs.

    The head sees the asset's own weight and cash. With `outputs` = A + 1 it gives one number for every asset and one, from the
    mean over assets, for cash; with `outputs` = 1 only the latter.
    """

    def __init__(self, shape: NetworkShape, outputs: int, *, output_scale: float, rngs: nnx.Rngs):
        inputs = shape.lookback * shape.features
        width = (inputs, *shape.hidden)[-1]
        self.encoder = _layers((inputs, *shape.hidden), rngs)
        self.market = _dense(width, shape.head[0], rngs)
        self.context = _dense(width, shape.head[0], rngs, use_bias=False)
        self.account = _dense(2, shape.head[0], rngs, use_bias=False)
        self.head = _layers(shape.head, rngs)
        self.pooled = _dense(shape.head[-1], 1, rngs, scale=output_scale)
        self.each = _dense(shape.head[-1], 1, rngs, scale=output_scale) if outputs > 1 else None

    def embed(self, windows: Float[Array, "*N L A F"]) -> Float[Array, "*N A H"]:
        by_asset = jnp.moveaxis(windows, -2, -3)
        encoded = _apply(self.encoder, by_asset.reshape(*by_asset.shape[:-2], -1))
        return self.market(encoded) + self.context(jnp.mean(encoded, axis=-2, keepdims=True))

    def outputs(self, embedding: Float[Array, "*N A H"], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R out"]:
        cash = 1 - jnp.sum(weights, axis=-1, keepdims=True)
        own, idle = self.account.kernel[...]
        # Written out: as a matrix product with an inner dimension of two, this layer takes twice as long as all the others.
        account = weights[..., None] * own + cash[..., None] * idle
        hidden = _apply(self.head, jnp.tanh(embedding[..., None, :, :] + account))
        pooled = self.pooled(jnp.mean(hidden, axis=-2))
        if self.each is None:
            return pooled
        return jnp.concatenate([self.each(hidden)[..., 0], pooled], axis=-1)


TOWERS: dict[str, type[MLP] | type[PerAsset]] = {"mlp": MLP, "per_asset": PerAsset}


class Policy(nnx.Module):
    """Actor, critic and normaliser. The actor gives the mean of a Gaussian over logits of the assets and, last, cash.

    `log_std` is the Gaussian's logarithmic standard deviation, one number for all logits.
    """

    def __init__(self, shape: NetworkShape, normaliser: Normaliser, *, log_std: float, rngs: nnx.Rngs):
        if normaliser.mean.shape != (shape.features,):
            raise InputError(f"the normaliser is for {normaliser.mean.shape[0]} features, the network for {shape.features}")
        tower = TOWERS[shape.kind]
        self.shape = shape
        self.actor = tower(shape, shape.assets + 1, output_scale=0.01, rngs=rngs)
        self.critic = tower(shape, 1, output_scale=1.0, rngs=rngs)
        self.log_std = nnx.Param(jnp.asarray(log_std, jnp.float32))
        self.mean = Frozen(jnp.asarray(normaliser.mean, jnp.float32))
        self.std = Frozen(jnp.asarray(normaliser.std, jnp.float32))
        self.clip = Frozen(jnp.asarray(normaliser.clip, jnp.float32))

    def normalise(self, features: Float[Array, "*N F"]) -> Float[Array, "*N F"]:
        """Features in units of the training span's standard deviations, within +- clip: part of the policy."""
        return normalise(features, Normaliser(self.mean[...], self.std[...], self.clip[...]), xp=jnp)

    def embed(self, windows: Float[Array, "*N L A F"]) -> tuple[Array, Array]:
        """Encode normalised windows, once for all accounts: (actor's embedding, critic's)."""
        return self.actor.embed(windows), self.critic.embed(windows)

    def encode(self, windows: Float[Array, "*N L A F"]) -> tuple[Array, Array]:
        """Encode windows of raw features."""
        return self.embed(self.normalise(windows))

    def logits(self, embedding: tuple[Array, Array], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R A+1"]:
        return self.actor.outputs(embedding[0], weights)

    def value(self, embedding: tuple[Array, Array], weights: Float[Array, "*N R A"]) -> Float[Array, "*N R"]:
        return self.critic.outputs(embedding[1], weights)[..., 0]


def make_policy(shape: NetworkShape, normaliser: Normaliser, *, log_std: float = -0.5, key: PRNGKeyArray) -> Policy:
    """A policy with fresh parameters: orthogonal layers, an actor whose untrained logits are nearly equal."""
    return Policy(shape, normaliser, log_std=log_std, rngs=nnx.Rngs(key))


def target_weights(logits: Float[Array, "*N K"]) -> Float[Array, "*N K-1"]:
    """Softmax over assets and cash; the share of cash, last, is left out."""
    return jax.nn.softmax(logits, axis=-1)[..., :-1]


def decide(policy: Policy, window: Float[Array, "L A F"], weights: Float[Array, "A"]) -> Float[Array, "A"]:
    """One deterministic decision, the graph that is exported: raw features and asset weights in, target weights out.

    Axes of one tick and one account stay until the end: a dense layer exports to ONNX as Gemm, which takes matrices only.
    """
    return target_weights(policy.logits(policy.encode(window[None]), weights[None, None]))[0, 0]

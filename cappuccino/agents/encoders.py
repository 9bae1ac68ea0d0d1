"""Encoders of bars: rows of features in, one embedding for every window of `lookback` rows out.

Whatever an encoder is given, W rows, it answers with S = W - L + 1 embeddings, the k-th of the window that begins at row k.
A single window (W = L) gives one; a stretch of bars gives one for each of its bars without reading any bar twice, where the
architecture allows: convolution and attention compute each bar's intermediate values once for all the windows that share it,
and a dense layer over the window shares some of its multiplications.

Axes: *N stretches, W rows, S windows, F features.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Protocol

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from cappuccino.extensions import add

HIDDEN_SCALE = 2**0.5


@functools.cache
def _orthogonal(scale: float) -> nnx.Initializer:
    # A layer keeps its initialiser, and functions are equal only if they are one: a new one would make every policy a new
    # graph, and whatever takes the graph as static would be compiled again for it.
    return nnx.initializers.orthogonal(scale)


def dense(inputs: int, outputs: int, rngs: nnx.Rngs, *, scale: float = HIDDEN_SCALE, use_bias: bool = True) -> nnx.Linear:
    """A dense layer with an orthogonal kernel."""
    return nnx.Linear(inputs, outputs, use_bias=use_bias, kernel_init=_orthogonal(scale), rngs=rngs)


def layers(widths: tuple[int, ...], rngs: nnx.Rngs) -> nnx.List[nnx.Linear]:
    return nnx.List([dense(a, b, rngs) for a, b in itertools.pairwise(widths)])


def apply_tanh(stack: Iterable[nnx.Linear], x: Float[Array, "*N w"]) -> Float[Array, "*N v"]:
    for layer in stack:
        x = jnp.tanh(layer(x))
    return x


def windows_of(rows: Float[Array, "*N W F"], lookback: int) -> Float[Array, "*N S LF"]:
    """Every window of `lookback` rows, flat, oldest row first."""
    outputs = rows.shape[-2] - lookback + 1
    if lookback == 1:
        return rows
    if outputs == 1:
        return rows.reshape(*rows.shape[:-2], 1, -1)
    # As few copies as there can be, of whole rows: each is an operation to compile, and a gather would go through every number.
    if lookback < outputs:
        return jnp.concatenate([rows[..., k : k + outputs, :] for k in range(lookback)], axis=-1)
    features, line = rows.shape[-1], rows.reshape(*rows.shape[:-2], -1)
    return jnp.stack([line[..., k * features : (k + lookback) * features] for k in range(outputs)], axis=-2)


HALVED = 1024
"""Windows of at least so many numbers are halved: of 4,704 the third halving, to 588, gained a few percent only."""


def window_products(rows: Float[Array, "*N W F"], kernel: Float[Array, "L F v"]) -> Float[Array, "*N S v"]:
    """Every window of L rows times the kernel: y[k] = sum over l of rows[k + l] @ kernel[l].

    Neighbouring windows share all rows but one, and so need not be multiplied one by one. Long windows of an even number of rows
    are halved by Winograd's F(2, 2) over even and odd rows x0, x1 and even and odd taps h0, h1 (Winograd 1980, Arithmetic
    Complexity of Computations): with m = x1 * (h0 + h1), the even outputs are (x0 - x1) * h0 + m and the odd ones (x0' - x1) * h1
    + m, x0' being x0 one further. Three products of half the length for two outputs, instead of four.
    """
    lookback, features, width = kernel.shape
    outputs = rows.shape[-2] - lookback + 1
    if outputs < 4 or lookback % 2 or lookback * features < HALVED:
        return windows_of(rows, lookback) @ kernel.reshape(-1, width)
    if outputs % 2:  # one more, which is cut off
        rows = jnp.concatenate([rows, rows[..., -1:, :]], axis=-2)
    even, odd = rows[..., 0::2, :], rows[..., 1::2, :]
    both = window_products(odd, kernel[0::2] + kernel[1::2])
    first = window_products(even[..., :-1, :] - odd, kernel[0::2]) + both
    second = window_products(even[..., 1:, :] - odd, kernel[1::2]) + both
    paired = jnp.stack([first, second], axis=-2)
    return paired.reshape(*paired.shape[:-3], -1, width)[..., :outputs, :]


class WindowEncoder(nnx.Module):
    """Tanh layers over a whole window side by side, oldest row first; with no widths the window itself."""

    def __init__(self, lookback: int, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        self.lookback = lookback
        self.width = (lookback * features, *widths)[-1]
        self.layers = layers((lookback * features, *widths), rngs)

    def __call__(self, rows: Float[Array, "*N W F"]) -> Float[Array, "*N S v"]:
        if self.lookback in (1, rows.shape[-2]) or not self.layers:
            return apply_tanh(self.layers, windows_of(rows, self.lookback))
        first = self.layers[0]
        assert first.bias is not None
        products = window_products(rows, first.kernel[...].reshape(self.lookback, rows.shape[-1], -1))
        return apply_tanh(self.layers[1:], jnp.tanh(products + first.bias[...]))


def dilations_of(lookback: int) -> tuple[int, ...]:
    """1, 2, 4, ..., the last one cut so that they sum to lookback - 1: the rows before the last that the output sees."""
    found: list[int] = []
    while sum(found) < lookback - 1:
        found.append(min(2 ** len(found), lookback - 1 - sum(found)))
    return tuple(found)


class ConvEncoder(nnx.Module):
    """A dilated causal convolution with two taps a layer (van den Oord et al. 2016) and residual connections.

    The dilations double until the window is covered exactly. Without padding: row k of the output sees rows k to k + L - 1.
    """

    def __init__(self, lookback: int, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        (self.width,) = widths
        self.dilations = dilations_of(lookback)
        self.inputs = dense(features, self.width, rngs)
        # Two dense layers and a shift, not a convolution: inside a scan, XLA runs a convolution on one core of a CPU.
        self.now = nnx.List([dense(self.width, self.width, rngs) for _ in self.dilations])
        self.past = nnx.List([dense(self.width, self.width, rngs, use_bias=False) for _ in self.dilations])

    def __call__(self, rows: Float[Array, "*N W F"]) -> Float[Array, "*N S v"]:
        x = jnp.tanh(self.inputs(rows))
        for dilation, now, past in zip(self.dilations, self.now, self.past, strict=True):
            present, before = x[..., dilation:, :], x[..., :-dilation, :]
            x = present + jnp.tanh(now(present) + past(before))
        return x


BLOCKS = 2
HEADS = 4


def spans_of(lookback: int, blocks: int = BLOCKS) -> tuple[int, ...]:
    """Rows that each block attends to, the present one included, such that blocks in a row see exactly `lookback` rows."""
    before, rest = divmod(lookback - 1, blocks)
    return tuple(1 + before + (block < rest) for block in range(blocks))


class AttentionBlock(nnx.Module):
    """Pre-norm causal attention of each row to itself and the `span` - 1 rows before it, then a tanh layer; both residual.

    Scores have a learnt bias by distance, so that a row's place in the stretch does not matter.
    """

    def __init__(self, span: int, width: int, heads: int, rngs: nnx.Rngs):
        self.span, self.heads = span, heads
        self.norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)
        self.query, self.key, self.value = (dense(width, width, rngs, scale=1.0, use_bias=False) for _ in range(3))
        self.mix = dense(width, width, rngs, scale=1.0)
        self.distance = nnx.Param(jnp.zeros((heads, span)))
        self.feed_norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)
        self.feed = dense(width, width, rngs)

    def __call__(self, x: Float[Array, "*N W v"]) -> Float[Array, "*N S v"]:
        rows, width = x.shape[-2:]
        outputs = rows - self.span + 1
        normed = self.norm(x)

        def by_head(values: Float[Array, "*N n v"]) -> Float[Array, "*N h n d"]:
            return jnp.moveaxis(values.reshape(*values.shape[:-1], self.heads, width // self.heads), -2, -3)

        query = by_head(self.query(normed[..., self.span - 1 :, :]))
        key, value = by_head(self.key(normed)), by_head(self.value(normed))
        # Output k stands at row k + span - 1 and sees rows k to k + span - 1.
        back = jnp.arange(outputs)[:, None] + (self.span - 1) - jnp.arange(rows)
        seen = (back >= 0) & (back < self.span)
        bias = self.distance[...][:, jnp.clip(back, 0, self.span - 1)]
        scores = query @ jnp.swapaxes(key, -1, -2) / (width // self.heads) ** 0.5 + bias
        shares = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf), axis=-1)
        mixed = jnp.moveaxis(shares @ value, -3, -2)
        x = x[..., self.span - 1 :, :] + self.mix(mixed.reshape(*mixed.shape[:-2], width))
        return x + jnp.tanh(self.feed(self.feed_norm(x)))


class AttentionEncoder(nnx.Module):
    """A small causal transformer over bars (Vaswani et al. 2017) whose blocks attend within a sliding span."""

    def __init__(self, lookback: int, features: int, widths: tuple[int, ...], rngs: nnx.Rngs):
        (self.width,) = widths
        self.inputs = dense(features, self.width, rngs, scale=1.0)
        self.blocks = nnx.List([AttentionBlock(span, self.width, HEADS, rngs) for span in spans_of(lookback)])

    def __call__(self, rows: Float[Array, "*N W F"]) -> Float[Array, "*N S v"]:
        x = self.inputs(rows)
        for block in self.blocks:
            x = block(x)
        return x


class Encoder(Protocol):
    """Rows (*N, W, F) of one asset to an embedding (*N, S, width) of every window of `lookback` rows, S = W - lookback + 1.

    A Flax NNX module, made with (lookback, features, widths, rngs), widths being `network.hidden`. Embedding k depends on rows k to
    k + lookback - 1 and on nothing else, however many rows there are.
    """

    width: int

    def __call__(self, rows: Float[Array, "*N W F"]) -> Float[Array, "*N S v"]:
        """The embeddings."""
        ...


ENCODERS: dict[str, Callable[[int, int, tuple[int, ...], nnx.Rngs], Encoder]] = {
    "per_asset": WindowEncoder,
    "conv": ConvEncoder,
    "transformer": AttentionEncoder,
}
"""Encoders of one asset's rows, by the network's name."""


def add_encoder(name: str, encoder: Callable[[int, int, tuple[int, ...], nnx.Rngs], Encoder]) -> None:
    """Make an encoder of your own the network `network.name=NAME`: one function for every asset, blind to their order."""
    add("network", ENCODERS, name, encoder)

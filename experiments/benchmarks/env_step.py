"""The environment's step with the actions given: 8,192 accounts, 7 assets, ours against a parallel Numba loop (`numba_env`).

Ours is `Environment.step` in one compiled scan, its clocks divided over as many devices as there are cores, or on one device; the
state stays there, and a step is over for all accounts of a device before the next begins, as it has to be where a policy chooses
the actions. The loop is measured in two ways: called once a step, which is
what it could do for a policy, and called once for all steps, a block of accounts at a time, which only actions known beforehand
allow and which keeps its state in the first-level cache. Everything is float32. Both compute reward (penalties included),
termination, log growth and the account's state from the same actions and market, which is checked before anything is timed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from cappuccino.assemble import env_params, environment
from cappuccino.bars.synthetic import synthetic_bars
from cappuccino.bench.interface import Benchmark, Row, Timings, interleaved
from cappuccino.config.composition import compose
from cappuccino.env import Environment, EnvParams, EnvState, starts_at
from cappuccino.market import Market

ASSETS = ("BTC", "ETH", "SOL", "XRP", "LTC", "LINK", "DOGE")
JUDGED = (128, 64)
"""Clocks x accounts at which the bar is judged: the shared clocks of the default configuration, with more accounts on each."""
OTHERS = ((64, 128), (16, 512), (1024, 8))
"""Further layouts of the same 8,192 accounts, told and not judged."""
MUST, AIM = 1.5, 2.5
TOLERANCE, AGREE = 1e-4, 0.999
"""Reward and log growth may differ by TOLERANCE (scale 1), and in a share of 1 - AGREE by more: a float32 rounding that crosses a
limit or an increment changes an order or a restart."""


class Case(NamedTuple):
    """A market and what a rollout of K steps reads. Weights (K, A, G, R), fresh (A, G, R)."""

    env: Environment
    market: Market
    params: EnvParams
    state: EnvState
    weights: Float[Array, "K A G R"]
    fresh: Float[Array, "A G R"]


def case(clocks: int, accounts: int, steps: int, assets: tuple[str, ...] = ASSETS) -> Case:
    """The default configuration on a synthetic market of 4,000 bars, one bar in a hundred missing, random actions."""
    config = compose("train", [f"env.clocks={clocks}", f"env.accounts={accounts}", "env.reward.scale=1"])
    bars = synthetic_bars("realistic", assets=assets, bars=4000, seed=0)
    there = np.random.default_rng(0).random(bars.mask.shape) >= 0.01
    market = Market(
        open=jnp.asarray(bars.open, jnp.float32),
        close=jnp.asarray(bars.close, jnp.float32),
        features=jnp.zeros((*bars.mask.shape, 1), jnp.float32),
        tradable=jnp.asarray(bars.mask & there),
    )
    env, params = environment(config.env), env_params(config.costs, config.risk, config.env, assets)
    key_state, key_fresh, *keys = jax.random.split(jax.random.key(0), steps + 2)
    draw = jax.jit(functools.partial(env.random_weights, len(assets), jnp.float32))
    state = jax.jit(env.begin)(market, starts_at(np.arange(4000 - steps - 1)), params, key=key_state)
    weights = jnp.stack([draw(key=key) for key in keys])
    return Case(env, market, params, state, weights, draw(key=key_fresh))


def ours(case: Case, devices: int = 1) -> Callable[[], Any]:
    """The rollout in one compiled scan: state, (reward, terminated, log growth), all (K, G, R). Clocks divide over the devices."""
    mesh = Mesh(np.array(jax.devices()[:devices]), ("clocks",))

    def spread(leaf: Array, axis: int) -> Array:
        places = (*[None] * axis, "clocks") if leaf.ndim else ()
        return jax.device_put(leaf, NamedSharding(mesh, PartitionSpec(*places)))

    account, rest = case.state.account, case.state._replace(account=())
    state = jax.tree.map(lambda leaf: spread(leaf, 0), rest)._replace(
        account=jax.tree.map(lambda leaf: spread(leaf, leaf.ndim - 2), account)
    )
    given = (
        state,
        spread(case.weights, 2),
        spread(case.fresh, 1),
        *jax.device_put((case.market, case.params), NamedSharding(mesh, PartitionSpec())),
    )

    @jax.jit
    def rollout(state: EnvState, weights: Array, fresh: Array, market: Market, params: EnvParams) -> Any:
        def body(state: EnvState, target: Array) -> tuple[EnvState, tuple[Array, Array, Array]]:
            state, step = case.env.step(state, target, fresh, market, params)
            return state, (step.reward, step.terminated, step.log_growth)

        return jax.lax.scan(body, state, weights)

    return lambda: jax.block_until_ready(rollout(*given))


def theirs(case: Case, *, at_once: bool) -> Callable[[], Any]:
    """The same by the Numba loop, in one call or in one call a step. Copying the first state in is part of both, as of ours."""
    from numba_env import NumbaEnv

    first, now = (NumbaEnv.of(case.state, case.market, case.params) for _ in range(2))
    weights, fresh = np.array(case.weights), np.array(case.fresh)
    count, _, clocks, accounts = weights.shape
    reward, growth = (np.empty((count, clocks, accounts), weights.dtype) for _ in range(2))
    terminated = np.empty(reward.shape, bool)

    def rollout() -> Any:
        for name in ("tick", "cash", "holdings", "equity", "peak"):
            getattr(now, name)[...] = getattr(first, name)
        for k in [slice(None)] if at_once else [slice(k, k + 1) for k in range(count)]:
            now.step(weights[k], fresh, reward[k], terminated[k], growth[k])
        return now, (reward, terminated, growth)

    return rollout


def check(ours: Any, theirs: Any) -> dict[str, float]:
    """Largest difference and share within the tolerance. Raises AssertionError where the two do not do the same."""
    (state, mine), (other, their) = ours, theirs
    found = {}
    pairs = {
        "reward": (mine[0], their[0]),
        "terminated": (mine[1], their[1]),
        "log_growth": (mine[2], their[2]),
        **{name: (getattr(state.account, name) / 1e5, getattr(other, name) / 1e5) for name in ("cash", "equity", "peak")},
    }
    for name, pair in pairs.items():
        apart = np.abs(np.subtract(*(np.asarray(x, np.float64) for x in pair)))
        found[name] = float(np.mean(apart <= TOLERANCE))
        assert found[name] >= AGREE, f"{name} agrees in {found[name]:.4%} only, at most {apart.max():.2g} apart"
    return found


def measure(small: bool) -> Iterator[Row]:
    """The judged layout against both ways of calling the loop, then our rate at other layouts."""
    jax.config.update("jax_num_cpu_devices", min(4, os.cpu_count() or 1))
    clocks, accounts = (4, 8) if small else JUDGED
    steps, repeats = (4, 5) if small else (64, 15)
    assets = ASSETS[:2] if small else ASSETS  # few compile fast
    judged = case(clocks, accounts, steps, assets)
    once, stepwise = theirs(judged, at_once=True), theirs(judged, at_once=False)
    sides = {
        "ours": ours(judged, len(jax.devices())),
        "ours, one device": ours(judged),
        "numba, step by step": stepwise,
        "numba, all steps at once": once,
    }
    timings = interleaved(sides, repeats)
    details = {
        "layout": f"{clocks} clocks x {accounts} accounts, {len(assets)} assets, {steps} steps a repeat, float32",
        "share_that_agrees": check(sides["ours"](), once()),
    }
    check(sides["ours"](), stepwise())
    work = clocks * accounts * steps / 1e6
    for side in ("numba, step by step", "numba, all steps at once"):
        ratios = timings.speed_ups("ours", over=side)
        yield Row(f"ours over {side}", ratios, MUST, AIM, unit="x", warm_up_s=timings.warm_up_s, details=details)
    for side in sides:
        yield _rate(f"{side}, {clocks} x {accounts}", timings, side, work)
    for layout in () if small else OTHERS:
        timings = interleaved({"ours": ours(case(*layout, steps), len(jax.devices()))}, repeats)
        yield _rate(f"ours, {layout[0]} x {layout[1]}", timings, "ours", work)


def _rate(label: str, timings: Timings, side: str, work: float) -> Row:
    return Row(label, timings.rates(side, work), unit="M steps/s")


BENCHMARK = Benchmark(
    question="How many times as fast as a parallel Numba loop is the environment's step, with the actions given?",
    measure=measure,
    requires=("numba",),
)

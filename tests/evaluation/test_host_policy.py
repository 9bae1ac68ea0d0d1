"""A policy asked bar by bar on the host trades as the same policy does inside the compiled backtest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from flax import nnx
from made_markets import LOOKBACK, made_market, made_params, made_policy

from cappuccino.agents.networks import Policy, decide
from cappuccino.evaluation.backtest import backtest_span, policy_strategy, span_rows, table_strategy
from cappuccino.evaluation.host_policy import host_targets
from cappuccino.evaluation.splits import Span

SPAN = Span("all", 0, 130)


def on_the_host(policy: Policy, seen: list[np.ndarray]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The graph that is exported, called from outside; keeps the weights that it is shown."""
    compiled = nnx.jit(lambda policy, window, weights: decide(policy, window, weights))

    def ask(window: np.ndarray, weights: np.ndarray) -> np.ndarray:
        assert window.dtype == weights.dtype == np.float32
        seen.append(weights)
        return np.asarray(compiled(policy, window, weights))

    return ask


def test_decisions_on_the_host_are_those_of_the_backtest():
    market, spec = made_market((60, 70), holes=0.1, seed=21)
    policy, params = made_policy(kind="per_asset"), made_params()
    policy = nnx.merge(*nnx.split(policy))
    policy.band[...] = np.float32(0.05)  # what is held decides too
    inside = backtest_span(policy_strategy(policy, LOOKBACK), market, spec, SPAN, LOOKBACK, params)
    seen: list[np.ndarray] = []
    targets = host_targets(on_the_host(policy, seen), market, span_rows(spec, SPAN, LOOKBACK), params, LOOKBACK)
    replayed = backtest_span(table_strategy(targets), market, spec, SPAN, LOOKBACK, params)
    np.testing.assert_allclose(targets, inside.targets, atol=1e-5)
    np.testing.assert_allclose(replayed.equity, inside.equity, rtol=1e-5)
    known = np.where(replayed.begins[:, None], 0, replayed.weights[:-1])
    np.testing.assert_allclose(np.stack(seen), known, atol=1e-6)
    assert replayed.begins.sum() == 2
    assert np.ptp(targets, axis=0).min() > 0.1

"""The examples of extensions do what the guide says: each is added by its name, proven where there is a proof, and trained or traded."""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from rich.console import Console

from cappuccino import extensions
from cappuccino.agents.encoders import ENCODERS
from cappuccino.commands import trade
from cappuccino.config import compose
from cappuccino.env import REWARDS, Outcome, RewardWeights
from cappuccino.errors import InputError, Refusal
from cappuccino.features import INDICATORS
from cappuccino.features.series import Series
from cappuccino.risk import Limits, Marks, RiskState, first, limited
from cappuccino.risk.rules import OWN_RULES
from cappuccino.trading import venue

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
KINDS = {"feature": INDICATORS, "reward": REWARDS, "network": ENCODERS, "risk_rule": OWN_RULES}


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All examples but the broker, as CAPPUCCINO_EXTENSIONS adds them; the tables are afterwards what they were."""
    before = [(table, dict(table)) for table in KINDS.values()]
    monkeypatch.setattr(extensions, "_added", {})
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setenv(extensions.VARIABLE, " ".join(KINDS))
    extensions.load()
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)
    for name in KINDS:
        del sys.modules[name]


def test_what_is_added_is_known_by_name_and_a_taken_name_is_refused(added: None) -> None:
    del added
    config = compose(
        "train", ["env.reward.name=cautious_growth", "network.name=recency", "risk=default", "+risk.own.max_step=0.1"]
    )
    assert (config.env.reward.name, config.network.name, config.risk.limits.own) == (
        "cautious_growth",
        "recency",
        {"max_step": 0.1},
    )
    for module in KINDS:
        with pytest.raises(InputError, match="already; a name of your own is right"):
            importlib.reload(sys.modules[module])


def test_what_is_not_added_is_refused_by_name() -> None:
    for words, said in (
        (["env.reward.name=cautious_growth"], "env.reward.name is 'cautious_growth'; it must be one of"),
        (
            ["risk=default", "+risk.own.max_step=0.1"],
            "it must be one of none: there is no risk rule of your own",
        ),
    ):
        with pytest.raises(InputError, match=said):
            compose("train", words)
    with pytest.raises(InputError, match=r"broker\.name names 'http'"):
        compose("trade", ["artifact=x", "broker=own", "broker.name=http"])


def test_a_module_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(extensions.VARIABLE, "no_such_module_of_mine")
    with pytest.raises(InputError, match="CAPPUCCINO_EXTENSIONS names 'no_such_module_of_mine', which is not there"):
        extensions.load()


def test_the_feature_knows_no_unit_and_is_still_where_the_market_is(added: None) -> None:
    del added
    rng, rows = np.random.default_rng(1), 200
    low = np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    high, stamps = low * np.exp(rng.uniform(0, 0.02, rows)), 3600 * np.arange(rows)
    close = low * (high / low) ** rng.uniform(0, 1, rows)
    feature = INDICATORS["close_place_12"]

    def values(scale: float) -> np.ndarray:
        return feature.compute(Series(stamps, scale * low, scale * high, scale * low, scale * close, np.ones(rows)))

    found = values(1.0)[feature.warmup :]
    np.testing.assert_allclose(found, values(1e4)[feature.warmup :], atol=1e-12)
    assert -0.5 <= found.min() < found.max() <= 0.5
    flat = np.full(rows, 7.0)
    assert (feature.compute(Series(stamps, flat, flat, flat, flat, 0 * flat))[feature.warmup :] == 0).all()


def test_the_reward_is_log_growth_but_for_falls(added: None) -> None:
    del added
    growth = jnp.array([0.98, 1.0, 1.02])
    nothing = jnp.zeros(3)
    outcome = Outcome(growth, jnp.ones(3), nothing, nothing, jnp.zeros((2, 3)))
    value, state = REWARDS["cautious_growth"].step((), outcome, RewardWeights(*[nothing[0]] * 5))
    assert state == ()
    difference = np.asarray(value) - np.log(np.asarray(growth))
    np.testing.assert_allclose(difference, [-20 * np.log(0.98) ** 2, 0, 0], rtol=1e-4, atol=1e-7)


def test_an_embedding_of_the_network_depends_on_its_window_alone(added: None) -> None:
    del added
    lookback, features = 5, 3
    encoder = ENCODERS["recency"](lookback, features, (8,), nnx.Rngs(0))
    rows = jax.random.normal(jax.random.key(1), (2, 9, features))
    stretch = encoder(rows)
    assert stretch.shape == (2, 5, 8)
    for k in range(5):
        np.testing.assert_allclose(encoder(rows[:, k : k + lookback])[:, 0], stretch[:, k], atol=1e-6)


def test_the_risk_rule_slows_every_asset_in_trader_and_environment_alike(added: None) -> None:
    del added
    marks = Marks(np.array([3.0, 0.0]), np.array([100.0, 50.0]), np.float64(1_000.0), np.int64(7))
    targets, limits = np.array([0.0, 0.9]), Limits(own={"max_step": 0.2})

    def allowed(xp: object, targets: object, marks: Marks, limits: Limits) -> np.ndarray:
        state: RiskState = first(marks, xp=xp)
        return np.asarray(limited(targets, state, marks, limits, xp=xp))

    on_host = allowed(np, targets, marks, limits)
    np.testing.assert_allclose(on_host, [0.1, 0.2])
    on_device = jax.jit(lambda *of: limited(of[0], first(of[1], xp=jnp), of[1], of[2], xp=jnp))
    of = jax.tree.map(jnp.float32, (targets, marks._replace(day=np.float64(7)), limits))
    np.testing.assert_allclose(on_device(*of), on_host, atol=1e-6)


@pytest.mark.slow
def test_the_broker_passes_the_acceptance_table() -> None:
    path = os.pathsep.join([str(ROOT), str(EXAMPLES)])
    named = {"PYTHONPATH": path, extensions.VARIABLE: "broker", "ACCEPTANCE": "http", "PYTEST_ADDOPTS": ""}
    words = [sys.executable, "-m", "pytest", "tests/acceptance/test_acceptance.py", "-n", "0", "-p", "no:cacheprovider", "-rs"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **named}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("SKIPPED") == 1, done.stdout  # wrong keys, which are the broker's own


@pytest.mark.parametrize(
    ("real_money", "live", "error", "said"),
    [
        (True, False, Refusal, "broker mine trades real money: refused unless live trading was asked for"),
        (False, True, InputError, "live=true goes with real money; broker mine says that it moves none"),
        (True, True, InputError, r"nowhere/manifest\.json is missing"),  # to be confirmed for an artifact, which is not there
    ],
)
def test_a_broker_of_ones_own_is_opened_for_real_money_only_if_that_was_asked_for_and_confirmed(
    monkeypatch: pytest.MonkeyPatch, real_money: bool, live: bool, error: type[Exception], said: str
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(extensions, "_added", {})
    monkeypatch.setattr(venue, "BROKERS", {})
    monkeypatch.setattr(trade, "BROKERS", venue.BROKERS)
    venue.add_broker("mine", lambda *of: opened.append(of), real_money=real_money)  # type: ignore[arg-type]
    config = compose("trade", ["artifact=nowhere", "broker=own", "broker.name=mine", f"live={live}"])
    with pytest.raises(error, match=said), trade.venue_of(config, Console()):
        pass
    assert opened == []

"""The Gymnasium environments keep Gymnasium's contract, agree with each other, and are the JAX environment."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapter_cases import (
    ACCOUNTS,
    ASSETS,
    BARS,
    CLOCKS,
    EPISODE,
    FEATURES,
    LOOKBACK,
    WARMUP,
    Case,
    cases,
    draw_actions,
    draw_case,
    of,
)
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from cappuccino.adapters import accounts as module
from cappuccino.adapters.gymnasium_envs import LOGIT_BOUND, MarketEnv, MarketVectorEnv, from_config
from cappuccino.agents.networks import target_weights
from cappuccino.config import compose
from cappuccino.env import REWARDS, mark, starts_at, trade
from cappuccino.env.environment import bar_at
from cappuccino.errors import InputError

NUMBER = CLOCKS * ACCOUNTS
STEPS = 2 * EPISODE + 3
FEW = settings(max_examples=8, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def warnings_of(env: MarketEnv) -> list[str]:
    """What `check_env` warns of; it can compare render modes only of registered environments, and there are none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env, skip_render_check=True)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("limit", [1.0, 1e-6])
def test_gymnasiums_checker_warns_of_nothing_where_logits_are_within_one(limit):
    assert warnings_of(draw_case(limit=limit).single(logit_bound=1.0)) == []


def test_gymnasiums_checker_warns_only_that_logits_are_not_within_one():
    """Within one, a softmax over four could give an asset no more than 71 %: the wide bound is deliberate."""
    (warning,) = warnings_of(draw_case().single())
    assert "symmetric and normalized" in warning


def assert_near(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Infos of one account agree to 2e-6, of the capital where it is money; rows and counts exactly."""
    assert one.keys() == other.keys()
    for name in one:
        atol = {"row": 0, "refused": 0, "equity": 2e-2, "fees": 2e-2}.get(name, 2e-6)
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("reward", REWARDS)
@given(seed=SEEDS, data=st.data())
@FEW
def test_accounts_of_the_vector_environment_are_single_environments(reward, seed, data):
    """Over two episodes and into a third, given the starts, weights and actions; flags exactly.

    To 2e-6 and not bit for bit: compiled for other shapes, XLA fuses other products into sums. For the same reason quantities
    are not cut here: a last bit would decide a whole step of the increment. The reward is 100-fold, and the differential Sharpe
    ratio divides by a small variance.
    """
    case = data.draw(cases(reward=reward, increment=0.0))
    vector = case.vector()
    singles = [case.single() for _ in range(NUMBER)]
    observations, infos = vector.reset(seed=seed)

    def begin(account: int, *, in_place: bool) -> None:
        info = of(infos, account)
        options = {"weights": info["initial_weights"]} | ({} if in_place else {"row": info["row"]})
        observation, own = singles[account].reset(options=options)
        assert_near(own, info)
        np.testing.assert_allclose(observation, observations[account], atol=2e-6)

    for account in range(NUMBER):
        begin(account, in_place=False)
    for actions in draw_actions(seed, STEPS, NUMBER):
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        assert observations in vector.observation_space
        for account, single in enumerate(singles):
            observation, value, *flags, info = single.step(actions[account])
            assert flags == [terminated[account], truncated[account]]
            np.testing.assert_allclose(value, rewards[account], rtol=1e-5, atol=5e-4)
            if not any(flags):
                np.testing.assert_allclose(observation, observations[account], atol=2e-6)
                assert_near(info, of(infos, account))
                continue
            assert infos["_final_obs"][account]
            np.testing.assert_allclose(observation, infos["final_obs"][account], atol=2e-6)
            assert_near(info, of(infos["final_info"], account))
            begin(account, in_place=not truncated[account])


def test_the_comparison_above_meets_terminations_truncations_and_both_at_once():
    vector = draw_case(1, move=0.03, limit=0.0213).vector()
    vector.reset(seed=1)
    flags = np.array([vector.step(actions)[2:4] for actions in draw_actions(1, STEPS, NUMBER)])
    assert flags[:, 0].any()
    assert flags[:, 1].all(axis=1).sum() == 2
    assert flags.all(axis=1).any()


@given(case=cases(), seed=SEEDS)
@FEW
def test_one_account_is_bit_for_bit_what_gymnasium_makes_of_a_single_environment(case, seed):
    """SyncVectorEnv with SAME_STEP autoreset says what the vector environment has to return, random draws included."""
    one = case.sized(1, 1).vector()
    same_step = SyncVectorEnv([case.single], autoreset_mode=AutoresetMode.SAME_STEP)
    assert one.metadata["autoreset_mode"] is same_step.metadata["autoreset_mode"]
    assert (one.observation_space, one.action_space) == (same_step.observation_space, same_step.action_space)
    chex.assert_trees_all_equal(one.reset(seed=seed), same_step.reset(seed=seed))
    for actions in draw_actions(seed, STEPS, 1):
        (*ours, infos), (*theirs, expected) = one.step(actions), same_step.step(actions)
        chex.assert_trees_all_equal(ours, theirs)
        assert [array.dtype for array in ours] == [array.dtype for array in theirs]
        assert infos.keys() == expected.keys()
        final, expected_final = infos.pop("final_obs", [None])[0], expected.pop("final_obs", [None])[0]
        np.testing.assert_array_equal(final, expected_final)
        chex.assert_trees_all_equal(infos, expected)


@functools.partial(jax.jit, static_argnames="env")
def direct_step(state, logits, fresh, market, params, *, env):
    """The state after, the step, the weights observed, and equity and weights of the accounts as they ended."""
    weights = jnp.moveaxis(target_weights(logits), -1, 0)
    bar = bar_at(market, state.tick)
    ended, _ = trade(state.account, weights, bar, params.costs)
    state, out = env.step(state, weights, fresh, market, params)
    return state, out, env.weights(state, market), ended.equity, mark(ended, bar.next_close)


def by_clock(table: np.ndarray) -> np.ndarray:
    return table.reshape(CLOCKS, ACCOUNTS, -1)


@given(case=cases(increment=0.0), seed=SEEDS)
@FEW
def test_the_vector_environment_is_the_jax_environment(case, seed):
    """Rewards, growth, equity, weights, restarts: the JAX environment run by hand, to what another fusion rounds away."""
    vector, env = case.vector(), case.env
    observations, infos = vector.reset(seed=seed)

    def assets_first(weights: np.ndarray) -> jax.Array:
        return jnp.moveaxis(jnp.asarray(by_clock(weights)), -1, 0)

    def opened() -> Any:
        ticks = jnp.asarray(infos["row"][::ACCOUNTS], jnp.int32)
        return env.open(ticks, assets_first(infos["initial_weights"]), case.market, case.params)

    state = opened()
    for actions in draw_actions(seed, STEPS, NUMBER):
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        fresh = infos.get("initial_weights", np.zeros((NUMBER, ASSETS), np.float32))
        logits = jnp.asarray(by_clock(actions))
        state, out, weights, *ended = direct_step(state, logits, assets_first(fresh), case.market, case.params, env=env)
        np.testing.assert_array_equal(terminated, np.ravel(out.terminated))
        assert truncated.tolist() == [int(state.age) == EPISODE] * NUMBER
        np.testing.assert_allclose(rewards, np.ravel(out.reward), rtol=1e-5, atol=5e-4)
        growth = np.zeros(NUMBER)
        for part in (infos, infos.get("final_info", {})):
            growth += part.get("log_growth", 0)
        np.testing.assert_allclose(growth, np.ravel(out.log_growth), atol=2e-6)
        for account in np.flatnonzero(terminated | truncated):
            equity, last = (np.reshape(values, (-1, NUMBER))[:, account] for values in ended)
            np.testing.assert_allclose(infos["final_info"]["equity"][account], equity[0], rtol=2e-6)
            np.testing.assert_allclose(infos["final_obs"][account][-ASSETS:], last, atol=2e-6)
        if truncated.all():
            state = opened()
            continue
        np.testing.assert_allclose(infos["equity"], np.ravel(state.account.equity), rtol=2e-6)
        np.testing.assert_allclose(by_clock(observations)[..., -ASSETS:], np.moveaxis(np.asarray(weights), 0, -1), atol=2e-6)


@given(seed=SEEDS)
@FEW
def test_random_starts_and_weights_are_those_of_the_jax_environment(seed):
    case = draw_case()
    _, infos = case.vector().reset(seed=seed)
    key = jax.random.key(int(np.random.default_rng(np.random.SeedSequence(seed)).integers(2**32)))
    tick, weights = case.env.draw(starts_at(case.starts), ASSETS, jnp.float32, key=key)
    np.testing.assert_array_equal(infos["row"], np.repeat(tick, ACCOUNTS))
    np.testing.assert_allclose(by_clock(infos["initial_weights"]), np.moveaxis(np.asarray(weights), 0, -1), rtol=1e-6)
    assert set(infos["row"]) <= set(case.starts)


def test_an_observation_is_the_normalised_window_and_then_the_weights():
    case = draw_case(3)
    env = case.single()
    given_weights = np.array([0.5, 0.2, 0.1], np.float32)
    observation, info = env.reset(options={"row": 20, "weights": given_weights})
    raw = np.asarray(case.market.features)[20 - LOOKBACK + 1 : 21]
    window = np.clip((raw - 1) / 1.5, -2.5, 2.5)
    np.testing.assert_allclose(observation[:-ASSETS].reshape(LOOKBACK, ASSETS, FEATURES), window, atol=1e-6)
    np.testing.assert_allclose(observation[-ASSETS:], given_weights, atol=1e-6)
    assert info["row"] == 20
    assert info["equity"] == 10_000
    assert (np.abs(window) == 2.5).any()
    assert abs(env.observation_space.low[0]) == env.observation_space.high[0] == 2.5


def run(vector: MarketVectorEnv, seed: int, actions: np.ndarray) -> list[Any]:
    """What a vector environment answers to actions, from a seed."""
    answers: list[Any] = [vector.reset(seed=seed), *[vector.step(action) for action in actions]]
    for *_, infos in answers:
        if "final_obs" in infos:
            infos["final_obs"] = np.stack(infos["final_obs"][infos["_final_obs"]])
    return answers


@given(case=cases(), seed=SEEDS)
@FEW
def test_a_seed_decides_everything(case, seed):
    actions, vector = draw_actions(seed, STEPS, NUMBER), case.vector()
    first = run(vector, seed, actions)
    chex.assert_trees_all_equal(first, run(vector, seed, actions), run(case.vector(), seed, actions))
    (_, infos), *_ = first
    for other in (vector.reset(seed=seed + 1), vector.reset()):
        assert not np.array_equal(infos["initial_weights"], other[1]["initial_weights"])


def test_an_episode_without_a_limit_is_truncated_at_its_last_bar_and_shows_it():
    case = draw_case(2)
    env = case.single()
    observation, info = env.reset(seed=0)
    start = info["row"]
    for step, action in enumerate(draw_actions(0, EPISODE, 1)[:, 0], 1):
        observation, _, terminated, truncated, info = env.step(action)
        assert (terminated, truncated, info["row"]) == (False, step == EPISODE, start + step)
    raw = np.asarray(case.market.features)[start + EPISODE]
    np.testing.assert_allclose(observation[-ASSETS - ASSETS * FEATURES : -ASSETS], np.clip((raw - 1) / 1.5, -2.5, 2.5).ravel())


def test_an_account_that_terminates_goes_on_where_its_clock_stands():
    """All accounts end at the first loss: single and vector restart on the tick, and are truncated with their clock."""
    case = draw_case(4, limit=1e-6, taker_fee=0.05)
    env, vector = case.single(), case.vector()
    _, info = env.reset(seed=0)
    start, lengths = info["row"], []
    for step, action in enumerate(draw_actions(0, EPISODE, 1)[:, 0], 1):
        _, _, terminated, truncated, info = env.step(action)
        assert info["row"] == start + step
        assert truncated == (step == EPISODE)
        if terminated and not truncated:
            lengths.append(step)
            assert info["equity"] != 10_000
            _, info = env.reset()
            assert (info["row"], info["equity"]) == (start + step, 10_000)
    assert lengths
    _, infos = vector.reset(seed=0)
    rows = infos["row"]
    for step, actions in enumerate(draw_actions(0, EPISODE - 1, NUMBER), 1):
        _, _, terminated, truncated, infos = vector.step(actions)
        np.testing.assert_array_equal(infos["row"], rows + step)
        assert not truncated.any()
        np.testing.assert_array_equal(infos.get("_final_obs", np.zeros(NUMBER, bool)), terminated)
        assert (infos["equity"][terminated] == 10_000).all()


def test_a_seed_or_a_row_begins_elsewhere_also_after_a_termination():
    case = draw_case(4, limit=1e-6, taker_fee=0.05)
    for reset, row in (({"options": {"row": 30}}, 30), ({"seed": 5}, case.single().reset(seed=5)[1]["row"])):
        env = case.single()
        env.reset(options={"row": 10, "weights": np.zeros(ASSETS)})
        _, _, terminated, _, _ = env.step([LOGIT_BOUND, 0, 0, 0])
        assert terminated
        assert env.reset(**reset)[1]["row"] == row


LOGITS = np.zeros(ASSETS + 1, np.float32)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (np.array([0, 0, 10.5, 0]), r"\(2,\) is 10.5.*-10.0 to 10.0"),
        (np.array([-10.01, 0, 0, 0]), "-10.01"),
        (np.array([0, np.nan, 0, 0]), "nan"),
        (np.array([0, 0, 0, np.inf]), "inf"),
        (np.array([0, 1e300, 0, 0]), "1e\\+300"),
        (np.zeros(ASSETS), r"\(3,\).*\(4,\)"),
        (np.zeros((1, ASSETS + 1)), r"\(1, 4\)"),
        (0.5, r"shape \(\)"),
        (["a", "b", "c", "d"], "dtype is <U1"),
        ([[1, 2], 3], "must be numbers"),
        (None, "dtype is object"),
        (LOGITS + 0j, "complex"),
        (LOGITS > 0, "bool"),
    ],
)
def test_a_wrong_action_is_an_error_that_says_the_value_and_changes_nothing(action, says):
    env, twin = draw_case().single(), draw_case().single()
    for one in (env, twin):
        one.reset(seed=0)
    with pytest.raises(InputError, match=says):
        env.step(action)
    chex.assert_trees_all_equal(env.step(LOGITS), twin.step(LOGITS))


def test_a_wrong_action_of_one_account_is_an_error_that_says_which():
    vector = draw_case().vector()
    vector.reset(seed=0)
    actions = np.zeros((NUMBER, ASSETS + 1))
    actions[4, 1] = 11
    with pytest.raises(InputError, match=r"\(4, 1\) is 11"):
        vector.step(actions)


@given(seed=SEEDS)
@FEW
def test_actions_on_and_within_the_bounds_keep_observations_in_their_space(seed):
    env = draw_case(seed, move=0.2, taker_fee=0.0).single()
    observation, _ = env.reset(seed=seed)
    for action in draw_actions(seed, STEPS, 1)[:, 0]:
        assert observation in env.observation_space
        observation, _, terminated, truncated, _ = env.step(action)
        assert observation in env.observation_space
        if terminated or truncated:
            observation, _ = env.reset()


def test_a_step_needs_a_reset_before_it():
    env, vector = draw_case().single(), draw_case().vector()
    for one, action in ((env, LOGITS), (vector, np.zeros((NUMBER, ASSETS + 1)))):
        with pytest.raises(gymnasium.error.ResetNeeded):
            one.step(action)
    env.reset(seed=0)
    for _ in range(EPISODE):
        env.step(LOGITS)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(LOGITS)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"row": 3}, "rows to begin at are \\[3\\]"),
        ({"row": BARS}, f"{BARS}"),
        ({"weights": np.array([0.5, 0.6, 0.0])}, "0.6"),
        ({"weights": np.array([-0.1, 0.6, 0.0])}, "-0.1"),
        ({"weights": np.array([np.nan, 0.6, 0.0])}, "nan"),
        ({"weights": np.zeros(2)}, r"\(1, 2\).*\(1, 3\)"),
        ({"rows": 20}, "no option rows; there are row, weights"),
    ],
)
def test_wrong_options_of_a_reset_are_errors(options, says):
    with pytest.raises(InputError, match=says):
        draw_case().single().reset(options=options)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"starts": np.array([WARMUP + LOOKBACK - 2])}, "not finite"),
        ({"starts": np.array([1])}, "rows -1 to 7"),
        ({"starts": np.array([20, BARS - EPISODE])}, f"start row {BARS - EPISODE} reads"),
        ({"starts": np.array([], int)}, "no start row"),
        ({"lookback": 0}, "lookback is 0"),
        ({"logit_bound": 0.0}, "logit_bound is 0"),
        ({"logit_bound": np.inf}, "logit_bound is inf"),
        ({"normaliser": draw_case().normaliser._replace(mean=np.zeros(5))}, r"\(5,\).*\(2,\)"),
    ],
)
def test_what_cannot_be_an_environment_is_refused_when_it_is_made(changes, says):
    for make in (draw_case().single, draw_case().vector):
        with pytest.raises(InputError, match=says):
            make(**changes)


def test_several_accounts_are_not_one():
    with pytest.raises(InputError, match=f"there are {NUMBER} accounts"):
        MarketEnv(draw_case().accounts())


def test_a_step_is_compiled_once_for_all_markets_parameters_and_episodes(monkeypatch):
    traced = jax.jit(chex.assert_max_traces(module._step.__wrapped__, n=1), static_argnames=("env", "lookback"))
    monkeypatch.setattr(module, "_step", traced)
    for seed in range(3):
        case: Case = draw_case(seed, limit=(1.0, 0.0213, 0.1)[seed], taker_fee=0.001 * seed)
        vector: MarketVectorEnv = case.vector()
        vector.reset(seed=seed)
        for actions in draw_actions(seed, STEPS, NUMBER):
            vector.step(actions)
    assert traced._cache_size() == 1


def configured(*overrides: str):
    small = ("name=small", "experiment=planted", "data.bars=600", "data.train_end=null", "data.valid_end=null")
    shape = ("network.lookback=2", "env.clocks=4", "env.accounts=3", "env.episode_bars=32", "training.rollout_steps=16")
    return compose("train", [*small, *shape, *overrides])


def test_a_configuration_makes_both_on_a_span_of_its_market():
    config = configured()
    vector, single = (from_config(kind, config, span="valid") for kind in (MarketVectorEnv, MarketEnv))
    assert vector.num_envs == 12
    assert vector.single_observation_space == single.observation_space
    assert vector.single_action_space == single.action_space
    _, infos = vector.reset(seed=0)
    assert infos["equity"].tolist() == [config.env.capital] * 12
    assert ((infos["row"] >= 420) & (infos["row"] + 32 < 510)).all()  # 70 % and 85 % of the bars
    with pytest.raises(InputError, match="span"):
        from_config(MarketEnv, config, span="tomorrow")

"""The market as Gymnasium environments, so that any library that speaks Gymnasium can train on it. Needs `cappuccino[gymnasium]`.

Observation, float32 (D,), D = L A F + A: the window of normalised features, oldest row first, then by asset, then by feature
(`observation[: L * A * F].reshape(L, A, F)`), each within +- the normaliser's clip; then the account's asset weights, 0 to 1.
Action, float32 (A + 1,): logits of the assets and, last, cash, within +- `logit_bound`; their softmax is the target weights. With
a bound of 10 a single asset can get all but 2e-9 A of the equity. An action that is out of bounds or not finite is an error.
Reward: the environment's, per bar. Flags: `terminated` at the drawdown limit, `truncated` at the episode's last bar.

info at a reset: `row` (the bar at whose close the account stands), `equity` (quote currency), `initial_weights` (A,) that the
account was opened with. info of a step: `row`, `equity`, and of the step `log_growth`, `turnover` (notional over equity before),
`fees` (quote currency) and `refused` (orders that did not fill, a count).

**Episodes.** An account that terminates restarts in place: its next episode begins on the bar on which it ended, with fresh
capital and weights, and is truncated together with the other accounts of its clock. After a truncation the next episode begins
on a random start row. So it is in the vector environment, so it is in `reset` after a step that terminated, and so it is when this
project trains.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float32, Float64

from cappuccino.adapters.accounts import MarketAccounts, Opened, Record, Stepped
from cappuccino.assemble import env_params, environment, load_market, normaliser_of, training_rows
from cappuccino.config.checks import check_choice
from cappuccino.config.roots import SPANS, TrainConfig
from cappuccino.errors import InputError

LOGIT_BOUND = 10.0


class MarketEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One account on one clock; the module says what it observes, does and is told.

    For more than a few accounts take `MarketVectorEnv`: the compiled call costs about as much for one.

    reset(options): `row`, a start row, and `weights`, (A,) asset weights to open the account with; what is not given is random.
    After a step that terminated, and where neither `seed` nor `row` is given, the account is opened in place. Other options are
    an error. Raises InputError for more than one account, and for a bound of logits that is not positive.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's

    def __init__(self, accounts: MarketAccounts, *, logit_bound: float = LOGIT_BOUND):
        if accounts.number != 1:
            raise InputError(f"there are {accounts.number} accounts; MarketEnv is one, MarketVectorEnv is several")
        self._accounts = accounts
        self.observation_space, self.action_space = _spaces(self._accounts, logit_bound)
        self._last: Stepped | None = None
        self._over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "D"], dict[str, Any]]:
        super().reset(seed=seed)
        row, weights = _options(options, "row", "weights")
        weights = None if weights is None else np.asarray(weights)[None]
        last = self._last
        in_place = last is not None and bool(last.terminated[0]) and not last.truncated and seed is None and row is None
        if not in_place:
            rows = None if row is None else np.asarray(row)[None]
            opened = self._accounts.begin(self.np_random, rows=rows, weights=weights)
        elif weights is not None:
            opened = self._accounts.restart(self.np_random, weights)
        else:
            assert last is not None
            opened = Opened(last.following, self._accounts.renew(self.np_random))
        self._last, self._over = None, False
        return opened.observation[0], _of_one(_begun(self._accounts, opened))

    def step(self, action: Any) -> tuple[Float32[np.ndarray, "D"], float, bool, bool, dict[str, Any]]:
        """One bar. Raises InputError for a wrong action, and Gymnasium's ResetNeeded where the episode is over."""
        if self._over:
            raise ResetNeeded("the episode is over, or none has begun; call reset first")
        stepped = self._accounts.step(_checked(action, self.action_space)[None])
        terminated = bool(stepped.terminated[0])
        self._last, self._over = stepped, terminated or stepped.truncated
        info = _of_one(_done(self._accounts, stepped.record))
        return stepped.final[0], float(stepped.reward[0]), terminated, stepped.truncated, info


class MarketVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """All accounts of an environment, G clocks x R accounts, in one compiled call a step: num_envs = G R.

    Account r of clock g is number g R + r. The accounts of a clock see the same bars; clocks are truncated together.

    Autoreset is SAME_STEP: the step in which an account ends returns the first observation of its next episode, and the last
    one of the old in `infos["final_obs"]`, its info in `infos["final_info"]`. NEXT_STEP would have an account that terminated
    sit out a bar which the others of its clock trade, so it could not restart on its tick.

    Given the same start rows, weights and actions, its accounts are `MarketEnv`s. reset(options): `rows`, (G,) start rows, and
    `weights`, (G R, A); what is not given is random. `infos` are Gymnasium's: arrays over accounts, and under `_name` which of
    them have it. Raises InputError for a bound of logits that is not positive.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 - Gymnasium's

    def __init__(self, accounts: MarketAccounts, *, logit_bound: float = LOGIT_BOUND):
        self._accounts = accounts
        self.num_envs = self._accounts.number
        self.single_observation_space, self.single_action_space = _spaces(self._accounts, logit_bound)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._begun = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "N D"], dict[str, Any]]:
        super().reset(seed=seed)
        rows, weights = _options(options, "rows", "weights")
        rows, weights = (None if value is None else np.asarray(value) for value in (rows, weights))
        opened = self._accounts.begin(self.np_random, rows=rows, weights=weights)
        self._begun = True
        return opened.observation, _masked(_begun(self._accounts, opened), np.ones(self.num_envs, bool))

    def step(
        self, actions: Any
    ) -> tuple[
        Float32[np.ndarray, "N D"],
        Float64[np.ndarray, "N"],
        Bool[np.ndarray, "N"],
        Bool[np.ndarray, "N"],
        dict[str, Any],
    ]:
        """One bar of all accounts. Raises InputError for a wrong action, and Gymnasium's ResetNeeded before the first reset."""
        if not self._begun:
            raise ResetNeeded("no episode has begun; call reset first")
        stepped = self._accounts.step(_checked(actions, self.action_space))
        terminated = np.array(stepped.terminated)
        truncated = np.full(self.num_envs, stepped.truncated)
        ended = terminated | truncated
        done = _done(self._accounts, stepped.record)
        infos = _masked(done, ~ended)
        observation = stepped.following
        if ended.any():
            final = np.full(self.num_envs, None, object)
            for account in np.flatnonzero(ended):
                final[account] = stepped.final[account]
            if stepped.truncated:
                opened = self._accounts.begin(self.np_random)
            else:
                opened = Opened(stepped.following, self._accounts.renew(self.np_random))
            observation = opened.observation
            infos = _merged(infos, _masked(_begun(self._accounts, opened), ended))
            infos |= {"final_obs": final, "_final_obs": ended.copy()}
            infos |= {"final_info": _masked(done, ended), "_final_info": ended.copy()}
        return observation, stepped.reward.astype(np.float64), terminated, truncated, infos


Kind = TypeVar("Kind", MarketEnv, MarketVectorEnv)


def from_config(kind: type[Kind], config: TrainConfig, *, span: str = "train", logit_bound: float = LOGIT_BOUND) -> Kind:
    """An environment on a span (`train`, `valid` or `test`) of the market that a training's configuration describes.

    The normaliser is fitted on the training span in any case. Raises InputError for another span, and as `load_market`,
    `MarketSpec.start_rows`, `MarketAccounts` and the environment do.
    """
    check_choice("span", span, SPANS)
    lookback = config.network.lookback
    data = load_market(config.data, tuple(config.features.names), lookback)
    rows = getattr(data.spans, span)
    env = environment(config.env)
    accounts = MarketAccounts(
        data.market,
        data.spec.start_rows(rows.start, rows.stop, lookback, config.env.episode_bars),
        env_params(config.costs, config.risk, config.env, data.spec.assets),
        dataclasses.replace(env, clocks=1, accounts=1) if kind is MarketEnv else env,
        normaliser_of(data, training_rows(data), config.network.clip),
        lookback=lookback,
    )
    return kind(accounts, logit_bound=logit_bound)


def _spaces(accounts: MarketAccounts, logit_bound: float) -> tuple[Box, Box]:
    if not 0 < logit_bound < np.inf:
        raise InputError(f"logit_bound is {logit_bound}; it must be positive and finite")
    # A weight is a quotient of rounded sums over the assets: above one by no more than this.
    whole = 1 + (accounts.assets + 4) * np.finfo(np.float32).eps
    size, assets = accounts.window_size, accounts.assets
    low = np.concatenate([np.full(size, -accounts.clip), np.zeros(assets)]).astype(np.float32)
    high = np.concatenate([np.full(size, accounts.clip), np.full(assets, whole)]).astype(np.float32)
    return Box(low, high), Box(-logit_bound, logit_bound, (assets + 1,), np.float32)


def _checked(action: Any, space: gymnasium.Space) -> Float32[np.ndarray, "..."]:
    """The action in float32. Raises InputError for another shape, and for the first number that is not within the bounds."""
    assert isinstance(space, Box)
    try:
        logits = np.asarray(action)
    except ValueError as error:
        raise InputError(f"the action is {action!r}; it must be numbers of shape {space.shape}") from error
    if logits.dtype.kind not in "fiu":
        raise InputError(f"the action's dtype is {logits.dtype}; it must be real numbers, float32 at best")
    if logits.shape != space.shape:
        raise InputError(f"the action has shape {logits.shape}; it must have {space.shape}, logits of the assets and cash")
    wrong = ~((logits >= space.low) & (logits <= space.high))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise InputError(
            f"the action at {where} is {logits[where]}; it must be finite, from {space.low[where]} to {space.high[where]}"
        )
    return logits.astype(np.float32)


def _options(options: dict[str, Any] | None, *names: str) -> tuple[Any, ...]:
    given = options or {}
    unknown = sorted(given.keys() - set(names))
    if unknown:
        raise InputError(f"reset has no option {', '.join(unknown)}; there are {', '.join(names)}")
    return tuple(given.get(name) for name in names)


def _begun(accounts: MarketAccounts, opened: Opened) -> dict[str, np.ndarray]:
    """What a reset says of every account."""
    equity = np.full(accounts.number, np.float64(accounts.params.capital))
    return {"row": accounts.rows, "equity": equity, "initial_weights": opened.initial}


def _done(accounts: MarketAccounts, record: Record) -> dict[str, np.ndarray]:
    """What a step says of every account."""
    return {"row": accounts.rows} | {name: values.astype(np.float64) for name, values in record._asdict().items()}


def _of_one(info: dict[str, np.ndarray]) -> dict[str, Any]:
    """The info of the only account: Python's numbers, and arrays where there is one per asset."""
    return {name: values[0].copy() if values.ndim > 1 else values[0].item() for name, values in info.items()}


def _masked(info: dict[str, np.ndarray], has: Bool[np.ndarray, "N"]) -> dict[str, Any]:
    """Gymnasium's infos: zero where an account has none, and the mask under `_name`; nothing where none has any."""
    infos: dict[str, Any] = {}
    if not has.any():
        return infos
    for name, values in info.items():
        infos[name] = np.where(has.reshape(-1, *[1] * (values.ndim - 1)), values, values.dtype.type(0))
        infos[f"_{name}"] = has.copy()
    return infos


def _merged(infos: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Infos of accounts of which each is in one of the two."""
    both = infos.keys() & others.keys()
    return infos | others | {name: infos[name] + others[name] for name in both}

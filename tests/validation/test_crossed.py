"""Cross-validation: no fold learns from what it is tested on, every tested bar is on every path once, and growth is conserved."""

from __future__ import annotations

import dataclasses
import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from validation_cases import data_of, folds_for, small

from cappuccino.agents.networks import Policy
from cappuccino.assemble import Data
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.folds import Folds, block_rows, normaliser_rows
from cappuccino.training.checkpoints import flatten
from cappuccino.validation.champion import champion_fold
from cappuccino.validation.crossed import Crossed, joined, run_folds, tasks_of
from cappuccino.validation.trained import Trained, train_all

SEEDS = (0, 1)


@pytest.fixture(autouse=True)
def optax_promotes():
    """Optax raises a float to an integer count, which JAX refuses where it is strict about dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def trained_on(data: Data, folds: Folds) -> dict[tuple[int, int], Trained]:
    tasks = tasks_of(small(), data, folds.folds, SEEDS)
    return train_all(tasks, data, Console(file=io.StringIO()), lanes=4)


@functools.cache
def case() -> tuple[Data, Folds, dict[tuple[int, int], Trained], Crossed]:
    data = data_of()
    folds = folds_for(small(), data)
    trained = trained_on(data, folds)
    return data, folds, trained, run_folds(small(), data, folds, trained, SEEDS)


def arrays(policy: Policy) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in flatten(policy_state(policy)).items()}


def policy_state(policy: Policy):
    from flax import nnx

    return nnx.state(policy)


def test_what_a_fold_learns_is_no_function_of_its_test_bars():
    """To the last bit: normaliser, training, and the checkpoint that is chosen."""
    data, folds, trained, _ = case()
    fold = folds.folds[0]
    rng = np.random.default_rng(0)
    close, opening, features = (np.array(part) for part in (data.market.close, data.market.open, data.market.features))
    for block in fold.test:
        rows = slice(block.start, block.stop)
        move = np.exp(rng.normal(0, 0.1, close[rows].shape)).astype(close.dtype)
        close[rows] *= move
        opening[rows] *= move
        features[rows] += rng.normal(0, 3, features[rows].shape)
    changed = data.market._replace(close=jnp.asarray(close), open=jnp.asarray(opening), features=jnp.asarray(features))
    again = trained_on(data._replace(market=changed), folds)
    for seed in SEEDS:
        one, other = arrays(trained[0, seed].policy), arrays(again[0, seed].policy)
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert (trained[0, seed].update, trained[0, seed].score) == (again[0, seed].update, again[0, seed].score)
    one, other = arrays(trained[1, 0].policy), arrays(again[1, 0].policy)
    assert not all(np.array_equal(one[name], other[name]) for name in one), "a fold that trains on these bars must differ"


def test_every_path_decides_once_for_every_tested_bar_and_so_do_the_baselines():
    data, folds, _, crossed = case()
    expected = np.concatenate([block_rows(data.spec, group, small().network.lookback) for group in folds.groups])
    assert [len(paths) for paths in crossed.agent] == [len(folds.paths)] * len(SEEDS)
    for paths in (*crossed.agent, *crossed.baselines.values()):
        for path in paths:
            np.testing.assert_array_equal(path.rows, expected)
            np.testing.assert_array_equal(path.timestamps[1:], data.spec.timestamps[expected + 1])
    assert {"cash", "ONE held", "equal weight rebalanced", "untrained network", "random trades"} <= crossed.baselines.keys()


def test_costs_and_growth_of_the_parts_are_those_of_the_whole():
    crossed = case()[-1]
    for path in crossed.agent[0]:
        assert path.equity[-1] / path.equity[0] == pytest.approx(np.prod(1 + path.returns), rel=1e-12)
        assert ((path.fees >= 0) & (path.fees < 0.01 * path.equity[:-1])).all()
    np.testing.assert_allclose(
        crossed.growth(), np.mean([np.log1p(path.returns) for paths in crossed.agent for path in paths], axis=0)
    )


def test_joining_a_path_with_itself_in_pieces_gives_it_back():
    path = case()[-1].agent[0][0]
    steps = np.arange(len(path))
    pieces = [(path, steps[:100]), (path, steps[100:101]), (path, steps[101:])]
    again = joined(pieces)
    for field in dataclasses.fields(Path):
        one, other = getattr(path, field.name), getattr(again, field.name)
        if field.name == "begins":
            assert set(np.flatnonzero(other)) == set(np.flatnonzero(one)) | {0, 100, 101}
        elif isinstance(one, np.ndarray):
            np.testing.assert_allclose(other, one, rtol=1e-12)


def test_a_fold_that_diverges_ends_the_validation_in_one_line():
    data = data_of()
    folds = folds_for(small(), data)
    tasks = tasks_of(small(), data, folds.folds[:1], (7,))
    broken = data._replace(market=data.market._replace(close=jnp.full_like(data.market.close, jnp.nan)))
    with pytest.raises(InputError, match=r"fold 0, seed 7, diverged: a number was not finite") as error:
        train_all(tasks, broken, Console(file=io.StringIO()), lanes=1)
    assert "\n" not in str(error.value)


def test_the_champion_trains_on_all_but_the_last_share_and_is_tested_on_nothing():
    data = data_of()
    fold = champion_fold(2000, 0.15)
    assert (fold.train[0].stop, fold.selection[0].start, fold.selection[0].stop, fold.test) == (1700, 1700, 2000, ())
    assert np.flatnonzero(normaliser_rows(data.spec, fold))[[0, -1]].tolist() == [data.spec.warmup, 1699]

"""Search spaces mean what the published Optuna sweeper documents, and a trial's values reach Hydra unchanged."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from cappuccino.errors import InputError
from cappuccino.sweep.space import check_sampler, grid_points, is_search, jobs, read_space, suggest

FIVES = CategoricalDistribution((-5, 0, 5))
DOCUMENTED = [
    ("range(-5.5, 5.5, step=0.5)", FloatDistribution(-5.5, 5.5, step=0.5)),
    ("choice(-5, 0, 5)", FIVES),
    ("choice(-5 ,0 ,5)", FIVES),
    ("interval(-5.0, 5.0)", FloatDistribution(-5.0, 5.0)),
    ("interval(0, 10)", FloatDistribution(0.0, 10.0)),
    ("int(interval(-5.0, 5.0))", IntDistribution(-5, 5)),
    ("tag(log, interval(1, 10))", FloatDistribution(1.0, 10.0, log=True)),
    ("tag(log, int(interval(1, 5)))", IntDistribution(1, 5, log=True)),
    ("range(-5.0, 5.0)", FloatDistribution(-5.0, 5.0, step=1.0)),
    ("range(1,4)", IntDistribution(1, 4)),
    ("shuffle(range(-5, 5))", CategoricalDistribution(tuple(sorted(range(-5, 5), key=str)))),
    ("choice(-5.0, 0.0, 5.0)", CategoricalDistribution((-5.0, 0.0, 5.0))),
    ("choice(0, 1, 2, 3, 4, 5)", CategoricalDistribution((0, 1, 2, 3, 4, 5))),
    ("range(0, 5, step=0.5)", FloatDistribution(0.0, 5.0, step=0.5)),
    ("range(0.5, 5.5, step=1)", FloatDistribution(0.5, 5.5, step=1.0)),
    ("choice(true, false)", CategoricalDistribution((True, False))),
    ("choice('hello', 'world')", CategoricalDistribution(("hello", "world"))),
    ("1,2", CategoricalDistribution((1, 2))),
]


def contains(distribution: optuna.distributions.BaseDistribution, value: Any) -> bool:
    return distribution._contains(distribution.to_internal_repr(value))


@pytest.mark.parametrize(("text", "expected"), DOCUMENTED, ids=[text for text, _ in DOCUMENTED])
def test_documented_spaces_parse_and_sample_as_documented(text, expected):
    space = read_space({}, [f"x={text}"])
    assert space.dimensions == {"x": expected}
    assert read_space({"x": text}, []).dimensions == space.dimensions
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(200):
        trial = study.ask()
        (override,) = suggest(space, trial, None, None)
        assert contains(expected, trial.params["x"])
        assert read_back(override) == trial.params["x"]


def read_back(override: str) -> Any:
    (parsed,) = OverridesParser.create().parse_overrides([override])
    return OmegaConf.create([parsed.value()])[0] if not isinstance(parsed.value(), str) else parsed.value()


def plain(override: str) -> Any:
    """The value that Hydra puts into the configuration."""
    import hydra

    with hydra.initialize(version_base="1.3", config_path=None):
        return hydra.compose(overrides=[f"+{override}"]).x


@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(-(10**12), 10**12),
        st.booleans(),
        st.none(),
        st.text(st.characters(codec="ascii", exclude_categories=("Cc",)), min_size=1).filter(
            lambda text: text[0] not in "[{" and "${" not in text and not text.endswith("\\")
        ),
    )
)
def test_every_value_reaches_the_configuration_as_it_is(value):
    trial = optuna.trial.FixedTrial({"x": value})
    trial.suggest_categorical("x", (value,))
    (override,) = suggest(read_space({}, []), trial, None, None)
    found = plain(override)
    assert found == value
    assert type(found) is type(value)


def test_lists_among_choices_are_lists_again():
    space = read_space({}, ["x=choice([64],[64,32])"])
    for number, expected in enumerate(([64], [64, 32])):
        trial = optuna.trial.FixedTrial({"x": space.dimensions["x"].choices[number]})
        assert plain(suggest(space, trial, None, None)[0]) == expected


def test_the_command_line_replaces_and_fixes_what_the_configuration_gives():
    params = {"x": "range(-5.5, 5.5, 0.5)", "y": "choice(-5, 0, 5)", "z": "interval(0, 1)"}
    space = read_space(params, ["x=interval(-1, 1)", "y=0", "network=conv", "+w=3", "~v"])
    assert space.dimensions == {"x": FloatDistribution(-1, 1), "z": FloatDistribution(0, 1)}
    assert set(space.fixed) == {"y=0", "network=conv", "+w=3", "~v"}


def test_a_custom_search_space_sees_the_trial_and_what_is_fixed():
    def configure(cfg: DictConfig, trial: optuna.Trial) -> None:
        assert trial.user_attrs == {"y": "0"}
        x = trial.params["x"]
        trial.suggest_float("z", x - cfg.max_z_difference_from_x, x + cfg.max_z_difference_from_x)
        trial.suggest_float("+w", 0.0, 1.0)

    space = read_space({"x": "range(-5.5, 5.5, 0.5)", "y": "choice(-5, 0, 5)"}, ["y=0"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=123))
    for _ in range(20):
        trial = study.ask()
        overrides = suggest(space, trial, configure, OmegaConf.create({"max_z_difference_from_x": 0.5}))
        assert abs(trial.params["z"] - trial.params["x"]) <= 0.5
        assert [override.split("=")[0] for override in overrides] == ["y", "x", "z", "+w"]


def test_a_custom_search_space_may_not_suggest_what_is_fixed():
    space = read_space({}, ["y=0"])
    trial = optuna.create_study().ask()
    with pytest.raises(InputError, match="suggests y, which the command line fixes"):
        suggest(space, trial, lambda _, trial: trial.suggest_float("y", 0, 1), OmegaConf.create({}))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x=interval(2, 1)"], "its ends must be finite, the first below the second"),
        (["x=interval(1, 1)"], "the first below the second"),
        (["x=interval(0, inf)"], "must be finite"),
        (["x=range(5, 1)"], "must rise"),
        (["x=tag(log, interval(0, 1))"], "must begin above zero"),
        (["x=tag(exp, interval(1, 2))"], "the tag exp"),
        (["x=tag(log, range(1, 5))"], "only an interval"),
        (["x=choice(1, 2, 1)"], "1 twice"),
        (["x=1,2", "x=interval(0, 1)"], "given twice"),
        (["x=(("], "cannot be read"),
        (["x=glob(*)"], "must be an interval, a range or a choice"),
    ],
)
def test_what_is_no_space_is_refused_with_the_reason(words, said):
    with pytest.raises(InputError, match=r"x|override") as caught:
        read_space({}, words)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("params", "words", "searches"),
    [
        ({}, ["seed=0,1,2"], False),
        ({}, ["seed=range(0,3)", "network=choice(mlp,conv)"], False),
        ({}, ["agent.gamma=interval(0.5, 0.9)", "agent.epochs=1,2"], True),
        ({}, ["agent.gamma=tag(log, interval(0.5, 0.9))"], True),
        ({"agent.gamma": "choice(0.5, 0.9)"}, [], True),
    ],
)
def test_intervals_and_configured_spaces_are_searches_and_lists_are_grids(params, words, searches):
    assert is_search(params, words, None) is searches
    assert is_search(params, words, "module.function")


def test_a_grid_of_lists_is_that_of_hydras_own_sweeper():
    words = ["a=1,2", "b=range(0,3)", "c=fixed", "d=choice([1],[2,3])", "+e=x"]
    overrides = OverridesParser.create().parse_overrides(words)
    assert [list(job) for job in jobs(words)] == BasicSweeper.split_arguments(overrides, None)[0]


def test_the_points_of_a_grid_are_all_there_once():
    points = grid_points(read_space({}, ["x=range(-1.0, 1.0, step=0.5)", "y=choice(a, b)", "z=range(1, 3)"]))
    assert len(points) == 5 * 2 * 3 == len({tuple(point.items()) for point in points})
    assert points[0] == {"x": -1.0, "y": "a", "z": 1}
    with pytest.raises(InputError, match="x has no steps for a grid"):
        grid_points(read_space({}, ["x=interval(0, 1)"]))


def test_samplers_that_would_draw_at_random_are_refused():
    with pytest.raises(InputError, match="QMCSampler cannot handle y, which are choices"):
        check_sampler(optuna.samplers.QMCSampler(), read_space({}, ["x=interval(0, 1)", "y=1,2"]))
    check_sampler(optuna.samplers.TPESampler(), read_space({}, ["x=interval(0, 1)", "y=1,2"]))

"""Configuration: the values in conf/ fit the types, say what each is for, and every class defends its limits."""

from __future__ import annotations

import copy
import dataclasses
import pathlib
from typing import Any

import hydra
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cappuccino.bars.clock import bar_words
from cappuccino.config import (
    CPCVConfig,
    HoldoutConfig,
    PurgedKFoldConfig,
    TrainConfig,
    ValidationConfig,
    WalkForwardConfig,
    compose,
    conf_dir,
    to_config,
)
from cappuccino.config.checks import check_ranges, seconds_of_bar, unix_seconds
from cappuccino.config.composition import load_train_config, register, save_config
from cappuccino.config.roots import ROOTS
from cappuccino.config.stress import StressConfig
from cappuccino.config.training import REWARD_NAMES
from cappuccino.errors import InputError

NOT_OF_TRAIN = ("conf", "broker", "faults", "gates", "validation", "verdict", "stress", "watch")
NEEDED = {
    "backtest": ["run=x"],
    "export": ["run=x"],
    "combine": ["artifacts=[x,y]", "out=z"],
    "trade": ["artifact=x"],
    "trade_desk": ["action=status"],
    "validate_causality": ["artifact=x"],
    "validate_artifact": ["artifact=x"],
}
FILES = sorted(path for path in conf_dir().rglob("*.yaml") if "hydra" not in path.parts)


@pytest.fixture(scope="module")
def train() -> TrainConfig:
    return compose("train")


@pytest.mark.parametrize("command", ROOTS)
def test_every_command_composes_to_its_own_class(command: str) -> None:
    assert type(compose(command, NEEDED.get(command, []))) is ROOTS[command]


@pytest.mark.parametrize(
    "choice",
    [f"{path.parent.name}={path.stem}" for path in FILES if path.parent.name not in NOT_OF_TRAIN],
)
def test_every_choice_of_every_group_composes(choice: str) -> None:
    path = ["data.path=x"] if choice in ("data=files", "data=alpaca") else []
    assert isinstance(compose("train", [choice, *path]), TrainConfig)


@pytest.mark.parametrize("broker", ["local", "alpaca"])
def test_every_broker_composes(broker: str) -> None:
    assert compose("trade", ["artifact=x", f"broker={broker}"]).broker.name == broker


@pytest.mark.parametrize("choice", ["holdout", "walk_forward", "kfold_purged", "cpcv"])
def test_every_way_to_validate_composes(choice: str) -> None:
    register()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        config = to_config(hydra.compose(f"validation/{choice}").validation)
    assert isinstance(config, ValidationConfig)
    assert config.name == choice


@pytest.mark.parametrize(
    ("schema", "change", "said"),
    [
        (CPCVConfig, {"groups": 1}, "validation.groups is 1; it must be in [2, 1000]"),
        (CPCVConfig, {"test_groups": 6}, "validation.test_groups is 6; it must be below validation.groups, 6"),
        (CPCVConfig, {"test_groups": 0}, "validation.test_groups is 0; it must be at least 1"),
        (CPCVConfig, {"groups": 20, "test_groups": 10}, "make 184,756 folds, each a training; there may be 1,000"),
        (CPCVConfig, {"name": "kfold"}, "validation.name is 'kfold'; it must be one of cpcv"),
        (PurgedKFoldConfig, {"groups": 1}, "validation.groups is 1; it must be in [2, 1000]"),
        (PurgedKFoldConfig, {"embargo": -1}, "validation.embargo is -1; it must be at least 0"),
        (PurgedKFoldConfig, {"selection": 0.0}, "validation.selection is 0.0; it must be in (0, 1)"),
        (WalkForwardConfig, {"folds": 0}, "validation.folds is 0; it must be in [1, 1000]"),
        (WalkForwardConfig, {"window": "sliding"}, "validation.window is 'sliding'; it must be one of anchored, rolling"),
        (WalkForwardConfig, {"train": 1.0}, "validation.train is 1.0; it must be in (0, 1)"),
        (HoldoutConfig, {"train": 0.0}, "validation.train is 0.0; it must be in (0, 1)"),
    ],
)
def test_a_split_that_cannot_be_is_named_with_what_is_allowed(schema: type[Any], change: dict[str, Any], said: str) -> None:
    names = {HoldoutConfig: "holdout", WalkForwardConfig: "walk_forward", PurgedKFoldConfig: "kfold_purged", CPCVConfig: "cpcv"}
    values = yaml.safe_load((conf_dir() / "validation" / f"{names[schema]}.yaml").read_text())
    del values["defaults"]
    with pytest.raises(InputError) as caught:
        schema(**values | change)
    assert said in str(caught.value)


def test_stress_composes() -> None:
    import hydra
    from omegaconf import OmegaConf

    register()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        composed = hydra.compose(config_name="stress/default")
    assert isinstance(OmegaConf.to_object(composed.stress), StressConfig)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(conf_dir()).as_posix())
def test_every_file_says_what_it_is_and_every_value_what_it_means(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("#")
    if path.name == "free.yaml" or path.parent.name in ("experiment", "sweep"):
        return  # they override and search values that are explained where they are first given
    loaded = yaml.safe_load(path.read_text())
    values = [key for key, value in loaded.items() if key not in ("defaults", "hydra") and not isinstance(value, dict)]
    unexplained = [key for key in values if not any(line.startswith(f"{key}:") and "#" in line for line in lines)]
    assert [key for key in unexplained if key not in ("source", "kind", "name")] == []


def test_classes_hold_no_values() -> None:
    def has_default(field: dataclasses.Field[Any]) -> bool:
        return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING

    from cappuccino.config import costs, data, faults, risk, stress, trading, training, validation, verdict, watch

    modules = (costs, data, faults, risk, stress, trading, training, validation, verdict, watch)
    classes = [value for module in modules for value in vars(module).values() if dataclasses.is_dataclass(value)]
    assert len(classes) >= 14
    assert [field.name for cls in (*classes, *ROOTS.values()) for field in dataclasses.fields(cls) if has_default(field)] == []


def test_names_that_code_elsewhere_defines_are_the_same_here() -> None:
    from cappuccino.agents.encoders import ENCODERS
    from cappuccino.agents.networks import MLP
    from cappuccino.config.training import NETWORK_NAMES
    from cappuccino.env.rewards import REWARDS
    from cappuccino.features.registry import SETS

    assert set(REWARDS) == set(REWARD_NAMES)
    assert {MLP, *ENCODERS} == set(NETWORK_NAMES)
    stored = {path.stem: yaml.safe_load(path.read_text())["names"] for path in (conf_dir() / "features").glob("*.yaml")}
    assert stored == {name: list(features) for name, features in SETS.items()}


def test_the_planted_experiment_is_as_documented() -> None:
    config = compose("train", ["experiment=planted"])
    data, costs = config.data, config.costs
    assert (data.kind, len(data.assets)) == ("planted", 3)
    train_end, valid_end = ((end - data.start_seconds) // data.bar_seconds for end in data.split_seconds)
    assert train_end == 14_000
    assert train_end < valid_end == data.bars - 6_000
    assert config.features.names == ["relative_volume_168"]
    assert (costs.taker_fee_bps, costs.half_spread_bps, costs.slippage_bps, costs.min_notional) == (10, 0, 0, 0)
    assert not costs.increments


def test_an_experiment_leaves_the_last_word_to_the_command_line() -> None:
    assert compose("train", ["experiment=planted", "costs.taker_fee_bps=5"]).costs.taker_fee_bps == 5


@pytest.mark.parametrize("source", ["files", "alpaca", "synthetic"])
def test_bars_are_split_by_shares_unless_dates_are_given(source: str) -> None:
    path = [] if source == "synthetic" else ["data.path=x"]
    data = compose("train", [f"data={source}", *path]).data
    assert (data.train_end, data.valid_end, data.split_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("agent.minibatches=3", "agent.minibatches is 3; it must divide"),
        ("env.episode_bars=1001", "env.episode_bars is 1001; it must be a multiple of training.rollout_steps"),
        ("training.env_steps=10", "training.env_steps is 10; one update takes"),
        ("data.assets=[BTC,BTC]", "data.assets names BTC twice"),
        ("data.assets=[]", "data.assets is empty"),
        ("data.assets=null", "data.assets is null"),
        ("data.bar=1x", "data.bar is '1x'"),
        ("data.train_end=2021-01-01", "give both, or neither"),
        ("data.drift=0.0001", "data.drift is 0.0001 and data.kind realistic; only a planted market has a drift to set"),
        ("data.drift=0.002", "data.drift is 0.002; it must be in [-0.001, 0.001]"),
        ("data.source=files", "data.source is 'files'"),
        ("network.hidden=[64,0]", "network.hidden is [64, 0]; each must be at least 1"),
        ("network.head=[]", "network.head is []"),
        ("env.reward.name=profit", "env.reward.name is 'profit'; it must be one of log_growth, excess, differential_sharpe"),
        ("costs.increment_by_asset.BTC=1", "a new entry is written +costs.increment_by_asset.BTC=VALUE"),
        ("+costs.increment_by_asset.BTC=-1", "costs.increment_by_asset is {'BTC': -1.0}; each must be above 0"),
        ("costs.taker_fee_bps=inf", "costs.taker_fee_bps is inf"),
        ("seed=-1", "seed is -1"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(override: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        compose("train", [override])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_dates_of_the_split_must_rise() -> None:
    with pytest.raises(InputError, match=r"data\.valid_end is 2021-01-01; it must be after data\.train_end, 2021-06-01"):
        compose("train", ["data.train_end=2021-06-01", "data.valid_end=2021-01-01"])


def test_a_step_for_an_asset_that_is_not_there_is_refused(train: TrainConfig) -> None:
    costs = dataclasses.replace(train.costs, increment_by_asset={"BTC": 1e-6})
    assert costs.increments_of(("BTC", "ETH")) == (1e-6, 1e-9)
    assert dataclasses.replace(costs, increments=False).increments_of(("BTC", "ETH")) == (0.0, 0.0)
    with pytest.raises(InputError, match="BTC"):
        costs.increments_of(("ETH",))


def test_a_saved_configuration_is_loaded_as_it_was(tmp_path: pathlib.Path) -> None:
    for number, overrides in enumerate([["experiment=planted"], ["data=files", "data.path=x"], ["network=per_asset"]]):
        config = compose("train", overrides)
        save_config(config, tmp_path / f"{number}.yaml")
        assert load_train_config(tmp_path / f"{number}.yaml") == config


@pytest.mark.parametrize("damage", ["", "data: 3", "{", "data: {source: files}", "\x00"])
def test_a_damaged_saved_configuration_is_refused_in_one_line(tmp_path: pathlib.Path, damage: str) -> None:
    (tmp_path / "config.yaml").write_text(damage)
    with pytest.raises(InputError) as caught:
        load_train_config(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


@given(
    low=st.integers(-5, 5), high=st.integers(-5, 5), value=st.floats(allow_nan=False), left=st.booleans(), right=st.booleans()
)
def test_an_interval_means_what_it_means_in_mathematics(low: int, high: int, value: float, left: bool, right: bool) -> None:
    class Holder:
        number = value

    inside = (low <= value if left else low < value) and (value <= high if right else value < high)
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    if inside:
        check_ranges("group", Holder, number=interval)
    else:
        with pytest.raises(InputError, match=r"group\.number is"):
            check_ranges("group", Holder, number=interval)


def test_times_are_utc_where_they_name_no_zone() -> None:
    assert unix_seconds("start", "1970-01-02") == 86_400
    assert unix_seconds("start", "1970-01-01T02:00") == unix_seconds("start", "1970-01-01T03:00+01:00") == 7_200


@pytest.mark.parametrize(("text", "seconds"), [("1m", 60), ("15m", 900), ("1h", 3600), ("4h", 14_400), ("1d", 86_400)])
def test_lengths_of_bars(text: str, seconds: int) -> None:
    assert seconds_of_bar("data.bar", text) == seconds
    assert bar_words(seconds) == text


def test_features_on_coarser_bars_are_named_on_the_command_line() -> None:
    names = ["return_1", "rsi_14@4h", "cci_20@1d"]
    assert compose("train", [f"features.names=[{','.join(names)}]"]).features.names == names
    assert compose("trade", ["artifact=x", f"trade.allow_outside=[{','.join(names)}]"]).trade.allow_outside == names


def test_a_checked_object_is_checked_again_when_built_by_hand(train: TrainConfig) -> None:
    agent = copy.copy(train.agent)
    with pytest.raises(InputError, match=r"agent\.clip is 2"):
        dataclasses.replace(agent, clip=2.0)

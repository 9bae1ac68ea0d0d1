"""The command lines of steps and traders say what the pipeline was told."""

from __future__ import annotations

import pathlib

import pytest

from cappuccino.config import compose
from cappuccino.pipeline.places import ChampionName, Places, ShadowName, trader_name
from cappuccino.pipeline.seen import Bars, Study
from cappuccino.pipeline.steps import Search, StartExchange, Validate
from cappuccino.pipeline.words import Given, leaves

DAY = 86_400
BARS = Bars(first=0, last=900 * DAY, bar_seconds=3600, train_end=500 * DAY, cut=600 * DAY, can_grow=False)
CHOICES = {"validation": "kfold_purged", "verdict": "default", "stress": "none"}
ALPACA = [
    "data=alpaca",
    "data.assets=[BTC,ETH]",
    "data.start=2022-01-01",
    "data.train_end=2024-01-01",
    "data.valid_end=2025-01-01",
]


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=planted", "data.seed=3"],
        [
            "data=files",
            "data.path='a folder, it\\'s odd/[x]=1'",
            "data.assets=[BTC]",
            "data.valid_end=2024-03-01T12:00",
            "data.train_end=2023-01-01",
        ],
        [*ALPACA, "+costs.increment_by_asset.BTC=1e-6"],
    ],
)
def test_what_is_set_comes_out_again(words: list[str]) -> None:
    config = compose("pipeline", words)
    found = Given(config, words, CHOICES).of_exchange(StartExchange(1, 600 * DAY), Places(pathlib.Path("runs")))
    again = compose("exchange", found[1:])
    assert again.data == config.data
    assert again.costs == config.costs
    assert again.start_seconds == 600 * DAY
    assert list(leaves("data", again.data, key="source")) == list(leaves("data", config.data, key="source"))


def test_a_later_study_has_its_spans_moved_and_what_keeps_coming_cut_off() -> None:
    words = [
        *ALPACA,
        "agent=apg",
        "space=apg",
        "trials=8",
        "gates.pbo=0.2",
        "seeds=2",
        "search=['hydra.sweeper.objective=growth']",
    ]
    given = Given(compose("pipeline", words), words, CHOICES)
    study = Study("pipeline-x", 1, 630 * DAY, None, is_concluded=False, has_best=False)
    found = given.of_step(Search(study), BARS._replace(can_grow=True), Places(pathlib.Path("runs")))
    assert found[:2] == ["train", "-m"]
    assert "data.train_end=1971-06-15T00:00:00" in found  # 530 days after 1970-01-01
    assert "data.valid_end=1971-09-23T00:00:00" in found
    assert "data.end=1971-09-24T00:00:00" in found
    assert {"agent=apg", "sweep=apg", "hydra.sweeper.n_trials=8", "hydra.sweeper.objective=growth"} <= set(found)
    assert not [
        word for word in found if word.startswith(("data.train_end=2024", "data.valid_end=2025", "gates", "seeds", "trials"))
    ]
    validation = given.of_step(Validate(study), BARS, Places(pathlib.Path("runs")))
    assert {"best=pipeline-x", "validation=kfold_purged", "stress=none", "seeds=2"} <= set(validation)


@pytest.mark.parametrize(
    ("words", "chosen"),
    [
        ([], "risk=default"),
        (["risk=none"], "risk=none"),
        (["risk=default", "risk.max_drawdown=0.1", "risk.stop_loss=0.05"], None),
    ],
)
def test_traders_trade_under_the_rules_that_the_study_was_given(words: list[str], chosen: str | None) -> None:
    config = compose("pipeline", words)
    found = compose("trade", ["artifact=x", *Given(config, words, CHOICES)._risk()])
    assert found.risk == (config.risk if chosen is None else compose("trade", ["artifact=x", chosen]).risk)


@pytest.mark.parametrize("name", [ShadowName("0a" * 6, 3), ChampionName(2, 11, "0a" * 6)])
def test_a_traders_name_says_whose_it_is(name: ShadowName | ChampionName) -> None:
    assert trader_name(str(name)) == name
    assert trader_name("paper") is None

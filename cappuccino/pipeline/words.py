"""The command lines of steps and traders."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cappuccino.config.roots import PipelineConfig
from cappuccino.config.trading import LocalBrokerConfig
from cappuccino.pipeline.places import Places
from cappuccino.pipeline.seen import Bars, Study
from cappuccino.pipeline.steps import (
    Child,
    Fetch,
    Prove,
    Search,
    StartChampion,
    StartExchange,
    StartShadow,
    Validate,
)
from cappuccino.registry.registry import store_of

LEARNING = ("data", "features", "costs", "risk", "env", "network", "agent", "training", "experiment", "seed", "device")
"""What of the pipeline's words the search is given as they are."""
JUDGING = ("validation", "verdict", "stress")
"""Groups that the validation is given."""
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*|\d+(\.\d+)?(e-?\d+)?")
_MARGIN_BARS = 24
"""Bars behind a study's cut that its data end with where bars keep coming: a few, so that the test span is not empty."""


class Given(NamedTuple):
    """The pipeline's configuration, with the words that it was given and the groups that they choose."""

    config: PipelineConfig
    words: Sequence[str]
    choices: Mapping[str, str | None]

    def _own(self, *groups: str) -> list[str]:
        return [word for word in self.words if re.split(r"[=./@]", word.lstrip("+~"), maxsplit=1)[0] in groups]

    def of_step(self, step: Child, bars: Bars, places: Places) -> list[str]:
        """Of a step that is a command of its own."""
        where = [f"runs_dir={quoted(str(places.runs))}"]
        match step:
            case Fetch():
                return ["data", "fetch", *self._own("data"), *where]
            case Search(study):
                return ["train", "-m", *self._search(study, bars), *where]
            case Validate(study):
                return ["validate", f"best={study.name}", f"name={places.validation(study.name)}", *self._validation(), *where]
            case Prove(checksum):
                return ["validate", "causality", f"artifact={quoted(str(_artifact(places, checksum)))}", *where]

    def _search(self, study: Study, bars: Bars) -> list[str]:
        moved = study.cut - bars.cut
        dates = [f"data.train_end={iso(bars.train_end + moved)}", f"data.valid_end={iso(study.cut)}"]
        if bars.can_grow:
            dates.append(f"data.end={iso(study.cut + _MARGIN_BARS * bars.bar_seconds)}")
        sweeper = {"n_trials": self.config.trials, "study_name": study.name, "sampler.seed": self.config.seed}
        words = [f"hydra.sweeper.{name}={value}" for name, value in sweeper.items()]
        kept = [
            word for word in self._own(*LEARNING) if not word.startswith(("data.train_end=", "data.valid_end=", "data.end="))
        ]
        return [*kept, *dates, f"sweep={self.config.space}", *words, *self.config.search]

    def _validation(self) -> list[str]:
        config = self.config
        groups = [f"{group}={self.choices[group]}" for group in JUDGING]
        own = [word for word in self._own(*JUDGING, "risk", "device") if word.partition("=")[0] not in JUDGING]
        return [*groups, *own, f"seed={config.seed}", f"seeds={config.seeds}", f"agreement={config.agreement}"]

    def of_shadow(self, step: StartShadow, places: Places) -> list[str]:
        """Of a trader on an exchange of its own."""
        own = ["broker=local", f"broker.start={iso(step.start)}", f"trade.bars={step.bars}", *self._data()]
        return [*self._trader(step.checksum, str(step.trader), places), *own]

    def of_champion(self, step: StartChampion, places: Places) -> list[str]:
        """Of the champion's trader."""
        broker = self.config.broker
        words = [*self._trader(step.checksum, str(step.trader), places), *leaves("broker", broker)]
        if step.url is not None:
            words.append(f"broker.url={quoted(step.url)}")
        if step.takes_over is not None:
            words.append(f"trade.takes_over={step.takes_over}")
        return words

    def of_exchange(self, step: StartExchange, places: Places) -> list[str]:
        """Of the account that champions trade on the local venue."""
        broker, config = self.config.broker, self.config
        assert isinstance(broker, LocalBrokerConfig)
        clock = [f"clock={broker.clock}", f"speed={broker.speed}", f"fees={broker.fees}"]
        costs = ["costs=alpaca", *leaves("costs", config.costs)]
        where = [
            "port=0",
            f"start={iso(step.start)}",
            f"capital={config.trade.capital}",
            f"runs_dir={quoted(str(places.runs))}",
        ]
        return ["exchange", *self._data(), *costs, *clock, *where]

    def _trader(self, checksum: str, name: str, places: Places) -> list[str]:
        config = self.config
        return [
            "trade",
            f"artifact={quoted(str(_artifact(places, checksum)))}",
            f"trade.name={name}",
            f"trade.capital={config.trade.capital}",
            f"trade.allow_outside=[{','.join(config.trade.allow_outside)}]",
            f"trade.fee_bps={config.costs.taker_fee_bps}",
            *self._risk(),
            f"runs_dir={quoted(str(places.runs))}",
        ]

    def _risk(self) -> list[str]:
        """The rules that the study was given; where none were spoken of, the traders' own stay."""
        if self.config.risk is not None:
            return ["risk=default", *leaves("risk", self.config.risk)]
        return ["risk=none"] if self._own("risk") else []

    def _data(self) -> list[str]:
        return list(leaves("data", self.config.data, key="source"))


def leaves(group: str, config: Any, key: str = "name") -> Iterator[str]:
    """Words that choose a group and set all that it holds; `key` is the field that says which choice it is, if it has one."""
    values = dataclasses.asdict(config)
    if key in values:
        yield f"{group}={values.pop(key)}"
    for name, value in values.items():
        if isinstance(value, dict):  # of which the shipped ones are empty
            yield from (f"+{group}.{name}.{one}={quoted(its)}" for one, its in value.items())
        else:
            yield f"{group}.{name}={quoted(value)}"


def quoted(value: Any) -> str:
    """A value as Hydra reads it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case list():
            return f"[{','.join(map(quoted, value))}]"
        case str() if not _PLAIN.fullmatch(value) or value in ("null", "true", "false"):
            escaped = value.replace("\\", "\\\\").replace("'", "\\'") if "'" in value else value
            return f"'{escaped}'"
    return str(value)


def iso(seconds: int) -> str:
    """A time as Hydra reads it unquoted."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}"


def _artifact(places: Places, checksum: str) -> pathlib.Path:
    """Raises InputError where the registry has none of that checksum."""
    return store_of(places.runs).folder(checksum)

"""What there may be to do. Each step has a name by which it is done once, its log found and its failure remembered."""

from __future__ import annotations

import dataclasses

from cappuccino.bars.clock import utc
from cappuccino.pipeline.places import ChampionName, ShadowName, exchange_name, short
from cappuccino.pipeline.seen import SeenTrader, Study
from cappuccino.registry.gates import Gate
from cappuccino.registry.promotion import said
from cappuccino.registry.states import State


@dataclasses.dataclass(frozen=True)
class Fetch:
    """New bars."""

    name = "fetch"

    def __str__(self) -> str:
        return "fetch the bars that are new"


@dataclasses.dataclass(frozen=True)
class Search:
    """A study, begun or gone on with."""

    study: Study

    @property
    def name(self) -> str:
        return f"search-{self.study.name}"

    def __str__(self) -> str:
        ended = "" if self.study.trials_ended is None else f", of whose trials {self.study.trials_ended} have ended"
        return f"search study {self.study.name}{ended}, on bars before {utc(self.study.cut)}"


@dataclasses.dataclass(frozen=True)
class Validate:
    """A study's best trial."""

    study: Study

    @property
    def name(self) -> str:
        return f"validate-{self.study.name}"

    def __str__(self) -> str:
        return f"validate the best trial of study {self.study.name}"


@dataclasses.dataclass(frozen=True)
class Prove:
    """That nothing in an artifact looks ahead."""

    checksum: str

    @property
    def name(self) -> str:
        return f"causality-{short(self.checksum)}"

    def __str__(self) -> str:
        return f"prove that nothing in {short(self.checksum)} looks ahead"


@dataclasses.dataclass(frozen=True)
class Judge:
    """An artifact by the gates before its next state: it is promoted, or retired with those that do not hold."""

    checksum: str
    state: State

    @property
    def name(self) -> str:
        return f"judge-{short(self.checksum)}-{self.state}"

    def __str__(self) -> str:
        return f"hold {short(self.checksum)}, a {self.state}, against the gates"


@dataclasses.dataclass(frozen=True)
class StartShadow:
    """A trader with an exchange of its own, from the bar behind the cut on."""

    checksum: str
    trader: ShadowName
    start: int
    bars: int

    @property
    def name(self) -> str:
        return f"start-{self.trader}"

    def __str__(self) -> str:
        return f"start {self.trader} over {self.bars} bars from {utc(self.start)}"


@dataclasses.dataclass(frozen=True)
class StartExchange:
    """The account that champions trade, one after the other, where the venue is local. start: when it opens."""

    account: int
    start: int

    @property
    def name(self) -> str:
        return f"start-{exchange_name(self.account)}"

    def __str__(self) -> str:
        return f"start {exchange_name(self.account)}, which opens at {utc(self.start)}"


@dataclasses.dataclass(frozen=True)
class StartChampion:
    """The champion's trader. url: of the exchange, None for another venue. takes_over: the trader before it on the account."""

    checksum: str
    trader: ChampionName
    url: str | None
    takes_over: ChampionName | None

    @property
    def name(self) -> str:
        return f"start-{self.trader}"

    def __str__(self) -> str:
        before = "" if self.takes_over is None else f", which takes over from {self.takes_over}"
        return f"start {self.trader}{before}"


@dataclasses.dataclass(frozen=True)
class Stop:
    """A trader, which brings its open orders to their end first."""

    trader: ChampionName

    @property
    def name(self) -> str:
        return f"stop-{self.trader}"

    def __str__(self) -> str:
        return f"stop {self.trader}, whose artifact is champion no more"


@dataclasses.dataclass(frozen=True)
class Flatten:
    """Sell what a trader holds whose artifact failed and has no predecessor; it is halted until a person releases it."""

    trader: ChampionName

    @property
    def name(self) -> str:
        return f"flatten-{self.trader}"

    def __str__(self) -> str:
        return f"sell what {self.trader} holds and halt it: there is no champion"


@dataclasses.dataclass(frozen=True)
class StopExchange:
    """Of an account that nobody trades any more, or whose replay is over."""

    account: int

    @property
    def name(self) -> str:
        return f"stop-{exchange_name(self.account)}"

    def __str__(self) -> str:
        return f"stop {exchange_name(self.account)}, on which nobody trades any more"


@dataclasses.dataclass(frozen=True)
class Record:
    """What a trader's journal shows, into the registry. kind: `shadow` or `live`."""

    checksum: str
    trader: SeenTrader
    kind: str

    @property
    def name(self) -> str:
        return f"record-{self.trader.name}"

    def __str__(self) -> str:
        return f"record what {self.trader.name} shows up to {utc(self.trader.last_bar or 0)}"


@dataclasses.dataclass(frozen=True)
class RollBack:
    """The champion to its predecessor."""

    checksum: str
    gates: tuple[Gate, ...]

    @property
    def name(self) -> str:
        return f"roll-back-{short(self.checksum)}"

    def __str__(self) -> str:
        return f"roll back {short(self.checksum)}: {said(self.gates)}"


@dataclasses.dataclass(frozen=True)
class Retire:
    """A champion that failed and has no predecessor."""

    checksum: str
    gates: tuple[Gate, ...]

    @property
    def name(self) -> str:
        return f"retire-{short(self.checksum)}"

    def __str__(self) -> str:
        return f"retire {short(self.checksum)}, which has no predecessor: {said(self.gates)}"


@dataclasses.dataclass(frozen=True)
class Report:
    """Something for a person, once. key: by which it is known that it was told."""

    key: str
    text: str

    @property
    def name(self) -> str:
        return f"report {self.key}"

    def __str__(self) -> str:
        return f"report: {self.text}"


@dataclasses.dataclass(frozen=True)
class Wait:
    """Nothing can be done about something but to look again."""

    text: str

    @property
    def name(self) -> str:
        return f"wait {self.text}"

    def __str__(self) -> str:
        return f"wait for {self.text}"


Child = Fetch | Search | Validate | Prove
"""What takes minutes: a process, one at a time."""

Step = (
    Child
    | Judge
    | StartShadow
    | StartExchange
    | StartChampion
    | Stop
    | Flatten
    | StopExchange
    | Record
    | RollBack
    | Retire
    | Report
    | Wait
)

"""What was found of an artifact's causality: who moved where, whose warm-up is too short; as sentences and as plain data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

from cappuccino.bars.clock import utc
from cappuccino.bars.table import BarTable
from cappuccino.features.futures import FUTURES
from cappuccino.features.warmup import TOLERANCE

TARGET_TOLERANCE = 1e-5
"""Of equity: by how much the decision from the trader's bars may differ from that of all bars."""

POLICY = "policy"


class Move(NamedTuple):
    """Values at rows up to a cut that moved when only bars behind it were replaced.

    values: how many, over rows and assets. first, last: rows. size: the largest move, in standard deviations of the feature or in
    weight; infinite where a number is none any more. asset: where that was.
    """

    future: str
    cut: int
    first: int
    last: int
    values: int
    size: float
    asset: str


class Finding(NamedTuple):
    """What was found of one feature. warmup: declared, bars. error: at the declared warm-up, in standard deviations; infinite where
    it has no value for so few bars. needed: the warm-up that would do on these bars where the declared one does not; None otherwise,
    and where none does."""

    feature: str
    moves: tuple[Move, ...]
    warmup: int
    error: float
    needed: int | None

    @property
    def is_short(self) -> bool:
        """Whether the declared warm-up is too short. Of a feature that reads ahead it cannot be said."""
        return not self.moves and self.error > TOLERANCE


@dataclasses.dataclass(frozen=True, eq=False)
class Causality:
    """What was found of an artifact over `bars`, whose future was replaced behind `cuts`, and which was streamed at `rows`.

    policy: moves of target weights. warmup: of the manifest and of the code, bars. window_error: of the features in the trader's
    window, in standard deviations; target_error: of its target weights.
    """

    bars: BarTable
    cuts: tuple[int, ...]
    rows: tuple[int, ...]
    features: tuple[Finding, ...]
    policy: tuple[Move, ...]
    warmup: tuple[int, int]
    lookback: int
    window_error: float
    target_error: float

    def problems(self) -> list[str]:
        """Who looks ahead, whose warm-up is too short, and where manifest and code differ: one clause each, none if all is well."""
        found = []
        declared, actual = self.warmup
        if declared != actual:
            found.append(
                f"the manifest declares a warm-up of {declared} bars, its features take {actual} by this version's code"
            )
        for one in self.features:
            if one.moves:
                found.append(f"{one.feature} {self._ahead(one.moves, ' standard deviations')}")
            elif one.is_short:
                needs = "no longer one that these bars allow is enough" if one.needed is None else f"it needs {one.needed}"
                there = (
                    f"is {one.error:.2g} standard deviations from what all bars give"
                    if one.error < math.inf
                    else "has no value"
                )
                found.append(f"{one.feature} declares a warm-up of {one.warmup} bars, at which it {there}, and {needs}")
        if self.policy:
            found.append(f"the {POLICY} {self._ahead(self.policy, ' of equity')}")
        if not found and max(self.window_error / TOLERANCE, self.target_error / TARGET_TOLERANCE) > 1:
            found.append(
                f"the decision from the trader's {actual + self.lookback} bars differs by {self.target_error:.2g} of equity from that "
                f"of all bars, its features by {self.window_error:.2g} standard deviations"
            )
        return found

    def verdict(self) -> str:
        """One sentence."""
        problems = self.problems()
        if problems:
            return "; ".join(problems)
        return (
            f"nothing looks ahead: {len(self.features)} features and the {POLICY}'s target weights stayed as they were when the bars "
            f"behind {len(self.cuts)} cuts were replaced in {len(FUTURES)} ways, and at {len(self.rows)} rows every feature is the same "
            f"from its declared warm-up, within {TOLERANCE:g} of its standard deviation"
        )

    def document(self) -> dict[str, Any]:
        """As plain data for JSON; what is infinite is null."""
        return {
            "verdict": self.verdict(),
            "problems": self.problems(),
            "bars": {
                **dataclasses.asdict(self.bars.origin),
                "assets": list(self.bars.assets),
                "number": len(self.bars),
                "first": self._time(0),
                "last": self._time(-1),
            },
            "futures": {name: future.rounding for name, future in FUTURES.items()},
            "cuts": [self._time(row) for row in self.cuts],
            "rows": [self._time(row) for row in self.rows],
            "tolerance": TOLERANCE,
            "target_tolerance": TARGET_TOLERANCE,
            "warmup": {"manifest": self.warmup[0], "code": self.warmup[1]},
            "lookback": self.lookback,
            "features": {
                one.feature: {
                    "moves": [self._plain(move) for move in one.moves],
                    "warmup": one.warmup,
                    "error": _number(one.error),
                    "needed_warmup": one.needed,
                }
                for one in self.features
            },
            "policy": {
                "moves": [self._plain(move) for move in self.policy],
                "window_error": _number(self.window_error),
                "target_error": _number(self.target_error),
            },
        }

    def _time(self, row: int) -> str:
        return utc(int(self.bars.timestamps[row]))

    def _ahead(self, moves: tuple[Move, ...], unit: str) -> str:
        largest, reach = max(moves, key=lambda move: move.size), reach_of(moves)
        at = f"{self._time(largest.first)} to {self._time(largest.last)}"
        return (
            f"reads {reach} bar{'s' if reach > 1 else ''} ahead or more: it moved by up to {largest.size:.2g}{unit} ({largest.asset}, "
            f"rows {largest.first} to {largest.last}, {at}) at {len({move.cut for move in moves})} of {len(self.cuts)} cuts"
        )

    def _plain(self, move: Move) -> dict[str, Any]:
        times = {"cut": self._time(move.cut), "first": self._time(move.first), "last": self._time(move.last)}
        return {**move._asdict(), "size": _number(move.size), "times": times}


def reach_of(moves: tuple[Move, ...]) -> int:
    """How many bars ahead of its own was read, at least."""
    return max(move.cut + 1 - move.first for move in moves)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None

"""Types and limits of `validation=`: how bars are split into folds. Values, and what each means, are in `conf/validation/`."""

from __future__ import annotations

import dataclasses
import math

from cappuccino.config.checks import check_choice, check_ranges
from cappuccino.errors import InputError

WINDOW_NAMES = ("anchored", "rolling")
MOST_FOLDS = 1_000
"""Every fold is a training of its own."""


@dataclasses.dataclass
class ValidationConfig:
    """What every way to split has in common. Use a subclass."""

    name: str
    embargo: int
    selection: float

    def __post_init__(self) -> None:
        check_ranges("validation", self, embargo="[0, inf)", selection="(0, 1)")


@dataclasses.dataclass
class HoldoutConfig(ValidationConfig):
    """One training span and one test span behind it."""

    train: float

    def __post_init__(self) -> None:
        check_choice("validation.name", self.name, ("holdout",))
        super().__post_init__()
        check_ranges("validation", self, train="(0, 1)")


@dataclasses.dataclass
class WalkForwardConfig(ValidationConfig):
    """Test spans in a row, each after all the bars that its training reads."""

    folds: int
    window: str
    train: float

    def __post_init__(self) -> None:
        check_choice("validation.name", self.name, ("walk_forward",))
        super().__post_init__()
        check_choice("validation.window", self.window, WINDOW_NAMES)
        check_ranges("validation", self, folds=f"[1, {MOST_FOLDS}]", train="(0, 1)")


@dataclasses.dataclass
class PurgedKFoldConfig(ValidationConfig):
    """Each group tested once, by a training on all the others."""

    groups: int

    def __post_init__(self) -> None:
        check_choice("validation.name", self.name, ("kfold_purged",))
        super().__post_init__()
        check_ranges("validation", self, groups=f"[2, {MOST_FOLDS}]")


@dataclasses.dataclass
class CPCVConfig(ValidationConfig):
    """Combinatorial purged cross-validation: every choice of some groups tested once, by a training on the others."""

    groups: int
    test_groups: int

    def __post_init__(self) -> None:
        check_choice("validation.name", self.name, ("cpcv",))
        super().__post_init__()
        check_ranges("validation", self, groups=f"[2, {MOST_FOLDS}]", test_groups="[1, inf)")
        if self.test_groups >= self.groups:
            raise InputError(
                f"validation.test_groups is {self.test_groups}; it must be below validation.groups, {self.groups}: "
                f"the other groups train"
            )
        folds = math.comb(self.groups, self.test_groups)
        if folds > MOST_FOLDS:
            raise InputError(
                f"validation.groups {self.groups} and validation.test_groups {self.test_groups} make {folds:,} folds, each a "
                f"training; there may be {MOST_FOLDS:,}"
            )

"""The terminal's table is whole on a terminal of 80 columns."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from validated_cases import case
from validation_cases import crossed_of

from cappuccino.evaluation.baselines import EQUAL_REBALANCED
from cappuccino.validation.crossed import Crossed
from cappuccino.validation.table import print_figures

HEADS = "Total return Mean log growth log a bar, 1e\N{MINUS SIGN}4 Sharpe Max drawdown Turnover x a year"


def losing() -> Crossed:
    """Numbers that are as long as they get."""
    return crossed_of(np.full((2, 3, 400), -0.02), np.random.default_rng(0).normal(0.02, 0.01, 400))


@pytest.mark.parametrize("make", [losing, lambda: case().crossed])
def test_nothing_is_cut_at_80_columns(make):
    crossed, out = make(), io.StringIO()
    print_figures(crossed, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert "\N{HORIZONTAL ELLIPSIS}" not in out.getvalue()
    assert max(map(len, lines)) <= 80
    for name in ("agent", *crossed.baselines):
        assert sum(line.strip().startswith(name + "  ") for line in lines) == 1, name
    heads = " ".join(lines[: next(k for k, line in enumerate(lines) if line.strip().startswith("agent"))]).split()
    assert set(HEADS.split()) <= set(heads)
    assert any(line.strip().startswith(EQUAL_REBALANCED) for line in lines)

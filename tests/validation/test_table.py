"""The terminal's table is whole in a window of eighty columns."""

from __future__ import annotations

import io

from rich.console import Console
from validated_cases import case

from cappuccino.evaluation.report import figure_name
from cappuccino.validation.table import SHOWN, print_figures


def test_nothing_is_cut_off_at_eighty_columns():
    out = io.StringIO()
    crossed = case().crossed
    print_figures(crossed, Console(file=out, width=80))
    text = out.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= 80
    for word in {word for figure in SHOWN for word in figure_name(figure).split()} | set(crossed.baselines):
        assert word in text

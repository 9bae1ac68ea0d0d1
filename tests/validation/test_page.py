"""A validation's page, record and picture: the same numbers, all of them finite, and nothing from anywhere else."""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs
from validated_cases import HOLDOUT, findings

from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.overfitting import pbo
from cappuccino.evaluation.report import shown, signed
from cappuccino.validation.figures import figures
from cappuccino.validation.findings import Findings
from cappuccino.validation.page import REPORTED_ELSEWHERE, render
from cappuccino.validation.picture import DPI, SIZE, picture, write_picture
from cappuccino.validation.record import numbers_of, write_numbers
from cappuccino.validation.stress_section import break_even_said

CONFIGURATIONS = 9


def chosen() -> Findings:
    """The configuration as the best of a study's."""
    alone = findings()
    returns = np.random.default_rng(4).normal(0, 0.01, (len(alone.crossed.rows), CONFIGURATIONS))
    verdict = alone.verdict._replace(trials=CONFIGURATIONS, luck=0.01)
    return alone._replace(overfitting=pbo(returns, blocks=8), verdict=verdict, said="Found <i>nothing</i> & more.")


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return numbers_of(findings())


@pytest.fixture(scope="module")
def page(numbers) -> str:
    return own(render(findings(), numbers))


def own(page: str) -> str:
    """What is on the page beside plotly.js itself."""
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def cells(page: str, title: str) -> dict[str, list[str]]:
    """The rows of the table below a title, without tags, by their first cell; of two with one name the first."""
    table = re.search(rf"<h2>{title}</h2>.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert table, title
    rows = [
        [re.sub("<.*?>", " ", cell).split() for cell in re.findall("<td.*?>(.*?)</td>", row)]
        for row in re.findall("<tr>(.*?)</tr>", table[1])
    ]
    return {html.unescape(" ".join(row[0])): [html.unescape(" ".join(cell)) for cell in row[1:]] for row in reversed(rows)}


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    return [leaf for one in value for leaf in leaves(one)] if isinstance(value, list | tuple) else [value]


@pytest.mark.parametrize("make", [findings, chosen])
def test_the_record_is_plain_and_finite(make, tmp_path):
    made = make()
    numbers = write_numbers(made, tmp_path / "validation.json")
    read = json.loads((tmp_path / "validation.json").read_text())
    assert read == json.loads(json.dumps(numbers))
    assert all(math.isfinite(leaf) for leaf in leaves(read) if isinstance(leaf, float))
    assert (read["overfitting"] is None) == (made.overfitting is None)


def test_the_page_loads_nothing_from_anywhere(page):
    assert not re.search(r"https?://|src\s*=|<link|@import|url\(", page)
    assert len(page) < 3_000_000


def test_the_verdict_comes_first_and_what_was_validated_after_it(page, numbers):
    assert 0 < page.index(html.escape(numbers["said"])) < page.index("class='facts'") < page.index("<table>")
    steps = sum(one.env_steps for one in findings().trained.values())
    for text in (
        "6 folds of 4 groups",
        "3 by 2 seeds (5, 6)",
        f"14, 2 of them the champion&#x27;s; {steps:,} env steps in all",
        f"{len(findings().crossed.rows):,} of 4 hours",
        "taker fee 10 bps, half-spread 2 bps, slippage 1 bps",
        "ONE, TWO, THREE",
        "synthetic, planted",
        numbers["config_hash"],
        numbers["code_version"],
    ):
        assert text in page


def test_what_is_text_is_text(page):
    assert "a &lt;b&gt;small&lt;/b&gt; $one$" in page
    assert "<b>small" not in page
    made = chosen()
    other = own(render(made, numbers_of(made)))
    assert "Found &lt;i&gt;nothing&lt;/i&gt; &amp; more." in other
    assert "<i>" not in other


def test_every_figure_on_the_page_is_the_records(page, numbers):
    by_strategy = {
        name: [one for paths in measured for one in paths] if name == AGENT else measured
        for name, measured in numbers["metrics"].items()
    }
    assert len(by_strategy[AGENT]) == 6
    for key, metric in METRICS.items():
        for name, measured in by_strategy.items():
            known = [one[key] for one in measured if one[key] is not None]
            if key not in REPORTED_ELSEWHERE:
                assert f">{shown(float(np.median(known)) if known else None, metric.unit)}<" in page
            if name == AGENT and known:
                assert f">{shown(min(known), metric.unit)} to {shown(max(known), metric.unit)}<" in page
    total = cells(page, "Figures")["Total return"]
    assert len(total) == len(by_strategy)
    assert total[1] == shown(float(np.median([one["total_return"] for one in by_strategy["cash"]])), "share")


def test_intervals_on_the_page_are_the_records(page, numbers):
    rows = cells(page, "How sure the figures are")
    assert list(reversed(rows)) == list(numbers["intervals"])
    for name, parts in numbers["intervals"].items():
        for text, (part, scale, digits) in zip(
            rows[name], (("growth", 1e4, ",.3f"), ("sharpe", 1, ",.2f"), ("lead", 1e4, "+,.3f")), strict=True
        ):
            ends = parts[part]
            if ends is None:
                assert text == "\N{EN DASH}"
            else:
                estimate, low, high = (signed(format(scale * ends[end], digits)) for end in ("estimate", "low", "high"))
                assert text == f"{estimate} {low} to {high}"


def test_regimes_on_the_page_are_the_records_and_add_up(page, numbers):
    rows = cells(page, "In which times")
    assert {"2020", "2021"} <= set(rows)
    for parts in numbers["regimes"].values():
        for name, regime in parts.items():
            if name != "not known yet":
                share = f"{regime['bars'] / numbers['bars']['number']:.1%}"
                assert rows[name] == [share, *(signed(f"{100 * value:,.1f}") for value in regime["growth"].values())]
        for who, mean in numbers["growth"].items():
            whole = sum(regime["growth"][who] for regime in parts.values())
            assert whole == pytest.approx(mean * numbers["bars"]["number"], abs=1e-9)
    assert rows["All bars"][1:] == [
        signed(f"{100 * mean * numbers['bars']['number']:,.1f}") for mean in numbers["growth"].values()
    ]


def test_stress_on_the_page_is_the_records(page, numbers):
    rows, stress = cells(page, "Under stress"), numbers["stress"]
    single = {"As it was": stress["plain"]}
    single |= {f"Orders {late} bar{'s' * (late > 1)} late": stress["by_delay"][late] for late in (1, 2, 3)}
    assert {name: rows[name][:2] for name in single} == {
        name: [signed(f"{1e4 * growth:,.3f}"), ""] for name, growth in single.items()
    }
    drawn = {"Missing bars": "dropped", "Restated bars": "restated", "Other orders of history": "bootstrapped"}
    drawn |= {"Crashes": "crashed", "Other starts": "by_start"}
    for title, name in drawn.items():
        low, median, high = (signed(f"{1e4 * growth:,.3f}") for growth in np.quantile(stress[name], (0.05, 0.5, 0.95)))
        assert rows[title][:2] == [median, f"{low} to {high}"]
    ends = "\N{EN DASH}" if stress["break_even"] is None else f"{1e4 * stress['break_even']:,.1f} bps"
    assert rows["Break-even cost"][0] == ends
    assert len(rows) == len(single) + len(drawn) + 1
    assert page.count(break_even_said(numbers)) == 2


def test_a_validation_without_stress_has_a_page_without_it(tmp_path):
    made = findings(HOLDOUT)
    numbers = write_numbers(made, tmp_path / "validation.json")
    page = own(render(made, numbers))
    assert numbers["stress"] is None
    assert "Under stress" not in page
    assert "Growth under other costs" not in page


def test_a_configuration_alone_has_no_probability_of_overfitting(page):
    assert "One configuration alone has no probability of backtest overfitting" in page
    assert "Was choosing overfitting?" not in page
    assert "PBO" not in cells(page, "Luck")
    made = chosen()._replace(overfitting=None)
    other = own(render(made, numbers_of(made)))
    assert f"was chosen from {CONFIGURATIONS}" in other
    assert "One configuration alone" not in other


def test_a_chosen_configuration_has_one():
    made = chosen()
    assert made.overfitting is not None
    numbers = numbers_of(made)
    page, found = own(render(made, numbers)), numbers["overfitting"]
    rows = cells(page, "Luck")
    assert rows["PBO"][0] == f"{made.overfitting.pbo:.1%}"
    assert rows["Probability of loss"][0] == f"{made.overfitting.probability_of_loss:.1%}"
    assert rows["Configurations tried"][0] == str(CONFIGURATIONS)
    assert rows["Deflated Sharpe"][0] == f"{made.verdict.deflated:.3f}"
    edges, counts = np.array(found["logits"]["edges"]), np.array(found["logits"]["counts"])
    assert counts.sum() == found["halves"] == len(made.overfitting.logits) == math.comb(8, 4)
    assert counts[edges[1:] <= 0].sum() == pytest.approx(found["pbo"] * found["halves"])
    assert (np.diff(edges) > 0).all()


def test_every_plot_has_units_and_says_how_it_was_made():
    made = chosen()
    drawn = [figure for some in figures(made, numbers_of(made)).values() for figure in some]
    assert len(drawn) == 7
    for figure in drawn:
        assert figure.caption.endswith(".")
        assert all(axis.title.text for axis in figure.plot.select_yaxes())


def test_plots_draw_the_records_numbers(numbers):
    drawn = figures(findings(), numbers)
    stress, dots = numbers["stress"], [trace for trace in drawn["stress"][0].plot.data if trace.mode == "markers"]
    assert sorted(y for trace in dots for y in trace.y) == sorted(1e4 * growth for growth in stress["grid"])
    dots: Any = drawn["choosing"][0].plot.data[1]
    tested = [one for one in numbers["trainings"] if one["out_of_sample"] is not None]
    assert len(tested) == len(numbers["trainings"]) - 2 == 12
    np.testing.assert_allclose(dots.x, [1e4 * one["score"] for one in tested])
    np.testing.assert_allclose(dots.y, [1e4 * one["out_of_sample"] for one in tested])
    boxes: Any = [trace for trace in drawn["paths"][0].plot.data if trace.type == "box"]
    values = [one["total_return"] for paths in numbers["metrics"][AGENT] for one in paths]
    np.testing.assert_allclose(boxes[0].y, 1 + np.array(values))
    equity: Any = drawn["paths"][1].plot.data
    assert len(equity) == 6 + len(findings().crossed.baselines) + 1
    last = np.exp(numbers["growth"][AGENT] * numbers["bars"]["number"])
    assert equity[-1].y[-1] == pytest.approx(last, rel=1e-5)


def test_the_picture_shows_the_verdict_and_the_records_figures(numbers, tmp_path):
    drawn = picture(findings(), numbers)
    said = " ".join(text.get_text().replace("\n", " ") for text in drawn.axes[0].texts)
    assert numbers["said"] in said
    assert r"a <b>small</b> \$one\$" in said
    table: Any = drawn.axes[-1].tables[0]
    agent = [one["sharpe"] for paths in numbers["metrics"][AGENT] for one in paths]
    assert table[1, 3].get_text().get_text() == shown(float(np.median(agent)), "pure")
    write_picture(findings(), numbers, tmp_path / "validation.png")
    with Image.open(tmp_path / "validation.png") as image:
        assert image.size == tuple(round(DPI * inches) for inches in SIZE)
        assert len(np.unique(np.asarray(image.convert("L")))) > 50


def test_one_training_on_one_path_has_a_page_and_a_picture_too(tmp_path):
    made = findings(HOLDOUT)
    numbers = write_numbers(made, tmp_path / "validation.json")
    page = own(render(made, numbers))
    assert "1 folds of 1 groups" not in page
    assert "holdout: 1 fold" in page
    assert numbers["rank_correlation"] is None
    assert "is not defined" in page
    low, high = re.findall("([^ >]+) to ([^ <]+)<", page[page.index(">Total return<") :])[0]
    assert low == high == shown(numbers["metrics"][AGENT][0][0]["total_return"], "share")
    write_picture(made, numbers, tmp_path / "validation.png")

"""The report and the summary: self-contained, the same numbers in both, and a verdict that says what was beaten."""

from __future__ import annotations

import html
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_markets import LOOKBACK, made_market, made_params, made_path, made_policy

from cappuccino.bars import Origin
from cappuccino.evaluation.baselines import CASH, EQUAL_HELD, EQUAL_REBALANCED, INVERSE_VOLATILITY, MOMENTUM, RANDOM
from cappuccino.evaluation.comparison import AGENT, ORACLE, UNTRAINED, Evaluation, evaluate_run, figures_of, lead, verdict
from cappuccino.evaluation.figures import figures
from cappuccino.evaluation.metrics import METRICS, measure, monthly_returns
from cappuccino.evaluation.oracle import oracle_strategy
from cappuccino.evaluation.report import Context, render, shown, write_report, write_summary
from cappuccino.evaluation.splits import Span
from cappuccino.thinning import POINTS, thin

CONTEXT = Context(run="a <b>run</b>", seed=3, code_version="0.1.0", config_hash="abc123", notes=("A note.",))


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    market, spec = made_market((900, 400), seed=1)
    oracle = oracle_strategy(np.zeros(market.close.shape), 0.02, made_params(), 8.0, dtype=market.close.dtype)
    span = Span("test", 100, 1300)
    return evaluate_run(made_policy(), made_policy(seed=1), market, spec, span, made_params(), LOOKBACK, seed=3, oracle=oracle)


@pytest.fixture(scope="module")
def page(evaluation) -> str:
    return render(evaluation, CONTEXT)


def test_every_strategy_runs_over_the_same_bars(evaluation):
    assert list(evaluation.paths) == [
        *(AGENT, CASH, "BTC held", EQUAL_HELD, EQUAL_REBALANCED, MOMENTUM, INVERSE_VOLATILITY, RANDOM, UNTRAINED, ORACLE)
    ]
    assert list(evaluation.metrics) == list(evaluation.paths)
    for path in evaluation.paths.values():
        np.testing.assert_array_equal(path.timestamps, evaluation.agent.timestamps)
    assert evaluation.metrics[EQUAL_REBALANCED]["beta"] == pytest.approx(1)
    assert evaluation.metrics["BTC held"]["beta_held"] == pytest.approx(1)
    assert evaluation.metrics["BTC held"]["beta"] != pytest.approx(1, abs=0.01)
    assert ORACLE not in evaluation.baseline_names


def test_sharpe_ratios_lie_inside_their_intervals(evaluation):
    """Cash has none, nor has the oracle, which stays out of a market without a drift."""
    for name, found in evaluation.metrics.items():
        low, ratio, high = (found[key] for key in ("sharpe_low", "sharpe", "sharpe_high"))
        assert low is ratio is high is None if name in (CASH, ORACLE) else low < ratio < high


def test_too_few_bars_and_too_few_moves_have_no_interval():
    rng = np.random.default_rng(0)
    equity = np.cumprod([1.0, *(1 + 0.01 * rng.standard_normal(100))])
    once = np.where(np.arange(101) < 50, 1.0, 1.1)
    for values, ends in ((equity, True), (equity[:21], True), (equity[:20], False), (once, False), (np.ones(101), False)):
        found = figures_of(made_path(values), None, rng=rng)
        assert (found["sharpe_low"] is not None, found["sharpe_high"] is not None) == (ends, ends)
        if ends:
            assert found["sharpe_low"] < found["sharpe"] < found["sharpe_high"]


def test_page_loads_nothing_from_anywhere(page):
    """Outside plotly.js itself, which is text inside the page, no address occurs at all."""
    from plotly.offline import get_plotlyjs

    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) - 1_000_000
    assert page.count("<script>" + get_plotlyjs()[:200]) == 1
    assert not re.search(r"https?://|src\s*=|<link|@import|url\(", own)
    assert len(page) < 8_000_000


def test_page_shows_the_verdict_first_and_every_figure(page, evaluation):
    assert page.index(html.escape(verdict(evaluation))) < page.index("<table>")
    assert "a &lt;b&gt;run&lt;/b&gt;" in page
    assert "<b>run" not in page
    for name, metric in METRICS.items():
        for found in evaluation.metrics.values():
            assert f">{shown(found[name], metric.unit)}<" in page
    assert page.index(">Against equal weight rebalanced<") < page.index(">Against BTC held<")
    for text in ("abc123", "0.1.0", "A note.", "synthetic, made, quoted in USD", "taker fee 25 bps", "in 2 episodes"):
        assert text in page


def test_summary_has_the_numbers_of_the_page(evaluation, tmp_path):
    write_summary(evaluation, tmp_path / "summary.json", context=CONTEXT)
    write_report(evaluation, tmp_path / "report.html", context=CONTEXT)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["metrics"] == evaluation.metrics
    assert summary["verdict"] == verdict(evaluation)
    assert summary["benchmarks"] == {"equal_weight": EQUAL_REBALANCED, "held": "BTC held"}
    assert summary["costs"]["taker_fee"] == pytest.approx(0.0025)
    assert summary["span"]["steps"] == len(evaluation.agent)
    months = [value for year in summary["monthly_returns"].values() for value in year.values()]
    assert math.prod(1 + value for value in months) - 1 == pytest.approx(summary["metrics"][AGENT]["total_return"], abs=1e-9)
    assert html.escape(summary["verdict"]) in (tmp_path / "report.html").read_text()


def test_years_of_the_page_compound_their_months(page, evaluation):
    for year, months in monthly_returns(evaluation.agent).items():
        total = math.prod(1 + value for value in months.values()) - 1
        row = re.search(rf"<tr><td>{year}</td>(.*?)</tr>", page)
        assert row
        cells = [cell for cell in re.findall(r"<td>(.*?)</td>", row[1]) if cell]
        values = [float(re.sub("<.*?>", "", cell).replace("\N{MINUS SIGN}", "-")) / 100 for cell in cells]
        assert values[:-1] == pytest.approx(list(months.values()), abs=6e-4)
        assert values[-1] == pytest.approx(total, abs=6e-4)


def test_every_plot_has_a_caption_and_units(evaluation):
    for figure in figures(evaluation):
        assert figure.caption.endswith(".")
        assert all(axis.title.text for axis in figure.plot.select_yaxes())


@given(st.integers(1, 30_000), st.integers(0, 2**32 - 1), st.sampled_from([10, 101, POINTS]))
@settings(max_examples=40)
def test_thinned_paths_keep_ends_and_extremes(length, seed, points):
    values = np.random.default_rng(seed).normal(size=length)
    keep = thin(values, points)
    assert len(keep) <= points
    assert (np.diff(keep) > 0).all()
    assert {0, length - 1, int(values.argmin()), int(values.argmax())} <= set(keep.tolist())
    if length <= points:
        assert len(keep) == length


def evaluated(**equities) -> Evaluation:
    paths = {name.replace("_", " "): made_path(equity) for name, equity in equities.items()}
    metrics = {name: measure(path, None) for name, path in paths.items()}
    return Evaluation(paths, metrics, Span("test", 0, 4), Origin("files", "binance", "USDT"), {})


def test_verdict_names_what_was_beaten_and_what_was_not():
    best = evaluated(agent=[1, 1.1, 1.2, 1.3], cash=[1, 1, 1, 1], BTC_held=[1, 1.5, 1.6, 1.7], oracle=[1, 2, 3, 9])
    assert verdict(best) == (
        "After costs, over the test span 2020-01-01 to 2020-01-04 of files data (binance), the agent (+30.0%) beats cash "
        "(+0.0%), but not BTC held (+70.0%)."
    )
    worst = evaluated(agent=[1, 1, 1, 1], cash=[1, 1, 1, 1], BTC_held=[1, 2, 1, 1.1])
    assert verdict(worst).endswith("the agent (+0.0%) beats none of the baselines: cash (+0.0%) and BTC held (+10.0%).")
    lucky = evaluated(agent=[1, 2, 1, 2], cash=[1, 1, 1, 1], BTC_held=[1, 2, 1, 1.1])
    assert verdict(lucky).endswith("beats all 2 baselines; every lead is within chance (t below 2).")


def test_lead_is_the_t_statistic_of_the_difference_in_log_growth():
    agent, other = made_path(np.exp([0, 0.1, 0.3, 0.6])), made_path(np.exp([0, 0.0, 0.1, 0.1]))
    got = lead(agent, other)
    differences = [0.1, 0.1, 0.3]
    mean = sum(differences) / 3
    error = math.sqrt(sum((x - mean) ** 2 for x in differences) / 2) / math.sqrt(3)
    assert got.mean_log_growth == pytest.approx(mean)
    assert got.t == pytest.approx(mean / error)
    assert got.total_return == pytest.approx(math.exp(0.6) - math.exp(0.1))
    assert lead(agent, agent).t is None


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "pure", "\N{EN DASH}"),
        (0.1234, "share", "12.34%"),
        (-1e-9, "share a year", "0.00%"),
        (1234.5, "share", "1.23e+03x"),
        (-0.00012, "log a bar", "\N{MINUS SIGN}1.200"),
        (1234, "bars", "1,234"),
        (0.00255, "share of notional", "25.5"),
    ],
)
def test_figures_are_printed_with_their_unit(value, unit, text):
    assert shown(value, unit) == text


def test_every_unit_can_be_printed():
    assert all(shown(1.5, metric.unit) for metric in METRICS.values())

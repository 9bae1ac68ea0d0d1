"""A study's page: everything of it is there, whatever a study has come to, and nothing else is needed to read it."""

from __future__ import annotations

import html.parser
import math
import re
import time
import warnings
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from plotly.offline import get_plotlyjs

from cappuccino.evaluation.figures import Figure
from cappuccino.sweep.ends import ENDS, end_of
from cappuccino.sweep.figures import CONTOUR_PARAMETERS, CONTOUR_TRIALS, figures
from cappuccino.sweep.report import render, write_study_report

FACTS = {"Objective": "active, per bar & after costs", "Sampler": "TPESampler"}
TITLES = ["History", "Importance", "Slices", "Parallel coordinates", "Contours", "Timeline"]
SPACE: dict[str, BaseDistribution] = {
    "agent.learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "agent.gamma": FloatDistribution(0.5, 0.99),
    "agent.epochs": IntDistribution(1, 4),
    "network": CategoricalDistribution(("mlp", "per_asset", None, True)),
    "network.lookback": CategoricalDistribution((1, 4, 16)),
}
VOID = {"meta", "br"}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def empty_study(direction: str = "maximize") -> optuna.Study:
    return optuna.create_study(study_name="a <b>study</b>", direction=direction)


def drawn(rng: np.random.Generator, name: str) -> Any:
    distribution = SPACE[name]
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[rng.integers(len(distribution.choices))]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if isinstance(distribution, IntDistribution):
        return int(rng.integers(distribution.low, distribution.high + 1))
    if distribution.log:
        return float(np.exp(rng.uniform(np.log(distribution.low), np.log(distribution.high))))
    return float(rng.uniform(distribution.low, distribution.high))


def add(study: optuna.Study, state: TrialState, value: float | None = None, params: Any = (), **more: Any) -> None:
    params = dict(params)
    valued = {"value": value} if state in (TrialState.COMPLETE, TrialState.PRUNED) else {}
    distributions = {name: SPACE.get(name, FloatDistribution(0, 1)) for name in params}
    study.add_trial(create_trial(state=state, params=params, distributions=distributions, **valued, **more))


def search(trials: int, *, direction: str = "maximize", seed: int = 0) -> optuna.Study:
    """A study of every kind of trial, whose `network.lookback` only comes with one of the networks."""
    rng, study = np.random.default_rng(seed), empty_study(direction)
    for number in range(trials):
        params = {name: drawn(rng, name) for name in SPACE}
        if params["network"] != "mlp":
            del params["network.lookback"]
        value = float(-((math.log(params["agent.learning_rate"]) + 5) ** 2) / 20 + rng.normal(0, 0.1))
        course = {step: value - 1 / (step + 1) for step in range(8)}
        attributes = {"env_steps": 2_500_000, "sharpe": 1.234, "max_drawdown": 0.25, "exposure": 0.5, "turnover": 12.5}
        match number % 8:
            case 5:
                reason = f"the training diverged (seed {number % 3})"
                add(study, TrialState.FAIL, params=params, user_attrs={"reason": reason})
            case 6:
                add(study, TrialState.PRUNED, value - 1, params, intermediate_values={0: value - 1}, user_attrs=attributes)
            case 7:
                add(study, TrialState.COMPLETE, -math.inf, params, intermediate_values=dict.fromkeys(range(8), -math.inf))
            case _:
                add(study, TrialState.COMPLETE, value, params, intermediate_values=course, user_attrs=attributes)
    return study


class Page(html.parser.HTMLParser):
    """Text by heading, and whether all that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, str] = {"": ""}
        self.heading = ""
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open += [] if tag in VOID else [tag]
        self.scripts += [""] if tag == "script" else []
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts[-1] += data
        elif self.open and self.open[-1] == "h2":
            self.heading = data
            self.texts[data] = ""
        elif "style" not in self.open:
            self.texts[self.heading] += f" {data}"


def page_of(study: optuna.Study) -> Page:
    page = Page(render(study, FACTS, "A verdict, 1 < 2."))
    assert page.open == []
    return page


def by_title(study: optuna.Study) -> dict[str, Figure]:
    """The figures that are drawn; each of TITLES is, or is said not to be."""
    drawn, missing = figures(study)
    found = {figure.title: figure for figure in drawn if figure.title}
    assert sorted([*found, *(said.split(" (")[0] for said in missing)]) == sorted(TITLES)
    assert list(found) == [title for title in TITLES if title in found]
    for figure in drawn:
        assert shows_something(figure.plot)
    return found


def shows_something(plot: Any) -> bool:
    """Whether a trace has a point that can be drawn."""

    def drawable(values: Any) -> bool:
        return values is not None and any(
            one is not None and not (isinstance(one, float) and not math.isfinite(one)) for one in values
        )

    return any(drawable(trace.x) and drawable(trace.y) for trace in plot.data)


def table_of(text: str) -> str:
    return " ".join(text.replace("\N{MINUS SIGN}", "-").split())


def test_page_of_a_search_has_every_figure_and_needs_nothing_else(tmp_path):
    study = search(64)
    begun = time.perf_counter()
    write_study_report(study, tmp_path / "report.html", FACTS, "A verdict.")
    assert time.perf_counter() - begun < 30
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    own = text.replace(get_plotlyjs(), "", 1)
    assert len(own) < len(text) - 1_000_000
    assert get_plotlyjs()[:200] not in own
    assert not re.search(r"https?://|src\s*=|<link|@import|url\(", own)
    assert len(own) < 5_000_000
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)) >= len(TITLES)
    assert list(by_title(study)) == TITLES
    assert [heading for heading in page.texts if heading in TITLES] == TITLES


def test_page_says_title_verdict_and_facts():
    page = page_of(search(8))
    for text in ("a <b>study</b>", "A verdict, 1 < 2.", "active, per bar & after costs", "TPESampler"):
        assert text in page.texts[""]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_table_ranks_complete_trials_that_did_something(direction):
    study, sign = empty_study(direction), 1 if direction == "maximize" else -1
    add(study, TrialState.COMPLETE, -sign * math.inf)
    add(study, TrialState.PRUNED, sign * 9.0)
    add(study, TrialState.COMPLETE, sign * 1.0)
    add(study, TrialState.FAIL)
    add(study, TrialState.COMPLETE, sign * 2.0)
    assert table_of(page_of(study).texts["Best trials"]).startswith(f"Trial 4 2 Objective {2 * sign} {sign} Sharpe")


def test_table_has_ten_trials_their_figures_after_costs_and_parameters():
    study = search(64)
    text = table_of(page_of(study).texts["Best trials"])
    best = sorted((t for t in study.trials if t.state == TrialState.COMPLETE), key=lambda t: -(t.value or 0.0))[:10]
    assert text.startswith("Trial " + " ".join(str(trial.number) for trial in best) + " Objective")
    for said in ("Sharpe ratio, a year 1.23", "Maximum drawdown 25.00%", "Exposure 50.00%", "Turnover, x a year 12.5", *SPACE):
        assert said in text
    words = {"mlp": "mlp", "per_asset": "per_asset", None: "null", True: "true"}
    assert "network " + " ".join(words[trial.params["network"]] for trial in best) in text
    for trial in best:
        assert f" {trial.params['agent.gamma']:.3g}" in text


def odd_study() -> optuna.Study:
    """With every end that a trial can have."""
    study = search(64)
    study.add_trial(create_trial(state=TrialState.WAITING))
    for number in range(3):
        add(study, TrialState.FAIL, user_attrs={"lost": True, "lost_why": f"process {number} has ended"})
    add(study, TrialState.FAIL, user_attrs={"lost": True, "failed": True, "reason": "its own fault"})
    add(study, TrialState.FAIL)
    return study


def test_ends_and_reasons_are_counted():
    text = table_of(page_of(odd_study()).texts["How the trials ended"])
    for said in ("complete 40", "did nothing 8", "pruned 8", "failed 10", "lost 3", "waiting 1"):
        assert said in text
    for said in ("3 x the training diverged (seed 1)", "1 x its own fault", "1 x no reason is on record"):
        assert said in text
    assert "running" not in text


def test_history_and_timeline_show_every_end():
    study = odd_study()
    ends = [end_of(trial) for trial in study.trials]
    found = by_title(study)
    shown = {trace.name: len(trace.x) for trace in traces_of(found["History"]) if trace.mode == "markers"}
    assert {end: shown[end] for end in ("pruned", "did nothing", "failed", "lost")} == {
        end: ends.count(end) for end in ("pruned", "did nothing", "failed", "lost")
    }
    said = [text for trace in traces_of(found["Timeline"]) for text in trace.text or ()]
    assert sorted(said) == sorted(ends)


def traces_of(figure: Figure) -> list[Any]:
    return list(figure.plot.data)


@pytest.mark.parametrize("complete", [0, 1])
def test_too_few_complete_trials_are_said(complete):
    study = empty_study()
    for _ in range(complete):
        add(study, TrialState.COMPLETE, 1.0, {"agent.gamma": 0.7})
    for _ in range(3):
        add(study, TrialState.COMPLETE, -math.inf, {"agent.gamma": 0.8})
    assert list(by_title(study)) == ["History"] * complete + ["Timeline"]
    assert "Contours (2 complete trials)" in page_of(study).texts["Not drawn"]


def test_a_study_without_trials_has_a_page_without_figures():
    page = page_of(empty_study())
    assert page.scripts == []
    assert "No trial has an objective" in page.texts["Best trials"]


def test_one_parameter_has_slices_but_no_pairs():
    study = empty_study()
    for number in range(12):
        add(study, TrialState.COMPLETE, number / 10, {"agent.gamma": 0.6 + number / 100, "agent.epochs": 2})
    assert list(by_title(study)) == ["History", "Slices", "Parallel coordinates", "Timeline"]


def test_parameters_that_never_meet_have_no_contour():
    study = empty_study()
    for number in range(12):
        name = ("agent.gamma", "agent.learning_rate")[number % 2]
        add(study, TrialState.COMPLETE, number / 10, {name: 0.05 + 0.5 * (name == "agent.gamma") + number / 1000})
    assert list(by_title(study)) == [title for title in TITLES if title != "Contours"]
    assert "Contours (2 parameters that all trials have)" in page_of(study).texts["Not drawn"]


def test_equal_objectives_rank_nothing():
    study, rng = empty_study(), np.random.default_rng(0)
    for _ in range(12):
        add(study, TrialState.COMPLETE, 1.0, {name: drawn(rng, name) for name in SPACE})
    assert list(by_title(study)) == ["History", "Timeline"]


def test_slices_of_a_logarithmic_parameter_are_logarithmic_and_its_ticks_numbers_of_the_range():
    study = search(64)
    axes = {axis.title.text: axis for figure in figures(study)[0][2:4] for axis in figure.plot.select_xaxes()}
    assert {name for name, axis in axes.items() if axis.type == "log"} == {"agent.learning_rate"}
    ticks = axes["agent.learning_rate"].tickvals
    assert set(ticks) >= {1e-3, 3e-3, 1e-2, 3e-2}
    assert list(ticks) == [float(text) for text in axes["agent.learning_rate"].ticktext]


def test_contours_are_of_the_most_important_parameters_and_of_no_more_trials_than_draw_well():
    study, rng = empty_study(), np.random.default_rng(1)
    for _ in range(CONTOUR_TRIALS + 50):
        params = {f"p{k}": float(rng.uniform()) for k in range(6)}
        add(study, TrialState.COMPLETE, params["p3"] * 10 + params["p5"] + 0.01 * float(rng.uniform()), params)
    found = by_title(study)
    names = traces_of(found["Importance"])[0].y[::-1]
    assert names[0] == "p3"
    contour = found["Contours"]
    assert {axis.title.text for axis in contour.plot.select_xaxes()} - {None} == set(names[:CONTOUR_PARAMETERS])
    assert f"{CONTOUR_TRIALS} of {CONTOUR_TRIALS + 50} complete trials" in contour.caption
    assert max(np.shape(trace.z)[0] for trace in traces_of(contour) if trace.type == "contour") <= CONTOUR_TRIALS + 2
    dots = next(trace for trace in traces_of(contour) if trace.type == "scatter" and trace.x is not None and len(trace.x))
    assert len(dots.x) == CONTOUR_TRIALS


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_is_the_darkest(direction):
    study = search(32, direction=direction)
    lines = [trace for trace in traces_of(by_title(study)["Parallel coordinates"]) if trace.mode == "lines"]
    red = [int(re.findall(r"\d+", line.line.color)[0]) for line in lines]
    heights = [line.y[0] for line in lines]
    best = np.argmax(heights) if direction == "maximize" else np.argmin(heights)
    assert red[best] == min(red) < max(red) < 255


def test_what_trials_say_cannot_leave_its_place():
    hostile = "</script><script>alert(1)</script><img src=x>"
    study, rng = empty_study(), np.random.default_rng(0)
    for number in range(12):
        distributions = {hostile: FloatDistribution(0, 1), "choice": CategoricalDistribution((hostile, "b"))}
        params = {hostile: float(rng.uniform()), "choice": (hostile, "b")[number % 2]}
        attributes = {"reason": hostile}
        trial = create_trial(value=float(number), params=params, distributions=distributions, user_attrs=attributes)
        study.add_trial(trial)
    add(study, TrialState.FAIL, user_attrs={"reason": hostile})
    assert list(by_title(study)) == TITLES
    text = render(study, FACTS, hostile)
    assert hostile not in text
    page = Page(text)
    assert page.open == []
    assert hostile in page.texts["How the trials ended"]
    assert not any(script.startswith("alert") for script in page.scripts)


VALUES = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([-math.inf, 0.0, 1.0]))
TRIALS = st.lists(
    st.tuples(
        st.sampled_from(
            [TrialState.COMPLETE] * 4 + [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
        ),
        VALUES,
        st.sets(st.sampled_from(list(SPACE))),
        st.dictionaries(st.integers(0, 5), VALUES, max_size=3),
    ),
    max_size=14,
)


@settings(max_examples=15)
@given(TRIALS, st.integers(0, 2**32 - 1), st.sampled_from(["maximize", "minimize"]))
def test_no_study_is_too_odd_for_a_page(trials, seed, direction):
    """Never an exception, a warning, or a plot without a point; all trials are counted."""
    rng, study = np.random.default_rng(seed), empty_study(direction)
    for state, value, names, course in trials:
        params = {name: drawn(rng, name) for name in SPACE if name in names}
        signed = value if direction == "maximize" else -value
        add(study, state, signed, params, intermediate_values=course)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_title(study)
        page = page_of(study)
    said = re.findall(f"(?:{'|'.join(ENDS)}) +(\\d+)", page.texts.get("How the trials ended", ""))
    assert sum(map(int, said)) == len(trials)

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

from cappuccino.sweep.report import CONTOUR_PARAMETERS, CONTOUR_TRIALS, Section, render, sections, see, write_study_report

FACTS = {"Objective": "active, per bar & after costs", "Sampler": "TPESampler"}
TITLES = [
    "History",
    "Course of the trials",
    "Importance of parameters",
    "Slices",
    "Parallel coordinates",
    "Contours",
    "Timeline",
]
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
        attributes = {"env_steps": 2_500_000, "sharpe": 1.234, "max_drawdown": 0.25, "placed": {"3": {}, "4": {}}}
        match number % 8:
            case 5:
                reason = f"the training diverged (seed {number % 3})"
                add(study, TrialState.FAIL, params=params, user_attrs={"reason": reason})
            case 6:
                attributes.pop("placed")
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


def by_title(study: optuna.Study) -> dict[str, Section]:
    found = {section.title: section for section in sections(see(study))}
    assert list(found) == TITLES
    return found


def shows_something(plot: Any) -> bool:
    """Whether a trace has a point that can be drawn."""

    def drawable(values: Any) -> bool:
        return values is not None and any(
            one is not None and not (isinstance(one, float) and math.isnan(one)) for one in values
        )

    return any(drawable(trace.x) and drawable(trace.y) for trace in plot.data)


def check_sections(study: optuna.Study) -> None:
    for section in by_title(study).values():
        assert section.text.endswith(".")
        assert section.plots or section.text.startswith("Not drawn: ")
        assert all(shows_something(plot) for plot in section.plots)


def test_page_of_a_search_has_every_plot_and_needs_nothing_else(tmp_path):
    from plotly.offline import get_plotlyjs

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
    check_sections(study)
    assert all(section.plots for section in by_title(study).values())


def test_page_says_title_verdict_and_facts():
    page = page_of(search(8))
    for text in ("a <b>study</b>", "A verdict, 1 < 2.", "active, per bar & after costs", "TPESampler"):
        assert text in page.texts[""]


def test_page_is_the_same_for_the_same_study():
    study = search(16)
    assert render(study, FACTS, "v") == render(study, FACTS, "v")


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_best_trials_come_first_then_pruned_then_those_that_did_nothing(direction):
    study = empty_study(direction)
    worst = -math.inf if direction == "maximize" else math.inf
    sign = 1 if direction == "maximize" else -1
    add(study, TrialState.COMPLETE, worst)
    add(study, TrialState.PRUNED, sign * 9.0)
    add(study, TrialState.COMPLETE, sign * 1.0)
    add(study, TrialState.FAIL)
    add(study, TrialState.COMPLETE, sign * 2.0, user_attrs={"env_steps": 1_500_000, "placed": {"7": {}, "8": {}}})
    words = page_of(study).texts["Best trials"].replace("\N{MINUS SIGN}", "-").split()
    assert words[:5] == ["Trial", "4", "2", "1", "0"]
    assert " ".join(words).startswith(f"Trial 4 2 1 0 Objective {2 * sign} {sign} {9 * sign} did nothing State complete")
    assert "million 1.5 \N{EN DASH}" in " ".join(words)
    assert "Seeds 7, 8" in " ".join(words)


def test_table_has_ten_trials_their_figures_and_parameters():
    study = search(64)
    text = " ".join(page_of(study).texts["Best trials"].split())
    best = sorted((t for t in study.trials if t.state == TrialState.COMPLETE), key=lambda t: -(t.value or 0.0))[:10]
    assert text.startswith("Trial " + " ".join(str(trial.number) for trial in best) + " Objective")
    for said in ("Sharpe 1.23", "Max drawdown % 25.00%", "million 2.5", "Seeds 3, 4", *SPACE):
        assert said in text
    words = {"mlp": "mlp", "per_asset": "per_asset", None: "null", True: "true"}
    assert "network " + " ".join(words[trial.params["network"]] for trial in best) in text
    for trial in best:
        assert f" {trial.params['agent.gamma']:.3g}" in text


def test_states_and_reasons_are_counted():
    study = search(64)
    study.add_trial(create_trial(state=TrialState.WAITING))
    for number in range(3):
        add(study, TrialState.FAIL, user_attrs={"lost": True, "lost_why": f"process {number} has ended"})
    add(study, TrialState.FAIL, user_attrs={"lost": True})
    add(study, TrialState.FAIL)
    page = page_of(study)
    states = " ".join(page.texts["How the trials ended"].split())
    assert "complete 48 of which 8 did nothing" in states
    assert "pruned 8" in states
    assert "failed 13 of which 4 because the process died" in states
    assert "running 0 waiting 1" in states
    reasons = " ".join(page.texts["Why trials failed"].split())
    for said in (
        "the training diverged (seed 1) 3",
        "process 1 has ended 1 66",
        "its process died 1",
        "no reason is on record 1 69",
    ):
        assert said in reasons


def test_trials_that_did_nothing_are_said_to_be_left_out():
    study = search(64)
    for title, section in by_title(study).items():
        assert ("8 trials that did nothing are left out" in section.text) == (title not in ("Course of the trials", "Timeline"))
    assert "64 of" in by_title(study)["Course of the trials"].text


@pytest.mark.parametrize("complete", [0, 1])
def test_too_few_complete_trials_are_said(complete):
    study = empty_study()
    for _ in range(complete):
        add(study, TrialState.COMPLETE, 1.0, {"agent.gamma": 0.7})
    for _ in range(3):
        add(study, TrialState.COMPLETE, -math.inf, {"agent.gamma": 0.8})
    check_sections(study)
    for title, section in by_title(study).items():
        if title == "Course of the trials":
            assert "and none did" in section.text
        elif title != "Timeline":
            assert re.search(r"at least (2|10) complete trials .* besides 3 that did nothing", section.text)


def test_a_study_without_trials_has_a_page_without_plots():
    page = page_of(empty_study())
    assert page.scripts == []
    assert "No trial has an objective" in page.texts["Best trials"]
    assert "no trial has begun" in page.texts["Timeline"]
    check_sections(empty_study())


def test_one_parameter_has_slices_but_no_pairs():
    study = empty_study()
    for number in range(12):
        add(study, TrialState.COMPLETE, number / 10, {"agent.gamma": 0.6 + number / 100, "agent.epochs": 2})
    found = by_title(study)
    check_sections(study)
    assert found["Slices"].plots
    assert "one value in all trials: agent.epochs" in found["Slices"].text
    for title in ("Contours", "Parallel coordinates", "Importance of parameters"):
        assert "at least 2 parameters with several values among the complete trials, and there is 1" in found[title].text


def test_parameters_that_never_meet_have_no_contours():
    study = empty_study()
    for number in range(12):
        name = ("agent.gamma", "agent.learning_rate")[number % 2]
        add(study, TrialState.COMPLETE, number / 10, {name: 0.05 + 0.5 * (name == "agent.gamma") + number / 1000})
    check_sections(study)
    assert "no two parameters vary in the same" in by_title(study)["Contours"].text


def test_equal_objectives_rank_nothing():
    study, rng = empty_study(), np.random.default_rng(0)
    for _ in range(12):
        add(study, TrialState.COMPLETE, 1.0, {name: drawn(rng, name) for name in SPACE})
    check_sections(study)
    for title in ("Importance of parameters", "Parallel coordinates", "Contours"):
        assert "the same objective" in by_title(study)[title].text


def test_contours_are_of_the_most_important_parameters_and_of_no_more_trials_than_draw_well():
    study, rng = empty_study(), np.random.default_rng(1)
    for _ in range(CONTOUR_TRIALS + 50):
        params = {f"p{k}": float(rng.uniform()) for k in range(6)}
        add(study, TrialState.COMPLETE, params["p3"] * 10 + params["p5"] + 0.01 * float(rng.uniform()), params)
    seen = see(study)
    assert seen.varied[0] == "p3"
    contours = by_title(study)["Contours"]
    assert {axis.title.text for axis in contours.plots[0].select_xaxes()} - {None} == set(seen.varied[:CONTOUR_PARAMETERS])
    assert f"{CONTOUR_TRIALS} of {CONTOUR_TRIALS + 50} trials" in contours.text
    assert max(np.shape(trace.z)[0] for trace in contours.plots[0].data if trace.type == "contour") <= CONTOUR_TRIALS + 2
    dots = next(trace for trace in contours.plots[0].data if trace.type == "scatter" and trace.x is not None and len(trace.x))
    assert len(dots.x) == CONTOUR_TRIALS


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_is_the_darkest(direction):
    study = search(32, direction=direction)
    lines = [trace for trace in by_title(study)["Parallel coordinates"].plots[0].data if trace.mode == "lines"]
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
    assert all(section.plots for section in by_title(study).values() if section.title != "Course of the trials")
    text = render(study, FACTS, hostile)
    assert hostile not in text
    page = Page(text)
    assert page.open == []
    assert hostile in page.texts["Why trials failed"]
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
        check_sections(study)
        page = page_of(study)
    numbers = [
        int(one) for one in re.findall(r"(?:complete|pruned|failed|running|waiting) +(\d+)", page.texts["How the trials ended"])
    ]
    assert sum(numbers) == len(trials)

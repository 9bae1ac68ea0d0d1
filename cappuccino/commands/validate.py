"""`cappuccino validate`: a configuration on bars that it never saw, a verdict, and a champion trained on all of them."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import numpy as np
from jaxtyping import Float
from rich.console import Console

from cappuccino.assemble import market_of
from cappuccino.config.composition import save_config
from cappuccino.config.roots import LearningConfig, TrainConfig, ValidateConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.folds import Folds, folds_of
from cappuccino.evaluation.metrics import bars_a_year
from cappuccino.evaluation.overfitting import Overfitting
from cappuccino.evaluation.splits import iso, row_of
from cappuccino.market import MarketSpec
from cappuccino.registry.filling import register
from cappuccino.sources import load_bars
from cappuccino.sweep.best import read_record, recorded_config
from cappuccino.sweep.returns import judge_returns
from cappuccino.training.compilation import compile_report
from cappuccino.training.device import cpu_devices, select_device
from cappuccino.validation.champion import champion_fold, export_champion
from cappuccino.validation.crossed import run_folds, tasks_of
from cappuccino.validation.findings import find
from cappuccino.validation.known import figures_of
from cappuccino.validation.page import write_page
from cappuccino.validation.picture import write_picture
from cappuccino.validation.record import write_numbers
from cappuccino.validation.stress_section import stress_sentence
from cappuccino.validation.stressed import check_stress
from cappuccino.validation.table import print_figures
from cappuccino.validation.trained import train_all
from cappuccino.validation.verdict import judge, sentence


def run(config: ValidateConfig) -> None:
    """Cross-validate, judge by the rule of `verdict`, write the numbers, and train the champion."""
    console = Console()
    with compile_report() as compiled:
        _validate(config, console)
    console.print(f"compiled    {compiled}")


def _validate(config: ValidateConfig, console: Console) -> None:
    begun = time.monotonic()
    tried, overfitting = np.zeros(0), None
    if config.best is not None:
        config, tried, overfitting = _of_study(config, config.best)
    folder = pathlib.Path(config.runs_dir) / config.name
    if (folder / "validation.yaml").exists():
        raise InputError(f"{folder} holds a validation; choose another name=")
    console.print(f"device      {select_device(config.device, cpu_devices(None))}")
    bars = load_bars(config.data)
    data = market_of(bars, config.data, tuple(config.features.names), config.network.lookback)
    stop = data.spans.test.start if config.cut is None else row_of(data.spec, config.cut, "cut")
    folds = folds_of(config.validation, data.spec, config.network.lookback, config.env.episode_bars, stop)
    check_stress(config, bars, data.spec, folds)
    seeds = range(config.seed, config.seed + config.seeds)
    _describe(config, data.spec, folds, stop, console)
    folder.mkdir(parents=True, exist_ok=True)
    save_config(config, folder / "validation.yaml")

    champion = champion_fold(stop, config.validation.selection)
    tasks = tasks_of(config, data, [*folds.folds, champion], seeds)
    trained = train_all(tasks, data, console)
    steps = sum(one.env_steps for one in trained.values())
    console.print(
        f"trained     {len(trained)} trainings, {steps:,} env steps, in {time.monotonic() - begun:.0f} s with all else"
    )
    crossed = run_folds(config, data, folds, trained, seeds)
    verdict = judge(crossed, config.verdict, tried)
    said = sentence(verdict, crossed, config.verdict, bars_a_year(data.spec.bar_seconds))
    findings = find(config, bars, data, folds, trained, crossed, verdict, said, overfitting)
    numbers = write_numbers(findings, folder / "validation.json")
    write_page(findings, numbers, folder / "validation.html")
    write_picture(findings, numbers, folder / "validation.png")
    print_figures(crossed, console)
    console.print(said, highlight=False)
    if numbers["stress"] is not None:
        console.print(f"stress      {stress_sentence(numbers)}", highlight=False)
    console.print(f"report      {folder / 'validation.html'}, validation.png and validation.json beside it")
    champions = {seed: trained[len(folds.folds), seed] for seed in seeds}
    figures = {name: numbers[name] for name in ("said", "verdict", "growth")}
    export_champion(champions, champion, _training_of(config), data, figures, folder / "artifact", config.agreement)
    known = {"validation": figures_of(numbers, int(data.spec.timestamps[stop - 1]))}
    checksum = register(config.runs_dir, folder / "artifact", name=config.name, study=config.best, figures=known)
    last = iso(data.spec.timestamps[stop - 1])
    console.print(f"champion    {folder / 'artifact'}: {len(champions)} seeds, each trained on all bars to {last}, as one")
    console.print(
        f"registry    {checksum[:12]}, a candidate; cappuccino registry promote artifact={checksum[:12]}", highlight=False
    )


def _training_of(config: ValidateConfig) -> TrainConfig:
    """The configuration as one of a training, which is what an artifact's manifest holds."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(LearningConfig)}
    return TrainConfig(**fields, resume=False, best=None, validation=None)


def _of_study(config: ValidateConfig, study: str) -> tuple[ValidateConfig, Float[np.ndarray, "C"], Overfitting | None]:
    """The configuration of a study's best trial, validated as `config` says; of all of its trials the hedged Sharpe ratios, and what
    choosing one of them was worth."""
    record = read_record(study, config.runs_dir)
    own = recorded_config(
        record, name=config.name, runs_dir=config.runs_dir, device=config.device, resume=False, best=None, validation=None
    )
    groups = {name: getattr(own, name) for name in ("data", "features", "costs", "env", "network", "agent", "training")}
    tried: dict[int, float] = record["tried"]
    judged = judge_returns(pathlib.Path(config.runs_dir) / record["study"], record["returns"])
    return dataclasses.replace(config, **groups), np.array(list(tried.values())), judged.overfitting


def _describe(config: ValidateConfig, spec: MarketSpec, folds: Folds, stop: int, console: Console) -> None:
    first, last = (iso(spec.timestamps[row]) for row in (0, stop - 1))
    paths = f"{len(folds.paths)} path{'s' * (len(folds.paths) > 1)}"
    console.print(f"market      {spec}")
    console.print(
        f"validation  {config.validation.name} of {stop:,} bars, {first} to {last}: {len(folds.folds)} folds x {config.seeds} seeds, "
        f"{len(folds.groups)} groups, {paths}"
    )

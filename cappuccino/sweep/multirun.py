"""`cappuccino train -m`: a search where a space is given, otherwise every combination of the lists."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import json
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import configure_log
from hydra.types import RunMode
from hydra.utils import get_class, get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from rich.console import Console

from cappuccino.config.sweep import RayConfig, SweeperConfig
from cappuccino.errors import InputError
from cappuccino.lanes.engine import Markets
from cappuccino.sweep.composing import Composer
from cappuccino.sweep.grid import train_grid
from cappuccino.sweep.identity import Identity
from cappuccino.sweep.outcome import conclude
from cappuccino.sweep.parts import Crossing
from cappuccino.sweep.search import Compose, Search
from cappuccino.sweep.searchable import check_searchable
from cappuccino.sweep.space import Space, check_sampler, grid_points, is_search, jobs, read_space, suggest
from cappuccino.sweep.storage import failures_said, shown_url
from cappuccino.sweep.study import SharedStudy, open_study
from cappuccino.sweep.workers import connected
from cappuccino.training.device import cpu_devices, select_device
from cappuccino.training.run import configuration_of

DEFAULT_SWEEP = "ppo"

_PRUNERS = {
    "median": optuna.pruners.MedianPruner,
    "asha": functools.partial(optuna.pruners.SuccessiveHalvingPruner, min_resource=1),
    "none": optuna.pruners.NopPruner,
}

_DRAWING = (optuna.samplers.TPESampler, optuna.samplers.RandomSampler, optuna.samplers.NSGAIISampler)
"""Samplers that hold nothing between trials but a random generator. (A Sobol sequence is one for the whole study, and the covariance
matrix adaptation adds the trial's number to its seed itself.)"""


def multirun(config: DictConfig, loader: ConfigLoader, arguments: Sequence[str]) -> None:
    """What the command line's overrides (`arguments`) ask for, composed as `config`. Raises InputError before anything trains."""
    configure_log(config.hydra.job_logging, config.hydra.verbose)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study is named below
    console = Console()
    if not any(_sweeps(word) for word in arguments) and not config.hydra.sweeper.params:
        arguments = [*arguments, f"sweep={DEFAULT_SWEEP}"]
        config = loader.load_configuration(
            config_name=config.hydra.job.config_name,
            overrides=[*config.hydra.overrides.hydra, *arguments],
            run_mode=RunMode.MULTIRUN,
        )
    settings: Any = OmegaConf.to_object(config.hydra.sweeper)
    assert isinstance(settings, SweeperConfig)
    settings.check()
    lanes = None if settings.lanes == "auto" else settings.lanes
    searching = _asks_for_a_search(config) or is_search(settings.params or {}, arguments, settings.custom_search_space)
    launcher = _launcher(config, searching)
    _say_clash(console)
    if launcher is None:
        console.print(f"device      {select_device(config.device, cpu_devices(lanes))}")
    if searching:
        _search(config, loader, settings, arguments, launcher, console)
    else:
        compose = Composer(config, loader).compose
        configs = [compose(job, f"{config.name}/{number}") for number, job in enumerate(jobs(arguments, loader))]
        train_grid(configs, lanes, console)


def _search(
    config: DictConfig,
    loader: ConfigLoader,
    settings: SweeperConfig,
    arguments: Sequence[str],
    launcher: RayConfig | None,
    console: Console,
) -> None:
    space = read_space(settings.params or {}, arguments)
    compose = Composer(config, loader).compose
    base = compose(space.fixed, "search")
    check_searchable(space.dimensions, base)
    _check_ends(space, compose)
    extend = get_method(settings.custom_search_space) if settings.custom_search_space else None
    sampler, points = _sampler(settings, space)
    markets = Markets()
    if base.validation is not None:
        Crossing.of(base, markets.data(base))
    identity = Identity(
        data=markets.bars(base.data).fingerprint(),
        configuration={**_without(configuration_of(base), space.dimensions), "seeds": settings.seeds},
        space={name: optuna.distributions.distribution_to_json(one) for name, one in space.dimensions.items()},
        objective=_meaning(settings),
    )
    name = settings.study_name or f"{config.hydra.runtime.choices.get('sweep') or 'search'}-{_short_hash(identity)}"
    storage = settings.storage or f"sqlite:///{config.runs_dir}/studies.db"
    folder = pathlib.Path(config.runs_dir) / name
    with connected(launcher) if launcher is not None else contextlib.nullcontext() as cluster, failures_said(storage):
        if cluster is not None:
            cluster.check(storage)
        shared = open_study(
            name,
            storage,
            sampler=sampler,
            pruner=_PRUNERS[settings.pruner](),
            direction=settings.direction,
            identity=identity,
            n_trials=settings.n_trials,
            lease_seconds=settings.lease,
            points=points,
            sampler_of=_sampler_of(settings),
        )
        if shared.counted() == 0 and folder.exists() and any(path.name.isdecimal() for path in folder.iterdir()):
            raise InputError(f"{folder} holds the trials of another study; choose another hydra.sweeper.study_name")
        console.print(
            f"study       {name} in {shown_url(storage)}: {shared.counted()} of {shared.n_trials} trials begun or ended; "
            f"{len(space.dimensions)} parameter{'s' * (len(space.dimensions) != 1)}, objective {settings.objective}"
        )
        failed = 0
        if cluster is not None:
            folder.mkdir(parents=True, exist_ok=True)
            failed = cluster.run(_words_of_a_worker(config, settings, arguments, name), folder, console)
        else:
            Search(
                settings,
                shared,
                lambda trial: suggest(space, trial, extend, config),
                compose,
                markets,
                name,
                console,
            ).run()
        conclude(shared, settings, base.validation, config.runs_dir, console)
        if failed and (left := _unfinished(shared)):
            raise InputError(
                f"{failed} workers failed and {left} of {shared.n_trials} trials have not ended; give the command again"
            )


def _unfinished(shared: SharedStudy) -> int:
    """Trials of the study that run or wait, those of the dead included."""
    shared.take_over()
    return shared.waiting() + len(shared.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _launcher(config: DictConfig, searching: bool) -> RayConfig | None:
    """Where the workers run; None for this process."""
    chosen = config.hydra.runtime.choices.get("hydra/launcher")
    if chosen == "basic":
        return None
    settings: Any = OmegaConf.to_object(config.hydra.launcher)
    if not isinstance(settings, RayConfig):
        raise InputError(f"hydra/launcher is {chosen}; it must be basic, which is this process, or ray")
    settings.check()
    if not searching:
        raise InputError("hydra/launcher=ray is for a search, whose workers share a study; give one, like sweep=ppo")
    if config.device == "cuda" and settings.gpus == 0:
        raise InputError("device is cuda, but hydra.launcher.gpus is 0; it must be at least 1, the GPUs of each worker")
    return settings


def _words_of_a_worker(config: DictConfig, settings: SweeperConfig, arguments: Sequence[str], name: str) -> list[str]:
    """The words of this command without the launcher's. The study is named: where other data lies it must not make its own."""
    sources = config.hydra.runtime.config_sources
    folders = [f"--config-dir={source.path}" for source in sources if source.provider == "command-line"]
    words = [
        word for word in config.hydra.overrides.hydra if not word.lstrip("+~").startswith(("hydra/launcher", "hydra.launcher"))
    ]
    named = [] if settings.study_name else [f"hydra.sweeper.study_name={name}"]
    return ["-m", *folders, *words, *named, *arguments]


def _asks_for_a_search(config: DictConfig) -> bool:
    """Whether the command line sets something of the sweeper that only a search reads."""
    words = config.hydra.overrides.hydra
    return any(
        word.startswith(("hydra.sweeper.", "hydra/sweeper")) and not word.startswith("hydra.sweeper.lanes=") for word in words
    )


def _sweeps(word: str) -> bool:
    return word.startswith("sweep=") or "glob(" in word or read_space({}, [word]).dimensions != {}


def _check_ends(space: Space, compose: Compose) -> None:
    """Compose every dimension's ends and choices, the others at their first: what a trial may get must be a configuration."""
    ends = {name: _ends(one) for name, one in space.dimensions.items()}
    first = {name: values[0] for name, values in ends.items()}
    for name, values in ends.items():
        for value in values:
            trial = optuna.trial.FixedTrial(first | {name: value})
            compose(suggest(space, trial, None, None), "search")


def _ends(distribution: optuna.distributions.BaseDistribution) -> tuple[Any, ...]:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return distribution.choices
    assert isinstance(distribution, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution)
    return distribution.low, distribution.high


def _sampler(settings: SweeperConfig, space: Space) -> tuple[optuna.samplers.BaseSampler, Sequence[Mapping[str, Any]] | None]:
    """The sampler, and for a grid its points, which are handed out one by one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of Optuna, about its own QMCSampler
            sampler = instantiate(settings.sampler)
    except ImportError as error:
        name = settings.sampler["_target_"]
        raise InputError(f"the sampler {name} needs a package: {error}; pip install 'cappuccino[cmaes]'") from error
    if isinstance(sampler, functools.partial):
        return optuna.samplers.RandomSampler(), grid_points(space)
    check_sampler(sampler, space)
    return sampler, None


def _sampler_of(settings: SweeperConfig) -> Callable[[int], optuna.samplers.BaseSampler] | None:
    """A sampler for each trial by its number, where its draws follow from a seed alone: processes that are all given this seed
    would draw the same first trials, and a study that is taken up again those that it has."""
    seed = settings.sampler.get("seed")
    if seed is None or get_class(settings.sampler["_target_"]) not in _DRAWING:
        return None
    return lambda number: instantiate(settings.sampler, seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))


def _without(configuration: dict[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what is searched."""
    left = copy.deepcopy(configuration)
    for name in names:
        *parents, last = name.lstrip("+").split(".")
        node = left
        for parent in parents:
            node = node.get(parent, {})
        node.pop(last, None)
    return left


def _meaning(settings: SweeperConfig) -> str:
    """The objective, with what decides it."""
    own = f" {dataclasses.asdict(settings.robust)}" if settings.objective == "robust" else ""
    return f"{settings.objective}{own}"


def _short_hash(identity: Identity) -> str:
    content = json.dumps(dataclasses.asdict(identity), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _say_clash(console: Console) -> None:
    import importlib.util

    if importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is not None:
        console.print(
            "note        hydra-optuna-sweeper is installed too; here hydra/sweeper=optuna is Cappuccino's own sweeper",
            soft_wrap=True,
        )

"""Search spaces in Hydra's override grammar, with the meaning that the published Optuna sweeper documents.

`interval` is a real number, `int(interval(...))` a whole one, `tag(log, ...)` makes either logarithmic; `range(a, b, step)` takes
steps from a and, as there, b itself if a step ends on it; `choice`, lists and whatever is shuffled are choices; anything else is
fixed.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, Quote, QuotedString, RangeSweep, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, QMCSampler
from optuna.trial import BaseTrial

from cappuccino.errors import InputError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = re.compile(r"null|true|false|nan|inf", re.IGNORECASE)

Extend = Callable[[DictConfig, Any], None]
"""A custom search space: takes the configuration and the trial, from which it suggests more."""


@dataclasses.dataclass(frozen=True)
class Space:
    """dimensions: what is searched, in the order given. fixed: the other overrides, as Hydra writes them."""

    dimensions: Mapping[str, BaseDistribution]
    fixed: tuple[str, ...]


def read_space(params: Mapping[str, Any], arguments: Sequence[str]) -> Space:
    """The space of `hydra.sweeper.params` and a command line, which replaces and fixes what the former gives.

    Raises InputError for what is not a space: an empty or inverted interval, a choice without or with equal values, a tag
    other than log, a key that is swept twice.
    """
    overrides = _parse([f"{name}={value}" for name, value in params.items()])
    given: dict[str, Override] = {override.get_key_element(): override for override in overrides}
    seen: set[str] = set()
    for override in _parse(arguments):
        key = override.get_key_element()
        if key in seen and (override.is_sweep_override() or given[key].is_sweep_override()):
            raise InputError(f"{key} is given twice, and once as several values; give it once")
        seen.add(key)
        given[key] = override
    dimensions = {key: _distribution(override) for key, override in given.items() if override.is_sweep_override()}
    return Space(dimensions, tuple(_text(override) for override in given.values() if not override.is_sweep_override()))


def is_search(params: Mapping[str, Any], arguments: Sequence[str], custom_search_space: str | None) -> bool:
    """Whether a multirun is a search: a space is given in the configuration, or an interval on the command line. Lists, choices
    and ranges alone are a grid, as with Hydra's own sweeper."""
    return bool(params or custom_search_space or any(override.is_interval_sweep() for override in _parse(arguments)))


def jobs(arguments: Sequence[str], loader: ConfigLoader | None = None) -> list[tuple[str, ...]]:
    """Every combination of the lists on a command line, in the order of Hydra's own sweeper, whose ranges end before their stop.

    loader: what knows the choices that a `glob` stands for.
    """
    columns: dict[str, list[str]] = {}
    for override in _parse(arguments, loader):
        key, several = override.get_key_element(), override.is_sweep_override()
        columns[key] = [f"{key}={value}" for value in override.sweep_string_iterator()] if several else [_text(override)]
    return list(itertools.product(*columns.values()))


def suggest(space: Space, trial: BaseTrial, extend: Extend | None, config: DictConfig | None) -> tuple[str, ...]:
    """The overrides of a trial: what is fixed, and a value for every dimension, those of a custom search space last.

    That finds the fixed values in the trial's user attributes. Raises InputError where it suggests one of them.
    """
    for name, distribution in space.dimensions.items():
        _suggest(trial, name, distribution)
    if extend is not None:
        assert config is not None
        fixed = dict(text.split("=", 1) for text in space.fixed if "=" in text)
        for name, value in fixed.items():
            trial.set_user_attr(name, value)
        extend(config, trial)
        twice = sorted(trial.params.keys() & fixed.keys())
        if twice:
            raise InputError(f"the custom search space suggests {', '.join(twice)}, which the command line fixes")
    return (*space.fixed, *(f"{name}={_written(value)}" for name, value in trial.params.items()))


def grid_points(space: Space) -> list[dict[str, Any]]:
    """Every point of a space of choices and ranges, the last dimension fastest. Raises InputError for an interval."""
    values = [list(_steps(name, distribution)) for name, distribution in space.dimensions.items()]
    return [dict(zip(space.dimensions, point, strict=True)) for point in itertools.product(*values)]


def check_sampler(sampler: BaseSampler, space: Space) -> None:
    """Raises InputError for a sampler that would silently draw some of the dimensions at random."""
    choices = [name for name, one in space.dimensions.items() if isinstance(one, CategoricalDistribution)]
    if isinstance(sampler, CmaEsSampler | QMCSampler) and choices:
        raise InputError(
            f"{type(sampler).__name__} cannot handle {', '.join(choices)}, which are choices; take hydra/sweeper/sampler=tpe, "
            "or give a range or an interval"
        )
    if isinstance(sampler, CmaEsSampler) and len(space.dimensions) < 2:
        raise InputError("CmaEsSampler needs at least two dimensions; take hydra/sweeper/sampler=tpe")


def _parse(words: Sequence[str], loader: ConfigLoader | None = None) -> list[Override]:
    try:
        return OverridesParser.create(loader).parse_overrides(list(words))
    except HydraException as error:
        raise InputError(f"an override cannot be read, it must be written key=value: {str(error).splitlines()[0]}") from error


def _text(override: Override) -> str:
    if override.is_delete() or override.value_type is None:
        return override.input_line or ""
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _distribution(override: Override) -> BaseDistribution:
    name, value = override.get_key_element(), override.value()
    if isinstance(value, IntervalSweep):
        return _interval(name, value)
    if isinstance(value, RangeSweep) and not value.shuffle:
        return _range(name, value)
    if isinstance(value, Glob) or not override.is_discrete_sweep():
        raise InputError(f"{name} is {override.input_line}; it must be an interval, a range or a choice")
    choices = [_choice(name, one) for one in override.sweep_iterator(transformer=Transformer.encode)]
    if getattr(value, "shuffle", False):
        choices.sort(key=str)  # in another order it would be another space each time
    if not choices:
        raise InputError(f"{name} is a choice of nothing; it must have at least one value")
    twice = sorted({str(one) for one in choices if choices.count(one) > 1})
    if twice:
        raise InputError(f"{name} is a choice with {', '.join(twice)} twice; each may be given once")
    return CategoricalDistribution(choices)


def _choice(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InputError(f"{name} is a choice with {value}, of type {type(value).__name__}; it must be a value or a list")


def _interval(name: str, value: IntervalSweep) -> BaseDistribution:
    low, high, log = value.start, value.end, "log" in value.tags
    assert low is not None
    assert high is not None
    unknown = sorted(str(tag) for tag in value.tags if tag != "log")
    if unknown:
        raise InputError(f"{name} has the tag {', '.join(unknown)}; the only one with a meaning is log")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"{name} is interval({low}, {high}); its ends must be finite, the first below the second")
    if log and low <= 0:
        raise InputError(f"{name} is a logarithmic interval from {low}; it must begin above zero")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def _range(name: str, value: RangeSweep) -> BaseDistribution:
    low, high, step = value.start, value.stop, value.step
    assert low is not None
    assert high is not None
    if value.tags:
        raise InputError(
            f"{name} is a range with the tag {', '.join(sorted(map(str, value.tags)))}; only an interval can have one"
        )
    if not (step > 0 and low < high and math.isfinite(low) and math.isfinite(high)):
        raise InputError(
            f"{name} is range({low}, {high}, {step}); it must rise from the first to the second by steps above zero"
        )
    if all(isinstance(number, int) for number in (low, high, step)):
        return IntDistribution(int(low), int(low + (high - low) // step * step), step=int(step))
    return FloatDistribution(low, low + math.floor((high - low) / step + 1e-9) * step, step=step)


def _suggest(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    assert isinstance(distribution, FloatDistribution)
    return trial.suggest_float(name, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _steps(name: str, distribution: BaseDistribution) -> Iterator[Any]:
    if isinstance(distribution, CategoricalDistribution):
        yield from distribution.choices
        return
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    if distribution.step is None or distribution.log:
        raise InputError(f"{name} has no steps for a grid; give a range(...) or a choice(...)")
    number = round((distribution.high - distribution.low) / distribution.step)
    yield from (distribution.low + distribution.step * k for k in range(number + 1))


def _written(value: Any) -> str:
    """A value as Hydra reads it back. A list or a mapping among the choices is text already."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if value[:1] in ("[", "{") or (_PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value)):
        return value
    return QuotedString(value, Quote.single).with_quotes()

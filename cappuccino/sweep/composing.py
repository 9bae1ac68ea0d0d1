"""The configurations of many jobs of one command line, which differ in few values: files are read once for each choice of groups."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, flag_override

from cappuccino.config.composition import to_config
from cappuccino.config.roots import TrainConfig


class Composer:
    """Composes as Hydra does: the choices of groups first, then the values in their order."""

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self._config, self._loader = config, loader
        self._parser = OverridesParser.create(loader)
        self._chosen: dict[tuple[str, ...], DictConfig] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[str], name: str) -> TrainConfig:
        """The configuration of a job called `name`. Raises as Hydra does, and as `to_config`."""
        parsed = self._parser.parse_overrides(list(overrides))
        groups = tuple(one.input_line or "" for one in parsed if self._is_of_group(one))
        if groups not in self._chosen:
            chosen = self._loader.load_sweep_config(self._config, list(groups))
            with flag_override(chosen, ["readonly", "struct"], [False, False]):
                del chosen["hydra"]
            self._chosen[groups] = chosen
        composed = copy.deepcopy(self._chosen[groups])
        ConfigLoaderImpl._apply_overrides_to_config([one for one in parsed if not self._is_of_group(one)], composed)
        composed.name = name
        return to_config(composed)

    def _is_of_group(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self._groups:
            self._groups[key] = "." not in key and bool(self._loader.get_group_options(key))
        return override.package is not None or self._groups[key]

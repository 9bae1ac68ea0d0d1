"""An artifact put into the registry by what made or judged it."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Mapping
from typing import Any

from cappuccino.registry.registry import Registry


def register(
    runs_dir: str,
    folder: pathlib.Path,
    *,
    name: str,
    study: str | None = None,
    trial: int | None = None,
    figures: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Take an artifact into the registry below `runs_dir`, with figures by kind; its checksum. Raises InputError as `Registry` does."""
    with contextlib.closing(Registry(runs_dir)) as registry:
        checksum = registry.add(folder, name=name, study=study, trial=trial)
        for kind, known in (figures or {}).items():
            registry.record(checksum, kind, known)
    return checksum

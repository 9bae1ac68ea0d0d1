"""What the registry is told of a trader: that it began, how it ended, and what its journal shows. Imports no JAX."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from cappuccino.artifact.runtime import load_artifact
from cappuccino.config.composition import data_from, load_trade_config
from cappuccino.errors import Halted, InputError, Refusal, Unanswered
from cappuccino.trading.folder import CONFIG_NAME
from cappuccino.trading.review import Session
from cappuccino.trading.session import load_session
from cappuccino.trading.showing import shown

STOPPED, DEFECT, INPUT_ERROR, REFUSED, HALTED, UNANSWERED = 0, 1, 2, 3, 4, 5
"""How a trader ends: the exit codes of `cappuccino trade`."""

UNTRIED = frozenset({INPUT_ERROR, REFUSED, HALTED})
"""Ends after which starting again would not help: a person has to look."""


@contextlib.contextmanager
def deployed(runs_dir: str, artifact: str, trader: str) -> Iterator[None]:
    """A trader of an artifact (its checksum) for as long as the block lasts, told to the registry below `runs_dir` if it knows that one.

    Raises InputError where the registry cannot be had at the begin. If it cannot at the end, that is printed: the trader has ended
    as it has.
    """
    number = _begin(runs_dir, artifact, trader)
    code = DEFECT
    try:
        yield
        code = STOPPED
    except InputError:
        code = INPUT_ERROR
        raise
    except Unanswered:
        code = UNANSWERED
        raise
    except Refusal:
        code = REFUSED
        raise
    except Halted:
        code = HALTED
        raise
    finally:
        if number is not None:
            try:
                _with_registry(runs_dir, lambda registry: registry.end_deployment(number, code))
            except InputError as error:
                print(f"the registry does not know that the trader ended: {error}", file=sys.stderr)


def _begin(runs_dir: str, artifact: str, trader: str) -> int | None:
    def begin(registry: Any) -> int | None:
        known = any(entry.checksum == artifact for entry in registry.entries())
        return registry.begin_deployment(artifact, trader) if known else None

    return _with_registry(runs_dir, begin)


def _with_registry(runs_dir: str, ask: Callable[[Any], int | None]) -> int | None:
    from cappuccino.registry.registry import REGISTRY_NAME, Registry  # SQLAlchemy, which a trader without one does not need

    if not (pathlib.Path(runs_dir) / REGISTRY_NAME).is_dir():
        return None
    with contextlib.closing(Registry(runs_dir)) as registry:
        return ask(registry)


def session_of(folder: pathlib.Path) -> Session:
    """The session of the trader in a folder. Raises InputError if it has not two bars."""
    stored = load_trade_config(folder / CONFIG_NAME)
    artifact = load_artifact(stored.artifact)
    return load_session(
        folder,
        artifact.manifest,
        artifact.decide,
        max_hole_bars=data_from(artifact.manifest.config["data"]).max_hole_bars,
        venue_fee=stored.trade.fee_bps / 1e4,
    )


def figures_of(folder: pathlib.Path) -> dict[str, Any]:
    """What the journal of the trader in a folder shows, as the registry keeps it. Raises InputError if it has not two bars."""
    return shown(folder, session_of(folder))

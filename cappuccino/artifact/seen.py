"""Which bars an artifact has seen: the spans that it was trained and selected on, as its manifest says, among other bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from cappuccino.artifact.manifest import Manifest
from cappuccino.bars.clock import seconds, utc
from cappuccino.errors import InputError

SPANS = "spans"
"""Where a manifest's `validation` has them: a name to the opening times of the first and the last bar."""

USES = {"train": "trained", "valid": "selected"}
"""What the bars of a span were used for, by its name; those of others for nothing."""


class Seen(NamedTuple):
    """A span that an artifact was trained or selected on. first, last: opening of its first and last bar, Unix seconds."""

    use: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.use} on ({utc(self.first)[:10]} to {utc(self.last)[:10]})"


def spans_of(timestamps: Int[np.ndarray, "T"], spans: Iterable[tuple[str, int, int]]) -> dict[str, list[str]]:
    """Spans of a market's rows, each with its name, first row, and the row behind its last, as a manifest keeps them."""
    return {name: [utc(int(timestamps[start])), utc(int(timestamps[stop - 1]))] for name, start, stop in spans}


def seen_spans(manifest: Manifest) -> tuple[Seen, ...] | None:
    """The spans that the artifact was trained and selected on; None where its manifest does not say.

    Raises InputError where what it says cannot be read.
    """
    said = manifest.validation.get(SPANS)
    if said is None:
        return None
    try:
        return tuple(Seen(USES[name], *map(seconds, ends)) for name, ends in said.items() if name in USES)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"manifest: validation.{SPANS} is {said!r}; it must name the first and last bar of each span"
        ) from error


def steps_in(span: Seen, marked: Int[np.ndarray, "N"]) -> int:
    """How many steps of a backtest, marked at the closes of the bars that open at `marked`, lie in a span."""
    return int(((marked >= span.first) & (marked <= span.last)).sum())


def is_other_market(trained: dict[str, Any], given: dict[str, Any]) -> bool:
    """Whether bars of two `data` groups have nothing to do with each other, whatever their dates: made bars of another seed, or
    made and real ones. Real bars of the same time are those of one market, at whichever venue."""
    made = [one.get("source") == "synthetic" for one in (trained, given)]
    if not any(made):
        return False
    same = ("source", "kind", "seed", "assets", "bar", "start")
    return any(trained.get(name) != given.get(name) for name in same)


def provenance(manifest: Manifest, folder: str, checksum: str) -> dict[str, Any]:
    """What the manifest says of the artifact's training, as plain data for a report's JSON."""
    return {
        "folder": folder,
        "checksum": checksum,
        "created": manifest.created,
        "code_version": manifest.code_version,
        "origin": dataclasses.asdict(manifest.origin),
        "costs": dataclasses.asdict(manifest.costs),
        "market_fingerprint": manifest.market_fingerprint,
        "validation": manifest.validation,
    }

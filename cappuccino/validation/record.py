"""The numbers of a validation as plain data."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import cappuccino
from cappuccino.config.roots import ValidateConfig
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.metrics import measure
from cappuccino.evaluation.splits import iso
from cappuccino.training.run import config_hash
from cappuccino.validation.crossed import Crossed
from cappuccino.validation.trained import Trained
from cappuccino.validation.verdict import Verdict


def write_numbers(
    crossed: Crossed,
    trained: Mapping[tuple[int, int], Trained],
    verdict: Verdict,
    said: str,
    config: ValidateConfig,
    path: pathlib.Path,
) -> dict[str, Any]:
    """Write and return them; a figure that is not finite is a defect and raises ValueError."""
    numbers = numbers_of(crossed, trained, verdict, said, config)
    path.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return numbers


def numbers_of(
    crossed: Crossed, trained: Mapping[tuple[int, int], Trained], verdict: Verdict, said: str, config: ValidateConfig
) -> dict[str, Any]:
    """growth: log growth per bar, the mean over paths and seeds. metrics: of the agent by seed and path, of the others by path."""
    benchmarks = crossed.benchmarks()
    first = crossed.agent[0][0]
    return {
        "said": said,
        "verdict": {**verdict._asdict(), "active": verdict.active._asdict()},
        "growth": {
            "agent": float(crossed.growth().mean()),
            **{name: float(crossed.baseline_growth(name).mean()) for name in crossed.baselines},
        },
        "bars": {"first": iso(first.timestamps[0]), "last": iso(first.timestamps[-1]), "number": len(first)},
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "metrics": {
            "agent": [[measure(path, other) for path, other in zip(paths, benchmarks, strict=True)] for paths in crossed.agent],
            **{
                name: [measure(path, other) for path, other in zip(paths, benchmarks, strict=True)]
                for name, paths in crossed.baselines.items()
            },
        },
        "trainings": [
            {"fold": fold, "seed": seed, "update": one.update, "env_steps": one.env_steps, "score": one.score}
            for (fold, seed), one in trained.items()
        ],
        "env_steps": sum(one.env_steps for one in trained.values()),
        "configuration": dataclasses.asdict(config),
        "config_hash": config_hash(config),
        "code_version": cappuccino.__version__,
    }

"""The numbers of a validation as plain data."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from cappuccino.bootstrap import Interval
from cappuccino.evaluation.backtest import Path
from cappuccino.evaluation.comparison import AGENT
from cappuccino.evaluation.definitions import METRICS
from cappuccino.evaluation.metrics import Benchmarks, bars_a_year, measure
from cappuccino.evaluation.overfitting import Overfitting
from cappuccino.evaluation.splits import iso
from cappuccino.training.run import config_hash
from cappuccino.validation.findings import Findings
from cappuccino.version import code_version

LOGIT_BINS = 12
"""Of the histogram of PBO's logits on either side of zero."""


def write_numbers(findings: Findings, path: pathlib.Path) -> dict[str, Any]:
    """Write and return them; a figure that is not finite is a defect and raises ValueError."""
    numbers = numbers_of(findings)
    path.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return numbers


def numbers_of(findings: Findings) -> dict[str, Any]:
    """growth: log growth per bar, the mean over paths and seeds. metrics: of the agent by seed and path, of the others by path.

    intervals: per bar as growth, Sharpe and information ratios a year; an end is None where there is none, deviation is `Interval`'s.
    regimes: log growth summed over their bars. stress: of `Stress`, None where it was left out. growth_by_fees: at so many times the
    fees. trainings: out_of_sample is log growth per bar over the fold's own test blocks, None for the champion, which has none.
    """
    config, crossed, verdict = findings.config, findings.crossed, findings.verdict
    benchmarks = crossed.benchmarks()
    first = crossed.agent[0][0]
    year = math.sqrt(bars_a_year(findings.spec.bar_seconds))
    return {
        "said": findings.said,
        "verdict": verdict._asdict() | {"active": {**(_interval(verdict.active, 1) or {}), "block": verdict.active.block}},
        "growth": {
            AGENT: float(crossed.growth().mean()),
            **{name: float(crossed.baseline_growth(name).mean()) for name in crossed.baselines},
        },
        "bars": {
            "first": iso(first.timestamps[0]),
            "last": iso(first.timestamps[-1]),
            "number": len(first),
            "seconds": first.bar_seconds,
        },
        "origin": dataclasses.asdict(findings.spec.origin),
        "assets": list(first.assets),
        "folds": len(findings.folds.folds),
        "groups": len(findings.folds.groups),
        "paths": len(findings.folds.paths),
        "seeds": [config.seed + k for k in range(config.seeds)],
        "units": {name: metric.unit for name, metric in METRICS.items()},
        "metrics": {
            AGENT: [_measured(paths, benchmarks) for paths in crossed.agent],
            **{name: _measured(paths, benchmarks) for name, paths in crossed.baselines.items()},
        },
        "confidence": config.verdict.confidence,
        "intervals": {
            name: {
                "growth": _interval(one.growth, 1),
                "sharpe": _interval(one.sharpe, year),
                "lead": _interval(one.lead, 1),
                "information": _interval(one.information, year),
            }
            for name, one in findings.intervals.items()
        },
        "stress": None if findings.stress is None else findings.stress.as_json(),
        "regimes": {
            kind: {name: regime._asdict() for name, regime in parts.items()} for kind, parts in findings.regimes.items()
        },
        "trainings": [
            {
                "fold": fold,
                "seed": seed,
                "update": one.update,
                "env_steps": one.env_steps,
                "score": one.score,
                "out_of_sample": findings.realised.get((fold, seed)),
            }
            for (fold, seed), one in findings.trained.items()
        ],
        "growth_by_fees": {f"{factor:g}": growth for factor, growth in findings.by_fees.items()},
        "rank_correlation": _rank_correlation(findings),
        "overfitting": None if findings.overfitting is None else _overfitting(findings.overfitting),
        "env_steps": sum(one.env_steps for one in findings.trained.values()),
        "configuration": dataclasses.asdict(config),
        "config_hash": config_hash(config),
        "code_version": code_version(),
    }


def _measured(paths: tuple[Path, ...], benchmarks: list[Benchmarks]) -> list[dict[str, float | None]]:
    return [measure(path, other) for path, other in zip(paths, benchmarks, strict=True)]


def _interval(interval: Interval | None, scale: float) -> dict[str, float | None] | None:
    if interval is None:
        return None
    figures = {name: getattr(interval, name) for name in ("estimate", "low", "high", "deviation")}
    return {name: figure * scale if math.isfinite(figure) else None for name, figure in figures.items()}


def _rank_correlation(findings: Findings) -> float | None:
    """Spearman's, of selection score and realised growth over the folds' trainings; None where either is the same for all."""
    scores = [findings.trained[key].score for key in findings.realised]
    realised = list(findings.realised.values())
    if len(set(scores)) < 2 or len(set(realised)) < 2:
        return None
    found: Any = spearmanr(scores, realised)
    return float(found.statistic)


def _overfitting(found: Overfitting) -> dict[str, Any]:
    """Numbers, and the histogram of the logits in the place of all of them: zero is an edge, and counts as below it, as in PBO."""
    side = np.linspace(0, float(np.abs(found.logits).max()) or 1.0, LOGIT_BINS + 1)
    edges = np.concatenate([-side[:0:-1], side])
    counts = np.histogram(-found.logits, bins=edges)[0][::-1]
    return {
        "pbo": found.pbo,
        "halves": len(found.logits),
        "probability_of_loss": found.probability_of_loss,
        "slope": found.slope,
        "intercept": found.intercept,
        "dominance_violation": found.dominance_violation,
        "logits": {"edges": edges.tolist(), "counts": counts.tolist()},
    }

"""`cappuccino validate artifact=...`: an exported policy over other bars, beside what anyone could have had for nothing."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from cappuccino.artifact.manifest import Manifest
from cappuccino.artifact.runtime import Artifact, load_artifact
from cappuccino.artifact.seen import is_other_market, provenance, seen_spans, steps_in
from cappuccino.assemble import env_params, network_shape
from cappuccino.assess import publish
from cappuccino.bars.clock import utc
from cappuccino.config.composition import train_config_of
from cappuccino.config.costs import CostsConfig
from cappuccino.config.data import DataConfig
from cappuccino.config.roots import ALL_BARS, TrainConfig, ValidateArtifactConfig
from cappuccino.errors import InputError
from cappuccino.evaluation.backtest import Strategy, span_rows, table_strategy
from cappuccino.evaluation.comparison import Evaluation, evaluate_run
from cappuccino.evaluation.host_policy import host_targets
from cappuccino.evaluation.metrics import METRICS
from cappuccino.evaluation.report import Context, shown
from cappuccino.evaluation.splits import Span, holdout
from cappuccino.features.normaliser import Normaliser, outside_share
from cappuccino.features.registry import FeatureSet
from cappuccino.market import Market, MarketSpec, build_market
from cappuccino.sources import artifact_bars, artifact_data, validation_folder
from cappuccino.trading import drift
from cappuccino.training.device import select_device
from cappuccino.training.run import fresh_policy
from cappuccino.version import code_version

CHOSEN_BY = ("score", "mean_log_growth", "sharpe", "turnover")
"""Validation figures of the manifest that the report repeats."""


def run(config: ValidateArtifactConfig) -> None:
    """Backtest the artifact over the bars given and write page and numbers, which say what it was trained on."""
    console = Console()
    select_device("cpu")  # ONNX Runtime decides on the CPU, bar by bar
    artifact = load_artifact(config.artifact)
    own = _training(artifact.manifest)
    data = artifact_data(artifact.manifest, config.data)
    features = FeatureSet(artifact.manifest.features, artifact.manifest.bar_seconds)
    market, spec = build_market(artifact_bars(artifact.manifest, config.data), features)
    span = _span(config.span, data, spec, artifact.manifest.lookback)
    sample = _sample(artifact.manifest, data, spec, span)
    evaluation = score(artifact, own, market, spec, span._replace(name=sample.name), config.costs or own.costs)
    notes = (*sample.notes, *_training_notes(artifact.manifest), *_drift_notes(artifact.manifest, market, evaluation))
    context = Context(
        run=f"artifact {config.artifact}",
        seed=own.seed,
        code_version=code_version(),
        config_hash=artifact.manifest.config_hash,
        notes=notes,
        artifact=provenance(artifact.manifest, str(artifact.path), artifact.checksum),
    )
    folder = validation_folder(config.out, config.runs_dir, artifact.checksum)
    folder.mkdir(parents=True, exist_ok=True)
    stem = "-".join([spec.origin.source, config.span, *(_day(evaluation, entry) for entry in (0, -1))])
    publish(evaluation, folder / f"{stem}.html", folder / f"{stem}.json", context, console)


def score(artifact: Artifact, own: TrainConfig, market: Market, spec: MarketSpec, span: Span, costs: CostsConfig) -> Evaluation:
    """The artifact over a span beside the baselines and the network that its training began with, under `costs`.

    own: the configuration of its training, whose capital the accounts begin with. Raises InputError for a span without a decision.
    """
    manifest = artifact.manifest
    params = env_params(costs, own.risk, own.env, spec.assets)
    normaliser = Normaliser(np.array(manifest.normaliser.mean), np.array(manifest.normaliser.std), manifest.normaliser.clip)
    untrained = fresh_policy(own, network_shape(own.network, spec), normaliser)
    rows = span_rows(spec, span, manifest.lookback)
    agent: Strategy = table_strategy(host_targets(artifact.decide, market, rows, params, manifest.lookback))
    return evaluate_run(agent, untrained, market, spec, span, params, manifest.lookback)


class Sample(NamedTuple):
    """Whether bars are new to an artifact: the name of the span in the report, and its first notes."""

    name: str
    notes: tuple[str, ...]


def _training(manifest: Manifest) -> TrainConfig:
    try:
        return train_config_of(manifest.config)
    except (OmegaConfBaseException, KeyError, AttributeError) as error:
        raise InputError(f"the artifact's manifest holds no configuration of a training: {error}") from error


def _span(name: str, data: DataConfig, spec: MarketSpec, lookback: int) -> Span:
    if name == ALL_BARS:
        return Span(ALL_BARS, 0, len(spec.timestamps))
    return {span.name: span for span in holdout(spec, data.train_end, data.valid_end, lookback)}[name]


def _sample(manifest: Manifest, data: DataConfig, spec: MarketSpec, span: Span) -> Sample:
    """What the bars of a span are to an artifact, by the time at which its steps are marked."""
    seen = seen_spans(manifest)
    part = "" if span.name == ALL_BARS else f" {span.name}"
    if seen is None:
        note = "The manifest does not say which bars the artifact was trained and selected on: these may be among them."
        return Sample(f"perhaps in-sample{part}", (note,))
    if is_other_market(manifest.config["data"], dataclasses.asdict(data)):
        return Sample(f"out-of-sample{part}", ())
    marked = spec.timestamps[span_rows(spec, span, manifest.lookback) + 1]
    among = [(one, steps_in(one, marked)) for one in seen]
    count = sum(steps for _, steps in among)
    if count == 0:
        return Sample(f"out-of-sample{part}", ())
    which = " and ".join(f"{steps:,} were {one}" for one, steps in among if steps)
    note = (
        f"IN-SAMPLE: of these {len(marked):,} bars, {which}. Figures over bars that a policy has learnt or been chosen from say "
        "nothing about others."
    )
    return Sample(f"{'in-sample' if count == len(marked) else 'partly in-sample'}{part}", (note,))


def _training_notes(manifest: Manifest) -> list[str]:
    """What it was trained on, and its figures at the time."""
    origin, seen = manifest.origin, seen_spans(manifest) or ()
    when = " and ".join(map(str, seen)) or "trained"
    notes = [
        f"The artifact was {when} bars of {', '.join(manifest.assets)} from {origin.venue} ({origin.source}, quoted in "
        f"{origin.quote}). It was exported at {manifest.created}."
    ]
    figures = [
        f"{name.replace('_', ' ')} {shown(value, METRICS[name].unit) if name in METRICS else format(value, '.4g')}"
        for name in CHOSEN_BY
        if isinstance(value := manifest.validation.get(name), float)
    ]
    if figures:
        notes.append(f"Its own validation, by the manifest: {', '.join(figures)}.")
    return notes


def _drift_notes(manifest: Manifest, market: Market, evaluation: Evaluation) -> list[str]:
    """Features that are not what they were in training: with these a trader would refuse to begin."""
    seen = np.asarray(market.features)[evaluation.agent.rows]
    shares = outside_share(seen, *(np.array(table) for table in (manifest.training_range.low, manifest.training_range.high)))
    outside, _ = drift.outside(shares, manifest, ())
    if not outside:
        return []
    most = ", ".join(f"{place} ({share:.0%})" for place, share in list(outside.items())[:3])
    return [
        f"{len(outside)} of {shares.size} features lie outside their 0.1 to 99.9 % range of the training in more than "
        f"{drift.LIMIT:.0%} of these bars, at which a trader refuses to trade: {most}{', ...' if len(outside) > 3 else ''}."
    ]


def _day(evaluation: Evaluation, entry: int) -> str:
    return utc(evaluation.agent.timestamps[entry])[:10]

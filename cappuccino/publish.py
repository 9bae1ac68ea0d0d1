"""Policies with everything that a trader must know of them, as an artifact."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool

from cappuccino.agents.networks import Policy
from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.manifest import BarOrigin, FeatureRange, NormaliserValues, TrainedCosts
from cappuccino.artifact.runtime import Artifact
from cappuccino.assemble import Data
from cappuccino.config.roots import LearningConfig
from cappuccino.features.normaliser import training_range
from cappuccino.training.run import config_hash
from cappuccino.version import code_version


def publish(
    policies: Sequence[Policy],
    config: LearningConfig,
    data: Data,
    rows: Bool[np.ndarray, "T"],
    validation: Mapping[str, Any],
    out: pathlib.Path,
    agreement: float = 0.0,
) -> Artifact:
    """Export policies that were trained by `config`, behind one normaliser, to the new folder `out`; together they decide as `agreed`.

    rows: those of the market that the normaliser was fitted on. validation: figures for the manifest, plain JSON. Raises InputError
    as `export_artifact` does.
    """
    spec, policy = data.spec, policies[0]
    low, high = training_range(np.asarray(data.market.features), rows)
    return export_artifact(
        *policies,
        out=out,
        agreement=agreement,
        assets=spec.assets,
        features=spec.feature_names,
        lookback=config.network.lookback,
        warmup=spec.warmup,
        bar_seconds=spec.bar_seconds,
        normaliser=NormaliserValues(mean=_floats(policy.mean[...]), std=_floats(policy.std[...]), clip=float(policy.clip[...])),
        costs=TrainedCosts(
            taker_fee_bps=config.costs.taker_fee_bps,
            half_spread_bps=config.costs.half_spread_bps,
            slippage_bps=config.costs.slippage_bps,
            min_notional=config.costs.min_notional,
            buying_power_margin=config.costs.buying_power_margin,
            increment=config.costs.increments_of(spec.assets),
        ),
        config=dataclasses.asdict(config),
        config_hash=config_hash(config),
        market_fingerprint=spec.fingerprint,
        training_range=FeatureRange(low=tuple(map(_floats, low)), high=tuple(map(_floats, high))),
        validation=dict(validation),
        origin=BarOrigin(spec.origin.source, spec.origin.venue, spec.origin.quote),
        code_version=code_version(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _floats(values: Array | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

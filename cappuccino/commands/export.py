"""`cappuccino export`: a run's best checkpoint as an artifact that trades without JAX."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib

import numpy as np
from jaxtyping import Array
from rich.console import Console

import cappuccino
from cappuccino.artifact.export import export_artifact
from cappuccino.artifact.manifest import BarOrigin, FeatureRange, NormaliserValues, TrainedCosts
from cappuccino.artifact.seen import SPANS, spans_of
from cappuccino.assemble import load_market, network_shape
from cappuccino.config.roots import ExportConfig
from cappuccino.errors import InputError
from cappuccino.features.normaliser import training_range
from cappuccino.training.device import select_device
from cappuccino.training.run import Run, config_hash


def run(config: ExportConfig) -> None:
    """Write the checkpoint that was best on the validation span, with all that a trader must know of it."""
    console = Console()
    select_device("cpu")
    folder = Run.find(config.run, config.runs_dir)
    own, best = folder.config, folder.best()
    source = dataclasses.replace(own.data, assets=best.meta["assets"])
    data = load_market(source, tuple(own.features.names), own.network.lookback)
    spec = data.spec
    if spec.fingerprint != best.meta["market fingerprint"]:
        raise InputError(
            f"the bars of {own.data.source} are no longer those that run {folder.folder} was trained on "
            f"(fingerprint {spec.fingerprint[:12]}, was {best.meta['market fingerprint'][:12]}); train again"
        )
    policy = folder.policy(best, network_shape(own.network, spec))
    rows = spec.valid & (np.arange(len(spec.valid)) < data.spans.train.stop)
    low, high = training_range(np.asarray(data.market.features), rows)
    out = pathlib.Path(config.out) if config.out else folder.folder / "artifact"
    export_artifact(
        policy,
        out=out,
        assets=spec.assets,
        features=spec.feature_names,
        lookback=own.network.lookback,
        warmup=spec.warmup,
        bar_seconds=spec.bar_seconds,
        normaliser=NormaliserValues(mean=_floats(policy.mean[...]), std=_floats(policy.std[...]), clip=float(policy.clip[...])),
        costs=TrainedCosts(
            taker_fee_bps=own.costs.taker_fee_bps,
            half_spread_bps=own.costs.half_spread_bps,
            slippage_bps=own.costs.slippage_bps,
            min_notional=own.costs.min_notional,
            buying_power_margin=own.costs.buying_power_margin,
            increment=own.costs.increments_of(spec.assets),
        ),
        config=dataclasses.asdict(own),
        config_hash=config_hash(own),
        market_fingerprint=spec.fingerprint,
        training_range=FeatureRange(low=tuple(map(_floats, low)), high=tuple(map(_floats, high))),
        validation={"update": best.update, **best.meta["validation"], SPANS: spans_of(spec.timestamps, data.spans)},
        origin=BarOrigin(spec.origin.source, spec.origin.venue, spec.origin.quote),
        code_version=cappuccino.__version__,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    console.print(f"artifact    {out}: checkpoint {best.update} of {folder.folder}, {', '.join(spec.assets)}")


def _floats(values: Array | np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)

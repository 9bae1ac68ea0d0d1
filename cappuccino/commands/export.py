"""`cappuccino export`: a run's best checkpoint as an artifact that trades without JAX."""

from __future__ import annotations

import dataclasses
import pathlib

from rich.console import Console

from cappuccino.artifact.seen import SPANS, spans_of
from cappuccino.assemble import load_market, network_shape, training_rows
from cappuccino.config.roots import ExportConfig
from cappuccino.errors import InputError
from cappuccino.publish import publish
from cappuccino.registry.filling import register
from cappuccino.training.device import select_device
from cappuccino.training.run import Run


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
    out = pathlib.Path(config.out) if config.out else folder.folder / "artifact"
    validation = {"update": best.update, **best.meta["validation"], SPANS: spans_of(spec.timestamps, data.spans)}
    publish([policy], own, data, training_rows(data), validation, out)
    register(config.runs_dir, out, name=own.name)
    console.print(f"artifact    {out}: checkpoint {best.update} of {folder.folder}, {', '.join(spec.assets)}")

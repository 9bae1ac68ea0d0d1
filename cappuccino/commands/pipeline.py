"""`cappuccino pipeline run`: from a study to a champion on paper and back, unattended. Imports no JAX."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from cappuccino.config.roots import PipelineConfig
from cappuccino.pipeline.words import Given
from cappuccino.pipeline.work import opened


def run(config: PipelineConfig) -> None:
    """Do what is to be done until nothing is left, or print it. Raises InputError where something is left that fails."""
    console = Console()
    hydra = HydraConfig.get()
    with opened(Given(config, hydra.overrides.task, hydra.runtime.choices), console) as pipeline:
        if not config.dry_run:
            pipeline.run()
            return
        steps = pipeline.planned()
        for step in steps:
            console.print(f"would       {step}", highlight=False, soft_wrap=True)
        if not steps:
            console.print("nothing     is to be done now")

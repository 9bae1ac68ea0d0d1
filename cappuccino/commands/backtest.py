"""`cappuccino backtest`: a run's best policy over a span, beside what anyone could have had for nothing."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from cappuccino.assemble import load_market, network_shape
from cappuccino.assess import assess
from cappuccino.config.roots import BacktestConfig
from cappuccino.training.device import select_device
from cappuccino.training.run import Run


def run(config: BacktestConfig) -> None:
    """Backtest the checkpoint that was best on the run's validation span and write `backtest-<span>.html` and `.json`."""
    console = Console()
    select_device(config.device)
    folder = Run.find(config.run, config.runs_dir)
    own, best = folder.config, folder.best()
    source = dataclasses.replace(config.data or own.data, assets=best.meta["assets"])
    data = load_market(source, tuple(own.features.names), own.network.lookback)
    shape = network_shape(own.network, data.spec)
    policy = folder.policy(best, shape)
    untrained = folder.untrained(shape, policy)
    span = {span.name: span for span in data.spans}[config.span]
    chosen = "the best on this span: its figures here flatter it" if span.name == "valid" else "chosen on the validation span"
    notes = (f"The agent is checkpoint {best.update}, {chosen}.",)
    name = f"backtest-{span.name}"
    assess(
        folder, data, policy, untrained, span, config.costs or own.costs, source, f"{name}.html", f"{name}.json", notes, console
    )

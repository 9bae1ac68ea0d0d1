"""`cappuccino data`: fetch bars from Alpaca, or say what the bars of any source are worth."""

from __future__ import annotations

import pathlib

from rich.console import Console

from cappuccino.bars.files import read_raw_frames
from cappuccino.bars.quality import inspect_frames, inspect_table, quality_table
from cappuccino.bars.quality_page import write_quality_page
from cappuccino.config.data import AlpacaData, FilesData
from cappuccino.config.roots import DataCommandConfig
from cappuccino.sources import fetch_bars, load_bars


def run(config: DataCommandConfig) -> None:
    """Fetch into the store, or print the quality of raw bars as a table and write it as a page."""
    console = Console()
    data = config.data
    if config.action == "fetch":
        assert isinstance(data, AlpacaData)
        fetch_bars(data, console)
        return
    if isinstance(data, FilesData | AlpacaData):
        report = inspect_frames(read_raw_frames(data.path, data.assets), bar_seconds=None)
    else:
        report = inspect_table(load_bars(data))
    console.print(quality_table(report))
    out = pathlib.Path(config.out) if config.out else pathlib.Path(config.runs_dir) / "bars.html"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_quality_page(report, out)
    console.print(f"page        {out}")

"""`cappuccino dashboard`: a folder of runs in a browser."""

from __future__ import annotations

import os
import pathlib

from rich.console import Console

from cappuccino.config.roots import DashboardConfig
from cappuccino.dashboard.access import TOKEN_NAME, given_or_new
from cappuccino.dashboard.server import serve


def run(config: DashboardConfig) -> None:
    """Serve until stopped."""
    console = Console(soft_wrap=True, highlight=False)
    token, is_new = given_or_new(os.environ.get(TOKEN_NAME))

    def ready(url: str) -> None:
        console.print(f"dashboard   {url}")
        said = f"{token}" if is_new else f"in {TOKEN_NAME}"
        console.print(f"token       {said}: what halts or resumes a trader asks for it; reading on this machine does not")

    serve(
        pathlib.Path(config.runs_dir),
        config.gates,
        token,
        host=config.host,
        port=config.port,
        names=config.names,
        ready=ready,
    )

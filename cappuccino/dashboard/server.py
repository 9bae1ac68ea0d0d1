"""The page on HTTP."""

from __future__ import annotations

import ipaddress
import pathlib
from collections.abc import Callable, Sequence

import uvicorn

from cappuccino.config.gates import GatesConfig
from cappuccino.dashboard.access import Access
from cappuccino.dashboard.app import Dashboard
from cappuccino.listening import listen, url_of


def serve(
    runs_dir: pathlib.Path,
    gates: GatesConfig,
    token: str,
    *,
    host: str,
    port: int,
    names: Sequence[str],
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; `ready` is called with the address. Where others than this machine may ask, reading takes the token
    too. Raises InputError if the address cannot be listened on."""
    listener = listen(host, port)
    is_here = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    app = Dashboard(runs_dir, gates, Access(token, names=names, reads_need_token=not is_here)).app()
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, http="h11", lifespan="on", timeout_graceful_shutdown=3
    )
    ready(url_of(listener))
    uvicorn.Server(config).run(sockets=[listener])

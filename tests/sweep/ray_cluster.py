"""A Ray cluster of this machine alone, whose processes end with it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

READY_S = 60.0
# Without the second, Ray takes 127.0.0.1 for the machine's own address and listens on all of them.
LOOPBACK = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


def free_ports(number: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@contextlib.contextmanager
def local_cluster() -> Iterator[str]:
    """The address of a cluster with two cores. Who connects to it has to have LOOPBACK in its environment."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ray-"))  # those of pytest are too long for Ray's sockets
    port, clients = free_ports(2)
    options = {
        "node-ip-address": "127.0.0.1",
        "port": port,
        "ray-client-server-port": clients,
        "dashboard-agent-listen-port": 0,
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 2,
        "num-gpus": 0,
        "object-store-memory": 80_000_000,
        "include-dashboard": "false",
        "temp-dir": folder,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    program = "import sys; from ray.scripts.scripts import main; sys.exit(main())"
    with (folder / "said").open("w") as said:
        head = subprocess.Popen(
            [sys.executable, "-c", program, "start", "--head", "--block", *words],
            stdout=said,
            stderr=said,
            env={**os.environ, **LOOPBACK},
        )
    try:
        until = time.monotonic() + READY_S
        while "Ray runtime started" not in (folder / "said").read_text():
            assert head.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < until, (folder / "said").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(READY_S)
        shutil.rmtree(folder, ignore_errors=True)

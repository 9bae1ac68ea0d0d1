"""Workers of a search on a Ray cluster: each is the same command in a process of its own, taking trials from the study's storage."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from cappuccino.config.sweep import RayConfig
from cappuccino.errors import InputError
from cappuccino.sweep.storage import shown_url
from cappuccino.sweep.worker import Began, Ended, run_worker

_REACH_S = 10.0
"""For how long the cluster is knocked at; Ray itself would do so for minutes."""
_LOOK_S = 0.5
"""How long a wait for the workers lasts before it is looked whether the user has interrupted."""
_PATIENCE_S = 30.0
"""After how long without a sign of any worker it is said that they wait."""
_SHOWN = ("device ", "trial ")
"""What of a worker's lines is shown: the rest is said once, by the driver."""


class Cluster:
    """A cluster that this process is connected to."""

    def __init__(self, ray: Any, settings: RayConfig) -> None:
        self._ray, self._settings = ray, settings
        self._nodes = [node for node in ray.nodes() if node["Alive"]]

    def check(self, storage: str) -> None:
        """Raises InputError where no worker would have a place, or not all could use the storage."""
        wanted = f"{self._settings.cpus} cores and {self._settings.gpus} GPUs"
        if self.room == 0:
            most = " or ".join(
                sorted({f"{_has(node['Resources'], 'CPU'):g} and {_has(node['Resources'], 'GPU'):g}" for node in self._nodes})
            )
            raise InputError(
                f"a worker takes {wanted} (hydra.launcher.cpus and gpus), but the nodes of the cluster have {most or 'none'}"
            )
        check_storage(storage, {node["NodeManagerHostname"] for node in self._nodes} | {socket.gethostname()})

    @property
    def room(self) -> int:
        """How many workers the cluster holds at a time, if nothing else runs there."""
        return room_on([node["Resources"] for node in self._nodes], self._settings)

    def run(self, words: Sequence[str], shared: pathlib.Path, console: Console) -> int:
        """Run the workers until all have ended; how many failed. shared: a folder that they have to see.

        Raises InputError where all of them failed.
        """
        settings = self._settings
        console.print(f"workers     {settings.workers}; the cluster has room for {self.room} at a time")
        task = self._ray.remote(run_worker).options(
            num_cpus=settings.cpus,
            num_gpus=settings.gpus,
            max_retries=0,
            num_returns="streaming",
            scheduling_strategy="SPREAD",
        )
        arguments = (list(words), os.getcwd(), str(shared.absolute()), settings.cpus, settings.gpus)
        streams = {task.remote(*arguments): number for number in range(settings.workers)}
        with _noted_interrupts() as interrupted:
            failures = self._follow(streams, interrupted, console)
        if len(failures) == settings.workers:
            raise InputError(f"all of hydra.launcher.workers={settings.workers} failed; the first {failures[0]}")
        return len(failures)

    def _follow(self, streams: dict[Any, int], interrupted: threading.Event, console: Console) -> list[str]:
        """Print what the workers say until all have ended; why those failed that did. Raises KeyboardInterrupt."""
        hosts: dict[int, str] = {}
        failures = []
        say_at = time.monotonic() + _PATIENCE_S
        while streams:
            ready, _ = self._ray.wait(list(streams), timeout=_LOOK_S)
            if interrupted.is_set():
                raise KeyboardInterrupt
            if not hosts and time.monotonic() > say_at:
                say_at = float("inf")
                _say(console, "note", "no worker has a place yet: the cluster is busy")
            for stream in ready:
                number = streams[stream]
                event = self._next(stream)
                if isinstance(event, Ended):
                    del streams[stream]
                    outcome = _outcome(event)
                    failures += [outcome] if event.code != 0 else []
                    _say(console, f"worker {number}", f"on {hosts.get(number, 'no host')} {outcome}")
                elif isinstance(event, Began):
                    hosts[number] = event.host
                    _say(console, f"worker {number}", f"on {event.host} begins")
                elif event.startswith(_SHOWN):
                    _say(console, f"worker {number}", event)
        return failures

    def _next(self, stream: Any) -> Began | str | Ended:
        try:
            return self._ray.get(next(stream))
        except self._ray.exceptions.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return Ended(None, lines[-1] if isinstance(error, self._ray.exceptions.RayTaskError) else " ".join(lines[:2]))


@contextlib.contextmanager
def connected(settings: RayConfig) -> Iterator[Cluster]:
    """The cluster, whose workers end with the connection. Raises InputError where Ray or the cluster is not there."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise InputError(f"hydra/launcher=ray needs a package: {error}; pip install 'cappuccino[ray]'") from None
    how = "start one with `ray start --head` on one machine and `ray start --address=HOST:PORT` on the others"
    address = os.environ.get("RAY_ADDRESS", settings.address) if settings.address == "auto" else settings.address
    try:
        _knock(address)
        ray.init(address=address, configure_logging=False, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"hydra.launcher.address is {settings.address}, but no cluster is reached there: {_first_sentence(error)}; {how}"
        ) from None
    try:
        yield Cluster(ray, settings)
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _noted_interrupts() -> Iterator[threading.Event]:
    """Set when the user interrupts. Raised inside of Ray, at a destructor or a callback, an interrupt is lost."""
    noted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: noted.set())
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def check_storage(storage: str, hosts: Collection[str]) -> None:
    """Raises InputError where workers on these hosts could not share the storage."""
    if len(hosts) > 1 and not storage.startswith("postgresql"):
        raise InputError(
            f"the storage is {shown_url(storage)}, a file, but the cluster has several hosts ({', '.join(sorted(hosts))}), which "
            "cannot lock a file safely; take hydra.sweeper.storage=postgresql+psycopg://USER@HOST/NAME"
        )


def room_on(nodes: Iterable[Mapping[str, float]], settings: RayConfig) -> int:
    """How many workers nodes with these resources hold."""
    places = (
        min(_has(node, "CPU") // settings.cpus, _has(node, "GPU") // settings.gpus if settings.gpus else float("inf"))
        for node in nodes
    )
    return int(sum(places))


def _knock(address: str) -> None:
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_REACH_S).close()


def _has(resources: Mapping[str, float], name: str) -> float:
    return resources.get(name, 0.0)


def _outcome(ended: Ended) -> str:
    if ended.code == 0:
        return "has ended"
    return f"failed{'' if ended.code is None else f' with exit code {ended.code}'}: {ended.said or 'it said nothing'}"


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).partition(". ")[0] or type(error).__name__


def _say(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<11} {text}", soft_wrap=True, highlight=False, markup=False)

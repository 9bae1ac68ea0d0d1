"""Who runs a trial, whether that process still lives, and until when its word is taken for it.

A process of the same machine can be asked for: it is alive or dead. One of another machine cannot; it has a lease, which it
renews for as long as it lives, and is taken for dead when that has run out.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import pathlib
import socket
from typing import Any

from cappuccino import process

_PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True)
class Owner:
    """A process. scope: within what its pid is a name, a boot and a pid namespace; started: sets it apart from a reused pid."""

    host: str
    scope: str
    pid: int
    started: str


@dataclasses.dataclass(frozen=True)
class Lease:
    """until: Unix time to which an owner that cannot be asked for counts as alive."""

    owner: Owner
    until: float

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self.owner), "until": self.until}


def read_lease(value: Any) -> Lease | None:
    """What `Lease.to_json` wrote, or None if it is something else."""
    match value:
        case {
            "host": str(host),
            "scope": str(scope),
            "pid": int(pid),
            "started": str(started),
            "until": float() | int() as until,
        }:
            return Lease(Owner(host, scope, pid, started), float(until))
    return None


def this_process() -> Owner:
    """The process that asks."""
    return Owner(socket.gethostname(), _scope(), *process.this_process())


def is_alive(owner: Owner) -> bool | None:
    """None if it runs where this process cannot see it: on another host, in another container, before the last boot."""
    if (owner.host, owner.scope) != (socket.gethostname(), _scope()):
        return None
    return process.is_alive(process.Process(owner.pid, owner.started))


def why_over(lease: Lease, now: float) -> str | None:
    """Why the owner of a lease counts as dead at Unix time `now`, in words; None if it does not."""
    owner = lease.owner
    alive = is_alive(owner)
    if alive is None and now > lease.until:
        until = datetime.datetime.fromtimestamp(lease.until, datetime.UTC)
        return f"the lease of process {owner.pid} on {owner.host} ran out at {until:%Y-%m-%dT%H:%M:%SZ}"
    return f"process {owner.pid} on {owner.host} has ended" if alive is False else None


def _scope() -> str:
    """What a pid is unique within, as far as the system tells: two containers may share a host's name."""
    try:
        return f"{(_PROC / 'sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""

"""Type and limits of how a trader is watched. Values, and what each means, are in `conf/watch/`."""

from __future__ import annotations

import dataclasses

from cappuccino.config.checks import check_ranges
from cappuccino.errors import InputError


@dataclasses.dataclass
class WatchConfig:
    """URLs of notifications and heartbeat are no part of it: they are secrets, and come from the environment."""

    host: str
    port: int | None
    hosts: list[str]
    heartbeat_deadline_s: float
    log_mb: float
    logs_kept: int
    disk_mb: float

    def __post_init__(self) -> None:
        check_ranges("watch", self, port="[0, 65535]", heartbeat_deadline_s="(0, 60]", log_mb="(0, inf)")
        check_ranges("watch", self, logs_kept="[1, 1000]", disk_mb="[0, inf)")
        for host in self.hosts:
            if not host or any(sign in host for sign in "/:@ ") or "*" in host:
                raise InputError(f"watch.hosts has {host!r}; each is the name of a host, without scheme, port or path")

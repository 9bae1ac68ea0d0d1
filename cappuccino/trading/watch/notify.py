"""Notifications by URL through Apprise, and a heartbeat. The URLs are secrets: they come from the environment and are named by
number and scheme only. Apprise is imported only where there is one."""

from __future__ import annotations

import logging
import os
import urllib.parse
from collections.abc import Mapping
from typing import Any

from cappuccino.errors import InputError

NOTIFY = "CAPPUCCINO_NOTIFY"
"""URLs as Apprise writes them, with spaces between."""

HEARTBEAT = "CAPPUCCINO_HEARTBEAT"
"""One http or https URL that is fetched at every bar."""


class Target:
    """One place that notifications go to. number: its place among the URLs, from 1. Raises InputError for one that Apprise does
    not know."""

    def __init__(self, number: int, url: str) -> None:
        import apprise

        logger = logging.getLogger("apprise")  # its messages hold URLs
        logger.disabled = True
        scheme = url.partition(":")[0] if "://" in url else "no scheme"
        self.label = f"notification {number} ({scheme})"
        self._service: Any = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if self._service is None:
            raise InputError(f"{NOTIFY}: URL {number} ({scheme}) is not one that Apprise knows; apprise's guide lists them")

    def __repr__(self) -> str:
        return f"Target({self.label})"

    def send(self, title: str, body: str) -> bool:
        """Whether it was taken. Takes as long as the other side lets it."""
        return bool(self._service.notify(title=title, body=body))

    def hosts(self) -> frozenset[str]:
        """The hosts that it speaks to, as far as its plugin says; more can be named in watch.hosts."""
        urls = [
            str(getattr(self._service, name))
            for name in dir(self._service)
            if name.endswith(("notify_url", "webhook_url", "api_url", "smtp_host"))
            and isinstance(getattr(self._service, name, None), str)
        ]
        found = {urllib.parse.urlsplit(url if "://" in url else f"//{url}").hostname for url in urls if "{" not in url}
        own = getattr(self._service, "host", None)
        return frozenset(host for host in (found or {own}) if host) | ({own} if own and "." in own else frozenset())


def targets(environment: Mapping[str, str] = os.environ) -> list[Target]:
    """Those that the environment names. Raises InputError for one that Apprise does not know."""
    return [Target(number, url) for number, url in enumerate(environment.get(NOTIFY, "").split(), 1)]


class Heartbeat:
    """A URL to fetch, with a total deadline in seconds. Raises InputError for one that is not http or https."""

    def __init__(self, url: str, deadline_s: float) -> None:
        from cappuccino.deadline import DeadlineSession

        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{HEARTBEAT} is set to something that is no http:// or https:// URL")
        self._url, self.host = url, parts.hostname
        self._session = DeadlineSession(deadline_s)

    def __repr__(self) -> str:
        return "Heartbeat()"

    def beat(self) -> bool:
        """Whether it answered with success. Raises requests' errors, whose text holds the URL."""
        return self._session.get(self._url).ok


def heartbeat(deadline_s: float, environment: Mapping[str, str] = os.environ) -> Heartbeat | None:
    """The one that the environment names, if it does."""
    url = environment.get(HEARTBEAT, "").strip()
    return Heartbeat(url, deadline_s) if url else None
